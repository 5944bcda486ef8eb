"""A recovery that is itself interrupted, at any of its commits, ends as one that is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation.faults import Fault, Scene, Store
from tests.simulation.running import Result, run_scene

COMMITS = range(9, 27)
"""From the first commit before a write to the one that ends the run."""
KINDS = ("crash-before-commit", "crash-after-commit")


def interrupted(store: Store, *faults: Fault) -> Result:
    return run_scene(Scene(3, faults=faults, store=store), keep=True)


def end_of(result: Result) -> Any:
    """What is left in the end, but for names that are made anew each time."""
    end = result.history[-1]
    pods = {name: (pod["ready"], pod["votes"]) for name, pod in end["truth"]["pods"].items()}
    counted = {what: end["truth"][what] for what in ("voters", "members", "keys", "clusters", "has_leader")}
    volumes = sorted(end["truth"]["volumes"].values())
    sent = {entry["n"]: entry for entry in result.history if entry["what"] == "sent"}
    done = (sent[e["sent"]] for e in result.history if e["what"] == "handled" and e["applied"])
    effects = sorted((write["method"], write["kind"]) for write in done)
    return [run["reason"] for run in end["runs"].values()], pods, counted, volumes, effects


@pytest.mark.parametrize("write", [1, 2, 3])
@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_recovery_may_be_interrupted_at_any_commit(store: Store, write: int) -> None:
    """After a write was applied and nobody heard of it, a second crash at any commit changes nothing in the end."""
    first = Fault("crash-after-apply", "send", write)
    clean = interrupted(store, first)
    assert clean.violations == ()

    for commit in COMMITS:
        for kind in KINDS:
            again = interrupted(store, first, Fault(kind, "commit", commit))
            assert (again.violations, end_of(again)) == ((), end_of(clean)), f"{kind} {commit}"


@pytest.mark.parametrize("write", [1, 2, 3])
def test_both_replicas_may_end_at_once(write: int) -> None:
    """With nobody left, the next two find the journal and go on as one would."""
    clean = interrupted("shared", Fault("crash-after-apply", "send", write))
    both = interrupted("shared", Fault("crash-after-apply", "send", write), Fault("crash-all", "commit", 16))
    assert (both.violations, end_of(both)) == ((), end_of(clean))
