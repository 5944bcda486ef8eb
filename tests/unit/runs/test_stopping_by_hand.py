"""A running plan of several writes, and a person who wants it to stop: by a brake, by the switch, by an edited rule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from remediator.model.objects import NAMESPACE, POD, ObjectRef
from remediator.model.runs import RunState, StepState
from tests.fakes.fake_brake import FakeBrake
from tests.fakes.fake_cluster import FakeCluster
from tests.fakes.run_world import RULE, RunWorld

PERMIT = 1.5


@pytest.fixture
async def world() -> RunWorld:
    """An armed rule, and a plan that writes three times."""
    world = RunWorld()
    world.valve.steps = 3
    await world.arm()
    return world


def brake_of(world: RunWorld) -> FakeBrake:
    assert isinstance(world.brake, FakeBrake)
    return world.brake


async def by_brake(world: RunWorld) -> None:
    brake_of(world).engage()


async def by_switch(world: RunWorld) -> None:
    await world.freeze()


async def by_hiding(world: RunWorld) -> None:
    brake_of(world).hide()


Stop = Callable[[RunWorld], Awaitable[None]]
STOPS = [
    (by_brake, "frozen", "frozen by brake of the test: storage migration"),
    (by_switch, "frozen", "the service is frozen; `remediator unfreeze` ends it"),
    (by_hiding, "evidence_unknown", "cannot tell whether brake of the test says freeze: it is dark"),
]


@pytest.mark.parametrize("writes", [1, 2])
@pytest.mark.parametrize(("stop", "reason", "detail"), STOPS)
async def test_whoever_stops_it_between_two_writes_stops_the_next(
    world: RunWorld, stop: Stop, reason: str, detail: str, writes: int
) -> None:
    """The run is held where it is, and goes on from there when it may."""
    world.valve.after_turn = [_nothing] * (writes - 1) + [lambda: stop(world)]
    run_id = await world.alert()
    await world.turn_the_crank(once=True)

    run = await world.run(run_id)
    assert (run.state, str(run.reason), run.detail) == (RunState.HELD, reason, detail)
    assert (world.writes, run.cursor) == (writes, writes)

    brake_of(world).release()
    await world.freeze(on=False)
    await world.turn_the_crank()
    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")
    assert world.writes == 3


@pytest.mark.parametrize(("stop", "reason", "detail"), STOPS)
async def test_it_is_still_stopped_after_a_restart(world: RunWorld, stop: Stop, reason: str, detail: str) -> None:
    """The next process asks the same brakes and the same switch, and hands the run to a person in the end."""
    world.valve.after_turn = [lambda: stop(world)]
    run_id = await world.alert()
    await world.turn_the_crank(once=True)

    world.restart()
    await world.turn_the_crank()

    assert world.writes == 1
    run = await world.run(run_id)
    assert (str(run.state), str(run.reason), run.detail) == ("escalated", "waited_too_long", f"{reason}: {detail}")


# --- how long a yes lasts ----------------------------------------------------------------------------------


class SlowStore:
    """A store whose commit of an intent takes a while, in which somebody freezes."""

    def __init__(self, world: RunWorld, seconds: float) -> None:
        self._world, self._store, self._seconds = world, world.store, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def intend(self, *args: Any) -> Any:
        brake_of(self._world).engage()
        self._world.clock.advance(self._seconds)
        return await self._store.intend(*args)


@pytest.mark.parametrize(("seconds", "writes"), [(PERMIT - 0.001, 1), (PERMIT, 0), (20.0, 0)])
async def test_a_yes_from_before_the_freeze_is_good_for_as_long_as_a_permit(
    world: RunWorld, seconds: float, writes: int
) -> None:
    """Counted from before the guards' facts were read: nothing leaves later, however long the journal takes."""
    world.store = SlowStore(world, seconds)  # type: ignore[assignment]
    run_id = await world.alert()

    await world.turn_the_crank(once=True)

    assert world.writes == writes
    assert (await world.run(run_id)).state is RunState.HELD
    assert [r.state for r in await world.store.steps(run_id)] == [StepState.DONE if writes else StepState.NOT_APPLIED]


class SlowBrake(FakeBrake):
    """A brake that takes its time, at which somebody freezes as soon as it has said no."""

    def __init__(self, world: RunWorld, seconds: float) -> None:
        super().__init__()
        self._world, self._seconds = world, seconds

    async def look(self) -> Any:
        said = self.state
        self._world.clock.advance(self._seconds)
        return said


async def test_facts_that_take_longer_than_a_permit_are_looked_for_again(world: RunWorld) -> None:
    """No intent is journalled for a write that could not leave in time any more."""
    world.brake = SlowBrake(world, PERMIT)
    run_id = await world.alert()

    await world.turn_the_crank(once=True)

    run = await world.run(run_id)
    assert (run.state, str(run.reason)) == (RunState.HELD, "evidence_stale")
    assert (await world.store.steps(run_id), world.writes) == ([], 0)


class SlowCluster(FakeCluster):
    """An API server that takes its time to say whether the namespace is paused."""

    def live(self, ref: ObjectRef) -> dict[str, Any]:
        if ref.resource == NAMESPACE:
            self.clock.advance(PERMIT)
        return super().live(ref)


async def test_a_pause_is_obeyed_within_the_same_two_seconds(world: RunWorld) -> None:
    """A permit lasts from before the first fact: annotations that were read long ago allow nothing."""
    world.cluster = SlowCluster(world.clock)
    world.cluster.put(NAMESPACE, {"metadata": {"name": "plant"}})
    world.cluster.put(POD, {"metadata": {"name": "v1", "namespace": "plant"}, "spec": {}})
    run_id = await world.alert()

    await world.turn_the_crank(once=True)

    run = await world.run(run_id)
    assert (run.state, str(run.reason), world.writes) == (RunState.HELD, "evidence_stale", 0)


async def _nothing() -> None:
    """A turn after which nothing happens."""


# --- an edited rule ----------------------------------------------------------------------------------------


async def test_an_edit_disarms_and_nothing_is_begun(world: RunWorld) -> None:
    """Armed at one revision is not armed at another."""
    world.change_rule(revision="r2", namespaces=(*RULE.namespaces, "bank"))
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.REFUSED, "disarmed")
    assert world.writes == 0


async def test_an_edit_back_to_what_was_armed_is_armed(world: RunWorld) -> None:
    """A rolled-back file says what a person said yes to."""
    world.change_rule(revision="r2")
    world.change_rule(revision="r1")
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")


async def test_an_edit_in_the_middle_waits_for_a_person(world: RunWorld) -> None:
    """Half a cure is held; armed as the rule is now, it goes on."""

    async def edit() -> None:
        world.change_rule(revision="r2")

    world.valve.after_turn = [edit]
    run_id = await world.alert()
    await world.turn_the_crank(once=True)
    run = await world.run(run_id)
    assert (run.state, str(run.reason), world.writes) == (RunState.HELD, "disarmed", 1)

    await world.arm()
    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")
    assert world.writes == 3


async def test_an_edit_that_nobody_arms_ends_with_a_person(world: RunWorld) -> None:
    """After the rule's patience, with what is missing."""

    async def edit() -> None:
        world.change_rule(revision="r2")

    world.valve.after_turn = [edit]
    run_id = await world.alert()
    await world.turn_the_crank()

    run = await world.run(run_id)
    assert (run.state, str(run.reason), world.writes) == (RunState.ESCALATED, "waited_too_long", 1)
    assert "`remediator arm turn-it` arms it" in run.detail
    assert world.clock.passed >= timedelta(minutes=15).total_seconds() - 30
