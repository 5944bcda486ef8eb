"""The service keeps its promises under faults, any seed can be replayed, and the checker finds what is planted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.checker import check
from tests.simulation.planted import PLANTED
from tests.simulation.running import find_planted, run_seed

SEEDS = range(15)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_breaks_no_promise(seed: int) -> None:
    """Whatever the seed does to the service and its cluster, no promise is broken."""
    assert run_seed(seed).violations == ()


@pytest.mark.parametrize("seed", [1, 9])
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


def test_a_run_that_never_ends_is_told() -> None:
    """A history that stops in the middle breaks a promise: silence is no success."""
    history = [dict(entry) for entry in run_seed(15, keep=True).history]
    run = history[-1]["runs"]
    history[-1]["runs"] = {name: {**state, "state": "held"} for name, state in run.items()}
    assert {violation.promise for violation in check(history)} == {"stuck"}
