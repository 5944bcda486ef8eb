"""The service keeps its promises whenever it is killed, the judge sees what is planted, and a poison run ends alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kills.points import POINTS, draw

KILLS = 200
LONGEST = 500
"""Seconds; it is the machine's other work that makes it last."""


def kills(*arguments: str) -> list[str]:
    """The lines that it prints. In a process of its own: what forks must have no thread and no loop."""
    command = [sys.executable, "-m", "tests.kills", *arguments]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=LONGEST, check=False)
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-5000:]
    return ran.stdout.splitlines()


def test_whatever_kills_it_no_promise_is_broken() -> None:
    """Killed at any point and started again, it loses nothing acknowledged, does nothing twice, and ends every run."""
    sums = kills("--kills", str(KILLS))[-1]
    told = dict(re.findall(r"(\w+)=([\d.]+)", sums))
    assert told["violations"] == "0"
    assert int(told["kills"]) >= KILLS


def test_planted_bugs_are_found() -> None:
    """The judge sees every bug that was planted, and names the promise that it breaks."""
    found, all_of_them = re.fullmatch(r"planted=(\d+)/(\d+)", kills("--planted")[-1]).groups()  # type: ignore[union-attr]
    assert found == all_of_them


def test_a_poison_run_is_set_aside_and_the_others_go_on() -> None:
    """After three lives that ended over it a run is a person's, and what waited beside it is cured."""
    assert (
        "kills=[('intend.mark.after', 1), ('intend.mark.after', 2), ('intend.mark.after', 3)]" in kills("--poison")[-1]
    )


@pytest.mark.parametrize("seed", [0, 7, len(POINTS) * 3 + 11])
def test_a_seed_always_draws_the_same_trial(seed: int) -> None:
    """A trial is named by its seed alone, and features the point whose turn it is."""
    assert draw(seed) == draw(seed)
    assert POINTS[seed % len(POINTS)].name in [order.point for order in draw(seed).orders]


def test_every_point_has_one_name() -> None:
    """What a kill is counted under says where it was, and every point that another one needs is one itself."""
    names = [point.name for point in POINTS]
    assert len(names) == len(set(names))
    assert {name for point in POINTS for name in point.prelude} <= set(names)
