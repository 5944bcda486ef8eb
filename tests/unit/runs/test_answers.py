"""What a person tells a run: yes, no, or to end; and what becomes of it, also over restarts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from remediator.model.ledger import Signal, SignalName
from remediator.model.rules import Mode
from remediator.model.runs import Run, RunState
from tests.fakes.run_world import RunWorld


@pytest.fixture
async def world() -> RunWorld:
    made = RunWorld()
    await made.arm()
    return made


async def tell(world: RunWorld, run: Run, name: SignalName, *, digest: str | None = None) -> None:
    plan = run.plan.digest if run.plan and name is not SignalName.CANCEL else ""
    about = plan if digest is None else digest
    await world.store.signal(Signal(run.id, name, about, "ada", "seen it", world.clock.now()))


async def asked(world: RunWorld) -> Run:
    """A run that waits for an answer to its plan."""
    world.change_rule(mode=Mode.APPROVE)
    run_id = await world.alert()
    await world.turn_the_crank(once=True)
    run = await world.run(run_id)
    assert (run.state, world.writes) == (RunState.AWAITING_APPROVAL, 0)
    return run


async def test_a_yes_lets_exactly_this_plan_be_carried_out(world: RunWorld) -> None:
    """The run looks and plans again, finds the same plan, and acts."""
    run = await asked(world)

    await tell(world, run, SignalName.APPROVE)
    await world.turn_the_crank()

    assert await world.end_of(run.id) == (RunState.SUCCEEDED, "cured")
    assert run.plan is not None
    assert (await world.run(run.id)).approved == run.plan.digest


async def test_a_no_ends_it_without_a_write(world: RunWorld) -> None:
    """Refused, with who said so."""
    run = await asked(world)

    await tell(world, run, SignalName.DENY)
    await world.turn_the_crank()

    assert await world.end_of(run.id) == (RunState.REFUSED, "denied")
    assert ((await world.run(run.id)).detail, world.writes) == ("ada denied it: seen it", 0)


@pytest.mark.parametrize("first", [SignalName.APPROVE, SignalName.DENY])
async def test_a_no_counts_before_a_yes(world: RunWorld, first: SignalName) -> None:
    """Whichever came first, as long as nothing has begun."""
    run = await asked(world)
    second = SignalName.DENY if first is SignalName.APPROVE else SignalName.APPROVE

    await tell(world, run, first)
    await tell(world, run, second)
    await world.turn_the_crank()

    assert await world.end_of(run.id) == (RunState.REFUSED, "denied")


async def test_a_yes_to_a_plan_that_changed_asks_anew(world: RunWorld) -> None:
    """The valve needs another turn by now: the yes was for another plan, and nothing is written without a new one."""
    run = await asked(world)
    await tell(world, run, SignalName.APPROVE)
    world.valve.steps += 1

    await world.turn_the_crank(once=True)
    again = await world.run(run.id)
    before = world.writes
    await tell(world, again, SignalName.APPROVE)
    await world.turn_the_crank()

    assert (again.state, before) == (RunState.AWAITING_APPROVAL, 0)
    assert again.plan is not None
    assert run.plan is not None
    assert again.plan.digest != run.plan.digest
    assert await world.end_of(run.id) == (RunState.SUCCEEDED, "cured")


async def test_an_answer_that_comes_too_late_is_none(world: RunWorld) -> None:
    """The time for an answer is up: a person is told, and a late yes changes nothing."""
    run = await asked(world)
    world.clock.advance(timedelta(hours=1, seconds=1).total_seconds())

    await tell(world, run, SignalName.APPROVE)
    await world.turn_the_crank()

    assert await world.end_of(run.id) == (RunState.ESCALATED, "approval_expired")
    assert "too late" in (await world.run(run.id)).detail
    assert world.writes == 0


async def test_a_question_about_an_alert_that_is_over_is_withdrawn(world: RunWorld) -> None:
    """At once, not when the time for an answer is up."""
    run = await asked(world)

    await world.resolve(run.starts_at)
    await world.turn_the_crank(once=True)

    assert await world.end_of(run.id) == (RunState.CANCELLED, "episode_over")


async def test_an_approved_run_still_asks_its_guards(world: RunWorld) -> None:
    """A yes to the plan is no yes to a frozen service."""
    run = await asked(world)
    await tell(world, run, SignalName.APPROVE)
    await world.freeze()

    await world.turn_the_crank(once=True)

    assert await world.end_of(run.id) == (RunState.HELD, "frozen")
    assert world.writes == 0


async def test_a_question_outlives_the_process(world: RunWorld) -> None:
    """It is one row: the next process finds the answer, and acts once."""
    run = await asked(world)
    world.restart()
    await tell(world, run, SignalName.APPROVE)
    world.restart()

    await world.turn_the_crank()

    assert await world.end_of(run.id) == (RunState.SUCCEEDED, "cured")


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.APPROVE])
async def test_a_run_that_waits_is_cancelled_at_once(world: RunWorld, mode: Mode) -> None:
    """Held or waiting for an answer, it ends without a write and with the name of who wanted it."""
    world.change_rule(mode=mode)
    await world.freeze()
    run_id = await world.alert()
    await world.turn_the_crank(once=True)

    await tell(world, await world.run(run_id), SignalName.CANCEL)
    await world.turn_the_crank(once=True)

    assert await world.end_of(run_id) == (RunState.CANCELLED, "cancelled")
    assert ((await world.run(run_id)).detail, world.writes) == ("ada cancelled it: seen it", 0)


async def test_a_run_that_has_written_is_stopped_before_its_next_step(world: RunWorld) -> None:
    """Half-way is never silent: a person is told, and nothing more is sent."""
    world.valve.steps = 2
    run_id = await world.alert()

    async def cancel() -> None:
        await tell(world, await world.run(run_id), SignalName.CANCEL)

    world.valve.after_turn = [cancel]
    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.ESCALATED, "cancelled")
    assert [(r.seq, str(r.state)) for r in await world.store.steps(run_id)] == [(0, "done")]
    assert world.writes == 1


async def test_a_run_whose_workers_vanish_is_handed_to_a_person(world: RunWorld) -> None:
    """Three processes end with it in hand; the fourth does not try it, says why, and takes up the others."""
    world.bounds = replace(world.bounds, tries=3)
    poison = await world.alert()
    for _ in range(3):
        await world.store.claim(1)
        world.restart()

    async with world.working():
        await world.until_ended(poison)
    other = await world.alert(starts_at="2026-11-20T11:30:00Z")
    await world.turn_the_crank()

    assert await world.end_of(poison) == (RunState.ESCALATED, "quarantined")
    assert "3 workers vanished" in (await world.run(poison)).detail
    assert await world.end_of(other) == (RunState.SUCCEEDED, "cured")
