"""The service keeps its promises under faults, any seed can be replayed, and the checker finds what is planted."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from tests.simulation.checker import check
from tests.simulation.faults import Store, draw
from tests.simulation.planted import PLANTED
from tests.simulation.running import find_planted, run_seed

SEEDS = range(15)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_breaks_no_promise(seed: int) -> None:
    """Whatever the seed does to the service and its cluster, no promise is broken."""
    assert run_seed(seed).violations == ()


def a_seed_with(store: Store) -> int:
    return next(seed for seed in itertools.count() if draw(seed).store == store and len(draw(seed).faults) > 1)


@pytest.mark.parametrize("seed", [a_seed_with(store) for store in get_args(Store)])
def test_a_seed_is_replayed_bit_by_bit(seed: int) -> None:
    """The same seed gives the same history, also in another process whose hashes are seeded otherwise."""
    first = run_seed(seed, keep=True)
    again = run_seed(seed, keep=True)
    assert first.history == again.history

    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
    other = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=False
    )
    assert other.stdout.splitlines()[-1] == f"seed={seed} violations=0 trace={first.digest}"


def test_different_seeds_differ() -> None:
    """A digest says which simulation it was."""
    assert len({run_seed(seed).digest for seed in range(4)}) == 4


@pytest.mark.parametrize("name", [bug.name for bug in PLANTED])
def test_a_planted_bug_is_found(name: str) -> None:
    """The checker sees every bug that was planted, and names the promise that it breaks."""
    assert find_planted(name, seeds=12)[1] is not None


def test_every_promise_has_its_place_among_the_invariants() -> None:
    """What the rules can object to is what the page names, and the other way round."""
    folder = Path(__file__).parent
    rules = "".join(path.read_text("utf-8") for path in sorted(folder.glob("on_*.py")))
    page = (folder / "README.md").read_text("utf-8")
    told = set(re.findall(r"yield \(?\s*\"([a-z-]+)\"", rules)) | {"frozen", "disarmed", "paused"}
    assert told <= (named := set(re.findall(r"`([a-z-]+)`", page))), told - named
    assert all(f"| I{number} " in page for number in range(1, 21))


def test_a_run_that_never_ends_is_told() -> None:
    """A history that stops in the middle breaks a promise: silence is no success."""
    history = [dict(entry) for entry in run_seed(15, keep=True).history]
    run = history[-1]["runs"]
    history[-1]["runs"] = {name: {**state, "state": "held"} for name, state in run.items()}
    assert {violation.promise for violation in check(history)} == {"stuck"}
