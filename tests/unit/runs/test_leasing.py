"""A worker lets go of a run before anybody else can have it, and sends nothing that could outlast its lease."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from remediator.model.errors import LostRun, StoreUnavailable
from remediator.model.ledger import Renewed
from remediator.runs.leasing import Leases
from tests.fakes.fake_clock import FakeClock


class Renewing:
    """A store of which only the renewal is asked: it answers what it is told to, and counts."""

    lease: timedelta | None = timedelta(seconds=9)

    def __init__(self) -> None:
        self.answers: list[Renewed | Exception] = []
        self.asked = 0

    async def renew(self) -> Renewed:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def held(*ids: str, cancelled: tuple[str, ...] = ()) -> Renewed:
    return Renewed(frozenset(ids), frozenset(cancelled))


class Keeper:
    def __init__(self, store: Any = None) -> None:
        self.store, self.clock = store or Renewing(), FakeClock()
        self.lost: list[str] = []
        self.complaints: list[str] = []
        self.leases = Leases(
            self.store,
            self.clock,
            margin=1.0,
            lost=self.lost.append,
            complain=lambda what, error: self.complaints.append(what),
        )

    def take(self, *ids: str) -> None:
        self.leases.taken(ids, self.clock.monotonic())


async def test_a_tenure_is_counted_from_before_the_question() -> None:
    """However long the answer took, the lease is not believed to be longer than the store has it."""
    keeper = Keeper()
    asked_at = keeper.clock.monotonic()
    keeper.clock.advance(3)

    keeper.leases.taken(["run-1"], asked_at)

    assert await keeper.leases.ends("run-1", needed=6) == asked_at + 9
    assert keeper.store.asked == 0


async def test_what_needs_longer_renews_first() -> None:
    """A call of six seconds with five left waits for a renewal, and has nine then."""
    keeper = Keeper()
    keeper.take("run-1")
    keeper.clock.advance(4)
    keeper.store.answers = [held("run-1")]

    assert await keeper.leases.ends("run-1", needed=6) == keeper.clock.monotonic() + 9
    assert keeper.store.asked == 1


@pytest.mark.parametrize("answer", [held(), StoreUnavailable("away")])
async def test_a_run_that_cannot_be_kept_long_enough_is_lost(answer: Renewed | Exception) -> None:
    """Another worker has it, or nobody knows: nothing is sent."""
    keeper = Keeper()
    keeper.take("run-1")
    keeper.clock.advance(4)
    keeper.store.answers = [answer]

    with pytest.raises(LostRun):
        await keeper.leases.ends("run-1", needed=6)


async def test_a_run_that_was_never_taken_is_nobodys() -> None:
    """What is not in hand has no time left at all."""
    keeper = Keeper()
    keeper.store.answers = [held("run-1")]

    with pytest.raises(LostRun):
        await keeper.leases.ends("run-1", needed=0)


async def test_a_run_that_is_missing_from_the_answer_is_let_go_at_once() -> None:
    """The driver is told once; the others go on."""
    keeper = Keeper()
    keeper.take("run-1", "run-2")
    keeper.clock.advance(4)
    keeper.store.answers = [held("run-2")]

    await keeper.leases.ends("run-2", needed=6)

    assert keeper.lost == ["run-1"]


async def test_a_store_that_cannot_be_asked_ends_a_tenure_a_margin_early() -> None:
    """Before the lease is over by the store's clock, and not at the first failure."""
    keeper = Keeper()
    keeper.take("run-1")
    keeper.store.answers = [StoreUnavailable("away")] * 2

    keeper.clock.advance(7.9)
    with pytest.raises(LostRun):
        await keeper.leases.ends("run-1", needed=6)
    before = list(keeper.lost)
    keeper.clock.advance(0.2)
    with pytest.raises(LostRun):
        await keeper.leases.ends("run-1", needed=6)

    assert (before, keeper.lost) == ([], ["run-1"])
    assert keeper.complaints == ["leases cannot be renewed"] * 2


async def test_a_run_claimed_since_the_question_left_is_not_lost() -> None:
    """It is not in the answer, because the answer is older."""
    keeper = Keeper()
    keeper.take("run-1")
    store = keeper.store

    async def renew() -> Renewed:
        keeper.take("run-2")
        return held("run-1")

    store.renew = renew
    keeper.clock.advance(4)
    await keeper.leases.ends("run-1", needed=6)

    assert keeper.lost == []
    assert await keeper.leases.ends("run-2", needed=6) == keeper.clock.monotonic() + 9


async def test_a_run_that_was_given_back_does_not_come_back() -> None:
    """Not even through the answer to a question that left before."""
    keeper = Keeper()
    keeper.take("run-1", "run-2")
    store = keeper.store

    async def renew() -> Renewed:
        keeper.leases.given_back("run-2")
        return held("run-1", "run-2")

    store.renew = renew
    keeper.clock.advance(4)
    await keeper.leases.ends("run-1", needed=6)

    store.answers = [held()]
    with pytest.raises(LostRun):
        await keeper.leases.ends("run-2", needed=0)
    assert keeper.lost == []


async def test_a_cancellation_is_heard_with_the_renewal() -> None:
    """What waits long can ask for it without a question to the store."""
    keeper = Keeper()
    keeper.take("run-1", "run-2")
    keeper.clock.advance(4)
    keeper.store.answers = [held("run-1", "run-2", cancelled=("run-2",))]

    await keeper.leases.ends("run-1", needed=6)

    assert [keeper.leases.is_cancelled(run_id) for run_id in ("run-1", "run-2")] == [False, True]


async def test_a_store_of_one_process_never_ends_a_tenure() -> None:
    """A journal that only this process can have needs no lease."""
    store = Renewing()
    store.lease = None
    keeper = Keeper(store)
    keeper.take("run-1")
    keeper.clock.advance(10_000)

    assert await keeper.leases.ends("run-1", needed=1000) == float("inf")


async def test_leases_are_renewed_long_before_they_end() -> None:
    """Every third of a lease, and only while something is in hand."""
    keeper = Keeper()
    keeper.store.answers = [held("run-1")] * 20
    keeping = asyncio.create_task(keeper.leases.keep())
    while len(keeper.clock.slept) < 10:
        await asyncio.sleep(0)
    idle = keeper.store.asked
    keeper.take("run-1")
    while keeper.store.asked < 3:
        await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)

    assert (idle, set(keeper.clock.slept)) == (0, {3.0})
    assert await keeper.leases.ends("run-1", needed=8.9) > keeper.clock.monotonic()
