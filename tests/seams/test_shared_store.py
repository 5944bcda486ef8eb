"""What several workers on one store promise each other: one suite, held to the database and to the store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from remediator.model.alerts import Alert, AlertStatus
from remediator.model.errors import LostRun
from remediator.model.ledger import (
    Candidate,
    Delivery,
    Renewed,
    RunFilter,
    Signal,
    SignalName,
    StartRequest,
    Switch,
    Usage,
)
from remediator.model.plans import Effect
from remediator.model.rules import Limit
from remediator.model.runs import Run, RunState, StepRecord, StepState
from remediator.model.verdicts import Allow, Hold, Reason, Verdict
from remediator.store import auditing
from remediator.store.memory import MemoryStore
from remediator.store.postgres import Address, PostgresStore, Sharing

NOON = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEASE = timedelta(seconds=8)
MOMENT = timedelta(microseconds=1)
Store = PostgresStore | MemoryStore


class HandClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - NOON).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass
class Pair:
    """Two workers, and the store's clock."""

    one: Store
    two: Store
    clock: HandClock

    @property
    def both(self) -> tuple[Store, Store]:
        return self.one, self.two

    async def run(self, name: str = "run-1", at: datetime = NOON) -> Run:
        await self.one.file(delivery(candidate(name, alert(name)), at=at))
        return await self.stored(name)

    async def stored(self, name: str = "run-1") -> Run:
        run = await self.two.get(name)
        assert run is not None
        return run

    async def taken_over(self) -> tuple[Run, Run]:
        """A run as its first worker has it, and as the second has it since the first was not heard of."""
        await self.run()
        (mine,) = await self.one.claim(1)
        self.clock.time += LEASE
        (theirs,) = await self.two.claim(1)
        return mine.run, theirs.run


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.real("postgres"))])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    clock = HandClock()
    if request.param == "memory":
        first = MemoryStore(clock, worker="one", lease=LEASE)
        made = Pair(first, first.beside("two"), clock)
    else:
        address = Address(request.getfixturevalue("postgres_database").url)
        sharing = Sharing("one", lease=LEASE, now=clock.now)
        # Both at once: the second finds the first one's migration under way.
        opened = (PostgresStore.open(address, clock, replace(sharing, worker=worker)) for worker in ("one", "two"))
        made = Pair(*await asyncio.gather(*opened), clock)
    yield made
    for store in made.both:
        await store.close()


def alert(name: str, status: AlertStatus = AlertStatus.FIRING) -> Alert:
    return Alert(status, {"alertname": "Down", "pod": name}, {}, "2025-03-01T11:59:00Z", "")


def candidate(run_id: str, firing: Alert) -> Candidate:
    return Candidate(run_id, "heal", "rev-1", firing)


def delivery(*candidates: Candidate, over: tuple[Alert, ...] = (), at: datetime = NOON) -> Delivery:
    return Delivery(at, b"{}", "10.0.0.1", candidates, over)


def request_for(run: Run, key: str) -> StartRequest:
    limit = Limit(3, HOUR)
    return StartRequest(run, key, "data", limit, limit, limit, limit)


def within_three(usage: Usage) -> Verdict:
    is_free = usage.holder is None and len(usage.global_starts) < 3
    return Allow() if is_free else Hold(NOON + HOUR, Reason.RATE_LIMITED, "enough")


def intent(run: Run) -> StepRecord:
    return StepRecord(run.id, 0, 1, "pod.delete", Effect.DESTRUCTIVE, StepState.INTENT, {}, NOON, NOON + HOUR)


def cancellation(run: Run, by: str) -> Signal:
    return Signal(run.id, SignalName.CANCEL, "", by, "because", NOON)


async def claimed(store: Store, limit: int = 5) -> list[tuple[str, int]]:
    return [(entry.run.id, entry.tries) for entry in await store.claim(limit)]


# --- leases ------------------------------------------------------------------------------------------------


async def test_a_run_in_hand_is_nobody_elses(pair: Pair) -> None:
    """Until the very end of its lease another worker does not get it; then it does, and knows that it is a suspect."""
    await pair.run()
    first = await claimed(pair.one)

    pair.clock.time += LEASE - MOMENT
    early = await claimed(pair.two)
    pair.clock.time += MOMENT

    assert (first, early, await claimed(pair.two)) == ([("run-1", 1)], [], [("run-1", 2)])


