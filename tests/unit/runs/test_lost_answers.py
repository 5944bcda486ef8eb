"""A write whose answer is lost time after time is attempted with patience, and not for ever."""

from __future__ import annotations

from remediator.model.errors import AnswerLost
from remediator.model.runs import RunState, StepState
from tests.fakes.run_world import RunWorld


async def test_a_write_that_never_arrives_is_attempted_ever_more_seldom_until_its_time_is_up() -> None:
    """A server that answers 500 to every write is not asked over and over: pauses grow, and then a person is told."""
    world = RunWorld()
    await world.arm()
    world.valve.fail_next = [AnswerLost("500")] * 1000
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.ESCALATED, "step_failed")
    assert world.clock.slept == [2.0, 4.0, 8.0, 15.0, 15.0]
    attempts = await world.store.steps(run_id)
    assert [record.state for record in attempts] == [StepState.NOT_APPLIED] * 5


async def test_a_lost_answer_of_a_write_that_arrived_costs_no_pause() -> None:
    """What is seen to be done is gone on from at once."""
    world = RunWorld()
    await world.arm()
    world.valve.fail_next = [AnswerLost("connection reset")]
    world.valve.applies_before_failing = True
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")
    assert 2.0 not in world.clock.slept
