"""Claims: a run is with one worker, and never as it was before somebody changed it."""

from __future__ import annotations

from datetime import UTC, datetime

from remediator.model.runs import Run, RunState
from remediator.store.claims import Claims

NOON = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)


def run(run_id: str) -> Run:
    return Run(run_id, "heal", "rev", run_id, {}, "", RunState.PENDING, NOON, NOON)


def test_a_run_given_back_after_the_look_is_left_for_the_next_look() -> None:
    """What was read before it was given back may be old, so it is read again first."""
    claims = Claims()
    claims.take([run("run-1")], 1)

    claims.look()
    claims.give_up("run-1")
    stale = claims.take([run("run-1")], 1)
    claims.look()
    fresh = claims.take([run("run-1")], 1)

    assert (stale, fresh) == ([], [run("run-1")])


def test_a_run_is_taken_once() -> None:
    """The limit counts free runs, not the ones passed over."""
    claims = Claims()

    first = claims.take([run("run-1"), run("run-2"), run("run-3")], 1)
    second = claims.take([run("run-1"), run("run-2"), run("run-3")], 1)

    assert (first, second, claims.ids()) == ([run("run-1")], [run("run-2")], frozenset({"run-1", "run-2"}))