async def test_who_was_taken_for_dead_stores_nothing_more(pair: Pair) -> None:
    """Neither a state, an intent, an outcome nor a start; and the one who has the run now can store all of them."""
    await pair.run()
    (old,) = await pair.one.claim(1)
    sent = await pair.one.intend(old.run, intent(old.run))
    pair.clock.time += LEASE
    (new,) = await pair.two.claim(1)
    late = (
        pair.one.save(replace(sent, detail="late")),
        pair.one.intend(sent, replace(intent(sent), seq=1)),
        pair.one.settle(sent, intent(sent), state=StepState.DONE, by_probe=False, changed=True, detail="late", at=NOON),
        pair.one.start(request_for(sent, "A"), within_three),
    )

    for call in late:
        with pytest.raises(LostRun):
            await call
    assert await pair.two.start(request_for(new.run, "A"), within_three) == Allow()
    done = await pair.two.settle(
        new.run, intent(sent), state=StepState.DONE, by_probe=True, changed=True, detail="probed", at=NOON
    )
    saved = await pair.two.save(replace(done, detail="mine"))
    assert await pair.stored() == saved


async def test_a_renewal_keeps_a_run(pair: Pair) -> None:
    """Its full time counts from the renewal."""
    await pair.run()
    await claimed(pair.one)

    pair.clock.time += LEASE - MOMENT
    renewed = await pair.one.renew()
    pair.clock.time += LEASE - MOMENT

    assert (renewed, await claimed(pair.two)) == (Renewed(frozenset({"run-1"}), frozenset()), [])


async def test_a_renewal_that_is_late_keeps_nothing(pair: Pair) -> None:
    """Whether another worker has the run by then, or nobody yet: what has ended is over."""
    await pair.run("run-1")
    await pair.run("run-2")
    await claimed(pair.one)
    pair.clock.time += LEASE
    await claimed(pair.two, 1)

    renewed = await pair.one.renew()

    assert renewed == Renewed(frozenset(), frozenset())


async def test_a_release_by_somebody_else_changes_nothing(pair: Pair) -> None:
    """Not by one who never had the run, and not by one who lost it."""
    await pair.taken_over()

    await pair.one.release("run-1")

    assert await claimed(pair.one) == []
    assert await pair.two.renew() == Renewed(frozenset({"run-1"}), frozenset())


async def test_a_released_run_is_anybodys_at_once(pair: Pair) -> None:
    """And no suspect."""
    await pair.run()
    await claimed(pair.one)

    await pair.one.release("run-1")

    assert await claimed(pair.two) == [("run-1", 1)]


async def test_the_end_of_anothers_lease_is_waited_for(pair: Pair) -> None:
    """A worker with nothing to do wakes when a run may be had, be it due or left behind."""
    await pair.run("run-1")
    held = await pair.run("run-2")
    await pair.one.save(replace(held, state=RunState.HELD, due_at=NOON + HOUR))
    alone = await pair.two.due_in()
    await claimed(pair.one)

    beside = await pair.two.due_in()
    pair.clock.time += LEASE

    now = await pair.two.due_in()
    assert (alone, beside) == (timedelta(0), LEASE)
    assert now is not None
    assert now <= timedelta(0)


async def test_two_claimers_at_once_share_nothing(pair: Pair) -> None:
    """However they race, each run has one worker, and none is left over."""
    for n in range(40):
        await pair.run(f"run-{n}")

    turns = await asyncio.gather(*(claimed(store, 3) for _ in range(10) for store in pair.both))

    taken = [run_id for turn in turns for run_id, _ in turn]
    assert sorted(taken) == sorted(f"run-{n}" for n in range(40))


async def test_a_worker_that_is_closed_leaves_its_runs_to_others(pair: Pair) -> None:
    """Without waiting for a lease, where the store can tell; and they are suspects, for nobody gave them back."""
    await pair.run()
    await claimed(pair.one)

    await pair.one.close()
    pair.clock.time += LEASE

    assert await claimed(pair.two) == [("run-1", 2)]


# --- limits ------------------------------------------------------------------------------------------------


async def test_starts_of_two_workers_never_exceed_a_limit(pair: Pair) -> None:
    """Fifty runs on fifty targets, asked on two stores at once, a budget of three: three start."""
    runs = [await pair.run(f"run-{n}") for n in range(50)]

    verdicts = await asyncio.gather(
        *(pair.both[n % 2].start(request_for(run, f"T{n}"), within_three) for n, run in enumerate(runs))
    )

    assert sum(isinstance(verdict, Allow) for verdict in verdicts) == 3
    assert len((await pair.two.usage(request_for(await pair.run("more"), "T"))).global_starts) == 3


