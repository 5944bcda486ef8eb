"""The process dies at every transaction in turn, before and after its commit; the next one ends in the same state."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediator.model.rules import Limit
from remediator.model.runs import RunState, StepState
from tests.fakes.auditor import disagreements
from tests.fakes.run_world import Crash, RunWorld


async def _transactions_of_a_clean_run(steps: int) -> int:
    world = RunWorld()
    world.valve.steps = steps
    await world.arm()
    await world.alert()
    await world.turn_the_crank()
    return world.store.writes


@pytest.mark.parametrize("after_commit", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("steps", [1, 3])
async def test_a_crash_at_any_transaction_ends_in_the_same_state(steps: int, after_commit: bool) -> None:
    """Every step takes effect exactly once and the run is cured, wherever the process died."""
    total = await _transactions_of_a_clean_run(steps)
    assert total > 5
    for point in range(1, total + 1):
        world = RunWorld()
        world.valve.steps = steps
        await world.arm()
        run_id = await world.alert()
        world.store.dies_at, world.store.after_commit = point, after_commit
        with pytest.raises(Crash):
            await world.turn_the_crank()

        world.restart()
        await world.turn_the_crank()

        assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured"), f"died at {point}"
        assert world.valve.turns == [(run_id, seq) for seq in range(steps)], f"died at {point}"
        assert len(world.cluster.writes) == steps, f"died at {point}"


async def test_a_run_is_not_held_back_by_its_own_start() -> None:
    """With one start allowed per target, a crash right after that start still ends in a cure."""
    total = await _transactions_of_a_clean_run(1)
    for point in range(1, total + 1):
        world = RunWorld()
        world.change_rule(per_target=Limit(1, timedelta(hours=1)), per_rule=Limit(1, timedelta(hours=1)))
        await world.arm()
        run_id = await world.alert()
        world.store.dies_at = point
        with pytest.raises(Crash):
            await world.turn_the_crank()
        world.restart()
        await world.turn_the_crank()

        assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured"), f"died at {point}"


async def test_two_crashes_in_a_row_end_in_the_same_state() -> None:
    """A crash during the recovery of the first changes nothing about the outcome."""
    total = await _transactions_of_a_clean_run(2)
    for first in range(1, total + 1):
        for second in range(1, 6):
            world = RunWorld()
            world.valve.steps = 2
            await world.arm()
            run_id = await world.alert()
            world.store.dies_at = first
            with pytest.raises(Crash):
                await world.turn_the_crank()
            world.restart()
            world.store.dies_at = second
            try:
                await world.turn_the_crank()
            except Crash:
                world.restart()
                await world.turn_the_crank()

            assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured"), f"{first} then {second}"
            assert [seq for _, seq in world.valve.turns] == [0, 1], f"{first} then {second}"


async def test_no_intent_is_ever_left_without_an_outcome() -> None:
    """After recovery every journalled attempt is settled."""
    total = await _transactions_of_a_clean_run(1)
    for point in range(1, total + 1):
        world = RunWorld()
        await world.arm()
        run_id = await world.alert()
        world.store.dies_at = point
        with pytest.raises(Crash):
            await world.turn_the_crank()
        world.restart()
        await world.turn_the_crank()

        assert StepState.INTENT not in {r.state for r in await world.store.steps(run_id)}, f"died at {point}"


@pytest.mark.parametrize("after_commit", [True, False], ids=["after", "before"])
async def test_trail_and_journal_agree_wherever_the_process_died(after_commit: bool) -> None:
    """Every write and decision has exactly one record, at the crash as well as after the recovery from it."""
    total = await _transactions_of_a_clean_run(2)
    for point in range(1, total + 1):
        world = RunWorld()
        world.valve.steps = 2
        await world.arm()
        await world.alert()
        world.store.dies_at, world.store.after_commit = point, after_commit
        with pytest.raises(Crash):
            await world.turn_the_crank()
        assert await disagreements(world.memory) == [], f"died at {point}"

        world.restart()
        await world.turn_the_crank()

        assert await disagreements(world.memory) == [], f"died at {point}, and recovered"
