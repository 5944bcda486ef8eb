"""The table of a run's life: what it forbids, and that every way leads to an end."""

from __future__ import annotations

import itertools

import pytest

from remediator.model.errors import IllegalMove
from remediator.model.runs import FINAL, TRANSITIONS, UNTOUCHED_ONLY, RunEvent, RunState, move

EVERY_MOVE = list(itertools.product(RunState, RunEvent))
LEGAL = sorted(TRANSITIONS)
ILLEGAL = [pair for pair in EVERY_MOVE if pair not in TRANSITIONS]


@pytest.mark.parametrize(("state", "event"), LEGAL)
def test_a_move_of_the_table_leads_where_it_says(state, event):
    """Untouched, each row of the table is what happens."""
    assert move(state, event, touched=False) is TRANSITIONS[state, event]


@pytest.mark.parametrize("touched", [True, False])
def test_every_other_move_raises_and_names_state_and_event(touched):
    """There is no move outside the table, and the table is not changed by asking."""
    before = dict(TRANSITIONS)

    for state, event in ILLEGAL:
        with pytest.raises(IllegalMove) as raised:
            move(state, event, touched=touched)
        assert str(event) in str(raised.value)

    assert dict(TRANSITIONS) == before
    assert len(ILLEGAL) == len(RunState) * len(RunEvent) - len(TRANSITIONS)


def test_events_that_promise_nothing_was_written_are_illegal_after_a_write():
    """A run that has written is never refused, handed over as untouched, or withdrawn."""
    assert {RunEvent.REFUSED, RunEvent.ASKED, RunEvent.DENIED, RunEvent.WITHDRAWN} == UNTOUCHED_ONLY
    for state, event in itertools.product(RunState, UNTOUCHED_ONLY):
        with pytest.raises(IllegalMove, match="has written"):
            move(state, event, touched=True)


@pytest.mark.parametrize(("state", "event"), [pair for pair in LEGAL if pair[1] not in UNTOUCHED_ONLY])
def test_all_other_moves_do_not_mind_a_write(state, event):
    """Holding, going on, stopping and curing are the same for a touched run."""
    assert move(state, event, touched=True) is TRANSITIONS[state, event]


def reachable(start: RunState, *, touched: bool) -> set[RunState]:
    found, ahead = set(), [start]
    while ahead:
        state = ahead.pop()
        for (before, event), after in TRANSITIONS.items():
            if before is state and after not in found and not (touched and event in UNTOUCHED_ONLY):
                found.add(after)
                ahead.append(after)
    return found


@pytest.mark.parametrize("touched", [True, False])
@pytest.mark.parametrize("state", sorted(set(RunState) - FINAL))
def test_no_live_state_is_a_dead_end(state, touched):
    """From everywhere an end can be reached, also after a write."""
    assert reachable(state, touched=touched) & FINAL


@pytest.mark.parametrize("state", sorted(set(RunState) - FINAL))
def test_from_everywhere_a_person_can_be_told(state):
    """Whatever was written, escalation stays within reach."""
    assert RunState.ESCALATED in reachable(state, touched=True)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_an_end_is_an_end(state):
    """Nothing leads out of a final state."""
    assert reachable(state, touched=False) == set()
    assert state.is_final


def test_every_state_can_be_reached_from_the_first():
    """No state of the table is there for nothing."""
    assert reachable(RunState.PENDING, touched=False) | {RunState.PENDING} == set(RunState)


def test_success_is_only_ever_reached_by_verifying():
    """A run succeeds when the cure was seen, in no other way."""
    assert [pair for pair, after in TRANSITIONS.items() if after is RunState.SUCCEEDED] == [
        (RunState.VERIFYING, RunEvent.CURED)
    ]


def test_only_a_run_that_has_not_verified_can_end_untouched():
    """Refused and cancelled promise that nothing was written."""
    ways = {before for (before, _), after in TRANSITIONS.items() if after in (RunState.REFUSED, RunState.CANCELLED)}

    assert ways == {RunState.PENDING, RunState.AWAITING_APPROVAL, RunState.RUNNING}