async def test_two_workers_never_have_one_target(pair: Pair) -> None:
    """Twenty runs on one target, asked on two stores at once: one starts."""
    runs = [await pair.run(f"run-{n}") for n in range(20)]

    verdicts = await asyncio.gather(
        *(pair.both[n % 2].start(request_for(run, "A"), within_three) for n, run in enumerate(runs))
    )

    assert sum(isinstance(verdict, Allow) for verdict in verdicts) == 1


# --- what is told ------------------------------------------------------------------------------------------


async def test_one_of_two_signals_wins_on_both_sides(pair: Pair) -> None:
    """Fifty people at two replicas: everybody hears one name."""
    run = await pair.run()

    told = await asyncio.gather(*(pair.both[n % 2].signal(cancellation(run, f"person-{n}")) for n in range(50)))

    assert len({signal.by for signal in told}) == 1
    assert list(await pair.one.signals("run-1")) == [told[0]]


async def test_a_signal_and_a_wait_never_miss_each_other(pair: Pair) -> None:
    """Told at one replica while the other puts the run to wait: it is due, whichever came first."""
    runs = [await pair.run(f"run-{n}") for n in range(20)]

    await asyncio.gather(
        *(pair.one.save(replace(run, state=RunState.HELD, due_at=NOON + HOUR)) for run in runs),
        *(pair.two.signal(cancellation(run, "ann")) for run in runs),
    )

    assert {run.due_at for run in await pair.one.list(RunFilter())} == {NOON}


async def test_a_cancellation_at_one_reaches_the_worker_at_the_other(pair: Pair) -> None:
    """With its next renewal."""
    await pair.run()
    await claimed(pair.one)

    await pair.two.signal(cancellation(await pair.stored(), "ann"))

    assert await pair.one.renew() == Renewed(frozenset({"run-1"}), frozenset({"run-1"}))


async def test_one_alert_at_two_replicas_is_one_run(pair: Pair) -> None:
    """The same notification from two Alertmanagers at the same instant, again and again: one run for each alert."""
    names = [f"pod-{n}" for n in range(30)]

    def notification(peer: int, order: int) -> Delivery:
        return delivery(*(candidate(f"{name}/{peer}", alert(name)) for name in names[::order]))

    filed = await asyncio.gather(
        *(pair.both[peer % 2].file(notification(peer, 1 if peer % 3 else -1)) for peer in range(20))
    )

    assert sum(entry.created for entries in filed for entry in entries) == 30
    assert len(await pair.one.list(RunFilter())) == 30
    told = {(entry.episode, entry.run_id) for entries in filed for entry in entries}
    assert len(told) == 30


async def test_an_alert_and_its_resolution_never_miss_each_other(pair: Pair) -> None:
    """Filed at two replicas at once: either there is no run, or it knows that its alert is over."""
    names = [f"pod-{n}" for n in range(40)]

    filed = await asyncio.gather(
        *(pair.one.file(delivery(candidate(f"run-{name}", alert(name)))) for name in names),
        *(pair.two.file(delivery(over=(alert(name, AlertStatus.RESOLVED),))) for name in names),
    )

    made = {entry.run_id for entries in filed for entry in entries if entry.created}
    runs = await pair.one.list(RunFilter())
    assert {run.id for run in runs} == made
    assert all(run.resolved_at == NOON for run in runs)


async def test_a_switch_is_seen_by_the_other_at_once(pair: Pair) -> None:
    """By whoever asks for it, and by the judge of a start."""
    run = await pair.run()

    for on in (True, False, True):
        switch = Switch("freeze", on, "ann", "drill", NOON)
        await pair.one.throw(switch)
        usage = await pair.two.usage(request_for(run, "A"))
        assert (await pair.two.switch("freeze"), usage.frozen) == (switch, on)


async def test_two_workers_make_one_chain(pair: Pair) -> None:
    """No number twice, none left out, each record chained to the one before, whoever wrote it."""
    await asyncio.gather(
        *(pair.both[n % 2].file(delivery(candidate(f"run-{n}", alert(f"{n}")))) for n in range(60)),
        *(pair.both[n % 2].throw(Switch(f"arm:{n}", True, "ann", "test", NOON)) for n in range(20)),
    )

    records = list(await pair.one.audit(0, 1000))

    assert len(records) == 80
    assert list(auditing.flaws(records)) == []
    assert await pair.two.audit_head() == records[-1]
