"""What every `RunStore` promises: one suite, held to the journals on disk, in a database and in memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from remediator.model.alerts import Alert, AlertStatus
from remediator.model.errors import IllegalMove, LostRun, StoreUnavailable
from remediator.model.evidence import Answer, Diagnosis, DiagnosisResult, Evidence
from remediator.model.ledger import (
    AuditKind,
    AuditNote,
    AuditRecord,
    Candidate,
    Delivery,
    Filed,
    Renewed,
    RunFilter,
    Signal,
    SignalName,
    StartRequest,
    Switch,
    Trace,
    Usage,
)
from remediator.model.objects import POD, STATEFUL_SET, ObjectRef
from remediator.model.plans import Change, Effect, Plan, Step
from remediator.model.rules import Limit
from remediator.model.runs import Run, RunState, StepRecord, StepState
from remediator.model.verdicts import Allow, Hold, Reason, Verdict
from remediator.store import auditing
from remediator.store.memory import MemoryStore
from remediator.store.postgres import Address, PostgresStore, Sharing
from remediator.store.sqlite import SQLiteStore

NOON = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
TARGET = ObjectRef(STATEFUL_SET, "etcd", "data", "uid-1")
Store = SQLiteStore | PostgresStore | MemoryStore


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


class Bench:
    """A store that can be restarted, and short ways to ask it things."""

    def __init__(self, store: Store, clock: HandClock, opened: Callable[[], Awaitable[Store]]) -> None:
        self.store = store
        self.clock = clock
        self._opened = opened

    async def restart(self) -> None:
        """As the next process finds it."""
        if isinstance(self.store, MemoryStore):
            self.store = self.store.after_restart()
        else:
            await self.store.close()
            self.store = await self._opened()

    async def run(self, name: str = "run-1", *, rule: str = "heal", at: datetime = NOON) -> Run:
        """A new run with an episode of its own."""
        await self.store.file(delivery(candidate(name, rule, alert(name)), at=at))
        return await self.stored(name)

    async def stored(self, name: str) -> Run:
        run = await self.store.get(name)
        assert run is not None
        return run

    async def claimed(self, limit: int) -> list[str]:
        return [entry.run.id for entry in await self.store.claim(limit)]

    async def started(self, name: str = "run-1", key: str = "A") -> Run:
        run = await self.run(name)
        assert await self.store.start(request(run, key), allow) == Allow()
        return await self.store.save(replace(run, state=RunState.RUNNING))


@pytest.fixture(params=["sqlite", "memory", pytest.param("postgres", marks=pytest.mark.real("postgres"))])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    clock = HandClock()
    match request.param:
        case "memory":
            opened = partial(_in_memory, clock)
        case "sqlite":
            opened = partial(SQLiteStore.open, tmp_path / "journal.db", clock)
        case _:
            opened = partial(_on_postgres, request.getfixturevalue("postgres_database").url, clock, count(1))
    made = Bench(await opened(), clock, opened)
    yield made
    await made.store.close()


async def _in_memory(clock: HandClock) -> Store:
    return MemoryStore(clock)


async def _on_postgres(url: str, clock: HandClock, processes: Iterator[int]) -> Store:
    """The leases are long: what they promise to several workers is in `test_shared_store.py`."""
    sharing = Sharing(f"worker-{next(processes)}", lease=timedelta(days=1), now=clock.now)
    return await PostgresStore.open(Address(url), clock, sharing)


def alert(name: str = "a", status: AlertStatus = AlertStatus.FIRING, starts_at: str = "2025-03-01T11:59:00Z") -> Alert:
    return Alert(status, {"alertname": "Down", "pod": name}, {}, starts_at, "")


def resolved(name: str = "a") -> Alert:
    return alert(name, AlertStatus.RESOLVED)


def candidate(run_id: str, rule: str = "heal", firing: Alert | None = None) -> Candidate:
    return Candidate(run_id, rule, "rev-1", firing or alert())


def delivery(*candidates: Candidate, over: tuple[Alert, ...] = (), at: datetime = NOON) -> Delivery:
    return Delivery(at, b'{"alerts": []}', "10.0.0.1", candidates, over)


def request(run: Run, key: str = "A", *, count: int = 3, window: timedelta = HOUR) -> StartRequest:
    limit = Limit(count, window)
    return StartRequest(run, key, "data", limit, limit, limit, limit)


def allow(usage: Usage) -> Verdict:
    return Allow()


def unused(**known: Any) -> Usage:
    """Usage of a store in which nothing has started."""
    none: dict[str, Any] = {"rule_starts": (), "target_starts": (), "namespace_starts": (), "global_starts": ()}
    rest = {"now": NOON, "finishes": (), "holder": None, "frozen": False, "armed": False, "armed_revision": ""}
    return Usage(**{**none, **rest, **known})


def intent(run: Run, seq: int = 0, attempt: int = 1, effect: Effect = Effect.DESTRUCTIVE) -> StepRecord:
    return StepRecord(
        run.id, seq, attempt, "pod.delete", effect, StepState.INTENT, {"uid": "u", "was": [1, 2]}, NOON, NOON + HOUR
    )


async def settle(store: Store, run: Run, record: StepRecord, state: StepState = StepState.DONE, **told: Any) -> Run:
    outcome: dict[str, Any] = {"by_probe": False, "changed": True, "detail": "gone", "at": NOON}
    return await store.settle(run, record, state=state, **{**outcome, **told})


def full_run(run: Run) -> Run:
    """`run` with every field filled in."""
    step = Step(
        0,
        "pod.delete",
        TARGET,
        {"grace": 30, "names": ["a"]},
        Effect.DESTRUCTIVE,
        timedelta(seconds=90.5),
        "it is stuck",
        (Change("spec.replicas", "3", "2"),),
        ("quorum",),
        (TARGET, ObjectRef(POD, "etcd-0", "data")),
    )
    evidence = (Evidence("quorum", "is there a quorum?", Answer.YES, "2 of 3"),)
    return replace(
        run,
        state=RunState.HELD,
        due_at=NOON + HOUR,
        target=TARGET,
        diagnosis=Diagnosis(DiagnosisResult.CONFIRMED, Reason.CONFIRMED, "stuck", evidence, needs_person=True),
        plan=Plan("heal", "rev-1", TARGET, "delete one pod", (step,), "sure?", ("3 - 1 >= 2",)),
        cursor=1,
        touched=True,
        reason=Reason.COOLING_DOWN,
        detail="later \ud800",
        held_since=NOON,
        started_at=NOON + timedelta(microseconds=1),
        finished_at=NOON + HOUR,
        resolved_at=NOON,
        notes={"seen": [1, {"deep": None}], "ratio": 0.5},
    )


# --- filing ------------------------------------------------------------------------------------------------


async def test_a_candidate_becomes_a_pending_run(bench: Bench) -> None:
    """A firing alert is stored as a run that is due at once."""
    firing = alert("x")

    filed = await bench.store.file(delivery(candidate("run-1", firing=firing)))

    assert list(filed) == [Filed("heal", firing.episode, "run-1", created=True)]
    assert await bench.store.get("run-1") == Run(
        id="run-1",
        rule="heal",
        rule_revision="rev-1",
        episode=firing.episode,
        labels=firing.labels,
        starts_at=firing.starts_at,
        state=RunState.PENDING,
        created_at=NOON,
        due_at=NOON,
    )


async def test_an_episode_has_one_run_for_ever(bench: Bench) -> None:
    """Redeliveries answer the first run, also after it ended and after a restart."""
    run = await bench.run()
    await bench.store.save(replace(run, state=RunState.REFUSED, finished_at=NOON))
    await bench.restart()

    filed = await bench.store.file(delivery(candidate("run-2", firing=alert("run-1"))))

    assert list(filed) == [Filed("heal", run.episode, "run-1", created=False, reason=Reason.DUPLICATE)]
    assert [r.id for r in await bench.store.list(RunFilter())] == ["run-1"]


async def test_a_delivery_that_repeats_itself_makes_one_run(bench: Bench) -> None:
    """The same alert twice in one delivery is one run."""
    filed = await bench.store.file(delivery(candidate("run-1"), candidate("run-2")))

    assert [(f.run_id, f.created) for f in filed] == [("run-1", True), ("run-1", False)]


async def test_rules_and_episodes_have_runs_of_their_own(bench: Bench) -> None:
    """Another rule, or the same labels firing anew, is another run."""
    again = alert(starts_at="2025-03-01T12:30:00Z")

    filed = await bench.store.file(
        delivery(candidate("run-1"), candidate("run-2", "other"), candidate("run-3", firing=again))
    )

    assert [(f.run_id, f.created) for f in filed] == [("run-1", True), ("run-2", True), ("run-3", True)]


async def test_concurrent_deliveries_of_an_episode_make_one_run(bench: Bench) -> None:
    """Two hundred senders at once, one run."""
    filed = await asyncio.gather(*(bench.store.file(delivery(candidate(f"run-{n}"))) for n in range(200)))

    assert sum(f.created for (f,) in filed) == 1
    assert {f.run_id for (f,) in filed} == {r.id for r in await bench.store.list(RunFilter())}


async def test_a_resolution_reaches_every_run_of_the_episode_and_the_first_stays(bench: Bench) -> None:
    """All rules' runs learn when the alert was resolved; a repeated resolution changes nothing."""
    await bench.store.file(
        delivery(candidate("run-1"), candidate("run-2", "other"), candidate("run-3", firing=alert("b")))
    )

    await bench.store.file(delivery(over=(resolved(),), at=NOON + HOUR))
    await bench.store.file(delivery(over=(resolved(),), at=NOON + 2 * HOUR))

    times = {r.id: r.resolved_at for r in await bench.store.list(RunFilter())}
    assert times == {"run-1": NOON + HOUR, "run-2": NOON + HOUR, "run-3": None}


async def test_a_resolution_that_overtook_its_alert_prevents_the_run(bench: Bench) -> None:
    """An episode known to be over gets no run, whichever came first and whatever restarted."""
    await bench.store.file(delivery(over=(resolved(),)))
    await bench.restart()

    filed = await bench.store.file(delivery(candidate("run-1"), candidate("run-2", firing=alert("b"))))

    over, fresh = alert().episode, alert("b").episode
    assert list(filed) == [
        Filed("heal", over, None, created=False, reason=Reason.RESOLVED),
        Filed("heal", fresh, "run-2", created=True),
    ]
    assert [r.id for r in await bench.store.list(RunFilter())] == ["run-2"]


async def test_a_resolution_does_not_take_the_run_from_its_worker(bench: Bench) -> None:
    """A save over the version read before the resolution succeeds and keeps the resolution."""
    run = await bench.run()
    await bench.store.file(delivery(over=(resolved("run-1"),), at=NOON + HOUR))

    saved = await bench.store.save(replace(run, detail="looked"))

    assert saved == replace(run, detail="looked", version=1, resolved_at=NOON + HOUR)
    assert await bench.store.get("run-1") == saved


async def test_ten_thousand_alerts_are_one_delivery(bench: Bench) -> None:
    """A storm is filed whole, in order."""
    many = [candidate(f"run-{n}", firing=alert(f"pod-{n}")) for n in range(10_000)]

    filed = await bench.store.file(delivery(*many))

    assert [f.run_id for f in filed] == [c.run_id for c in many]
    assert all(f.created for f in filed)


async def test_a_run_id_used_twice_is_refused_whole(bench: Bench) -> None:
    """A delivery that cannot be stored whole stores nothing."""
    await bench.run("run-1")

    with pytest.raises(StoreUnavailable):
        await bench.store.file(delivery(candidate("run-2", firing=alert("b")), candidate("run-1", firing=alert("c"))))

    assert [r.id for r in await bench.store.list(RunFilter())] == ["run-1"]


# --- claims ------------------------------------------------------------------------------------------------


async def test_a_claimed_run_is_nobody_elses_until_released(bench: Bench) -> None:
    """Two workers never have the same run; a released one is had again."""
    await bench.run("run-1")
    await bench.run("run-2", at=NOON + timedelta(seconds=1))
    bench.clock.time = NOON + HOUR

    first, second, third = [await bench.claimed(1) for _ in range(3)]
    await bench.store.release("run-1")
    again = await bench.claimed(5)

    assert (first, second, third, again) == (["run-1"], ["run-2"], [], ["run-1"])


async def test_concurrent_claims_share_nothing(bench: Bench) -> None:
    """Twenty workers claiming at once divide the runs between them."""
    for n in range(40):
        await bench.run(f"run-{n}")

    claimed = await asyncio.gather(*(bench.claimed(3) for _ in range(20)))

    assert sorted(id_ for ids in claimed for id_ in ids) == sorted(f"run-{n}" for n in range(40))


async def test_only_runs_that_are_due_are_claimed_oldest_first(bench: Bench) -> None:
    """A held run comes back as it is when its time has come, in the order of age."""
    old = await bench.run("old", at=NOON - HOUR)
    await bench.run("new")
    await bench.store.save(replace(old, state=RunState.HELD, due_at=NOON + HOUR))

    early = await bench.claimed(10)
    await bench.store.release("new")
    bench.clock.time = NOON + HOUR
    late = [(entry.run.id, entry.run.state) for entry in await bench.store.claim(10)]

    assert early == ["new"]
    assert late == [("old", RunState.HELD), ("new", RunState.PENDING)]


async def test_a_claim_is_a_fence(bench: Bench) -> None:
    """Claiming raises the version: whoever had the run before can store nothing more, and the claimer can."""
    before = await bench.run()

    (claimed,) = await bench.store.claim(1)

    with pytest.raises(LostRun):
        await bench.store.save(replace(before, detail="late"))
    assert claimed.run == replace(before, version=before.version + 1)
    assert (await bench.store.save(replace(claimed.run, detail="in time"))).detail == "in time"


@pytest.mark.parametrize("state", [RunState.HELD, RunState.AWAITING_APPROVAL, RunState.CANCELLED])
async def test_a_waiting_or_final_state_gives_up_the_claim(bench: Bench, state: RunState) -> None:
    """Saving such a state is the release; only a live run can be claimed again."""
    await bench.run()
    (claimed,) = await bench.store.claim(1)

    await bench.store.save(replace(claimed.run, state=state))

    assert await bench.claimed(1) == ([] if state is RunState.CANCELLED else ["run-1"])


async def test_a_restart_makes_every_live_run_claimable(bench: Bench) -> None:
    """Claims end with the process that made them; the runs are suspect now, so one comes at a time."""
    await bench.run("run-1")
    await bench.run("run-2")
    await bench.store.claim(2)

    await bench.restart()

    first, meanwhile = await bench.claimed(2), await bench.claimed(2)
    await bench.store.release("run-1")
    assert (first, meanwhile, await bench.claimed(2)) == (["run-1"], [], ["run-1", "run-2"])


async def test_claims_without_progress_are_counted(bench: Bench) -> None:
    """A run whose worker vanishes again and again shows it; given back in order, or got on with, it starts anew."""
    await bench.run()
    tries = []
    for _ in range(3):
        (claimed,) = await bench.store.claim(1)
        tries.append(claimed.tries)
        await bench.restart()
    (claimed,) = await bench.store.claim(1)
    await bench.store.release("run-1")
    (given_back,) = await bench.store.claim(1)

    assert (tries, claimed.tries, given_back.tries) == ([1, 2, 3], 4, 1)


async def test_a_step_that_is_done_is_progress_and_a_lost_one_is_not(bench: Bench) -> None:
    """Only what moves the cursor clears a run of suspicion."""
    tries = []
    for name, state in (("run-1", StepState.NOT_APPLIED), ("run-2", StepState.DONE)):
        run = await bench.run(name)
        (claimed,) = await bench.store.claim(1)
        run = await bench.store.intend(claimed.run, intent(claimed.run))
        await settle(bench.store, run, intent(run), state)
        await bench.restart()
        (again,) = await bench.store.claim(1)
        tries.append(again.tries)
        await bench.store.save(replace(again.run, state=RunState.ESCALATED))

    assert tries == [2, 1]


async def test_suspects_do_not_hold_up_others(bench: Bench) -> None:
    """Runs that were in hand at a crash come one by one, and new runs beside them."""
    for name in ("run-1", "run-2"):
        await bench.run(name)
    await bench.store.claim(2)
    await bench.restart()
    await bench.run("run-3", at=NOON + timedelta(seconds=1))
    bench.clock.time = NOON + HOUR

    assert await bench.claimed(5) == ["run-1", "run-3"]


async def test_claiming_nothing_answers_nothing(bench: Bench) -> None:
    """A limit of none claims none."""
    await bench.run()

    assert [await bench.claimed(limit) for limit in (0, -1)] == [[], []]


async def test_a_renewal_says_what_is_still_held(bench: Bench) -> None:
    """Runs in hand are told; those given up or ended are not."""
    for name in ("run-1", "run-2", "run-3"):
        await bench.run(name)
    claimed = await bench.store.claim(3)
    await bench.store.release("run-1")
    await bench.store.save(replace(claimed[1].run, state=RunState.HELD))

    assert await bench.store.renew() == Renewed(frozenset({"run-3"}), frozenset())


async def test_the_next_due_time_is_that_of_a_free_live_run(bench: Bench) -> None:
    """Claimed and ended runs do not wake anybody."""
    assert await bench.store.due_in() is None
    ended = await bench.run("ended", at=NOON - 2 * HOUR)
    await bench.store.save(replace(ended, state=RunState.REFUSED))
    await bench.run("claimed", at=NOON - HOUR)
    await bench.store.claim(1)
    held = await bench.run("held")
    await bench.store.save(replace(held, state=RunState.HELD, due_at=NOON + HOUR))

    free = await bench.store.due_in()
    await bench.store.release("claimed")

    assert (free, await bench.store.due_in()) == (HOUR, -HOUR)


# --- signals -----------------------------------------------------------------------------------------------


def told(run: Run, name: SignalName = SignalName.CANCEL, by: str = "alice", digest: str = "") -> Signal:
    return Signal(run.id, name, digest, by, "because", NOON)


async def test_the_first_of_two_signals_stays(bench: Bench) -> None:
    """Whoever comes second is told who came first, also after a restart."""
    run = await bench.run()
    first = await bench.store.signal(told(run))
    await bench.restart()

    second = await bench.store.signal(told(run, by="bob"))

    assert first == second == told(run)
    assert list(await bench.store.signals("run-1")) == [told(run)]


async def test_concurrent_signals_have_one_winner(bench: Bench) -> None:
    """Fifty people at once: everybody hears the same name."""
    run = await bench.run()

    answers = await asyncio.gather(*(bench.store.signal(told(run, by=f"person-{n}")) for n in range(50)))

    assert len({answer.by for answer in answers}) == 1


async def test_a_yes_to_one_plan_is_none_to_another(bench: Bench) -> None:
    """Signals of one name about two plans are two signals."""
    run = await bench.run()
    for digest in ("plan-a", "plan-b"):
        await bench.store.signal(told(run, SignalName.APPROVE, digest=digest))

    assert [s.digest for s in await bench.store.signals("run-1")] == ["plan-a", "plan-b"]


@pytest.mark.parametrize("state", [RunState.HELD, RunState.AWAITING_APPROVAL])
async def test_a_cancellation_wakes_a_run_that_waits(bench: Bench, state: RunState) -> None:
    """It is due at once, with the version that it was put to wait at."""
    run = await bench.run()
    waiting = await bench.store.save(replace(run, state=state, due_at=NOON + HOUR))

    await bench.store.signal(told(waiting))

    assert await bench.stored("run-1") == replace(waiting, due_at=NOON)
    assert await bench.claimed(1) == ["run-1"]


@pytest.mark.parametrize("name", [SignalName.APPROVE, SignalName.DENY])
async def test_an_answer_to_the_plan_in_question_wakes_the_run(bench: Bench, name: SignalName) -> None:
    """An answer to another plan does not."""
    run = replace(full_run(await bench.run()), state=RunState.AWAITING_APPROVAL, resolved_at=None)
    waiting = await bench.store.save(run)
    assert waiting.plan is not None

    await bench.store.signal(told(waiting, name, digest="another"))
    before = await bench.claimed(1)
    await bench.store.signal(told(waiting, name, digest=waiting.plan.digest))

    assert (before, await bench.claimed(1)) == ([], ["run-1"])


async def test_a_run_is_not_put_to_sleep_over_a_signal(bench: Bench) -> None:
    """What was told while the worker made up its mind is seen to at once."""
    run = await bench.run()
    await bench.store.signal(told(run))

    saved = await bench.store.save(replace(run, state=RunState.HELD, due_at=NOON + HOUR))

    assert saved.due_at == NOON
    assert await bench.claimed(1) == ["run-1"]


async def test_a_cancellation_of_a_run_in_hand_comes_with_the_renewal(bench: Bench) -> None:
    """The worker hears of it without losing the run."""
    await bench.run()
    (claimed,) = await bench.store.claim(1)

    await bench.store.signal(told(claimed.run))

    assert await bench.store.renew() == Renewed(frozenset({"run-1"}), frozenset({"run-1"}))
    assert (await bench.store.save(replace(claimed.run, detail="still mine"))).detail == "still mine"


async def test_nobody_tells_an_ended_or_unknown_run_anything(bench: Bench) -> None:
    """A signal that can do nothing is refused, and not kept."""
    run = await bench.run()
    await bench.store.save(replace(run, state=RunState.CANCELLED))

    with pytest.raises(IllegalMove):
        await bench.store.signal(told(run))
    with pytest.raises(LostRun):
        await bench.store.signal(replace(told(run), run_id="run-9"))
    assert not await bench.store.signals("run-1")
    assert not await bench.store.signals("run-9")


async def test_a_resolution_wakes_a_run_that_waits_for_an_answer(bench: Bench) -> None:
    """A question about an alert that is over is withdrawn at once."""
    run = await bench.run()
    await bench.store.save(replace(run, state=RunState.AWAITING_APPROVAL, due_at=NOON + HOUR))

    await bench.store.file(delivery(over=(resolved("run-1"),)))

    assert await bench.claimed(1) == ["run-1"]


# --- the audit trail ---------------------------------------------------------------------------------------


async def whole_trail(bench: Bench) -> list[AuditRecord]:
    return list(await bench.store.audit(0, 10_000))


async def test_every_decision_and_write_leaves_one_record(bench: Bench) -> None:
    """In the order they were committed, each once; what is refused by the store itself leaves none."""
    run = await bench.started()
    run = await bench.store.intend(run, intent(run))
    run = await settle(bench.store, run, intent(run))
    run = await settle(bench.store, run, intent(run))
    await bench.store.signal(told(run))
    await bench.store.signal(told(run, by="bob"))
    await bench.store.throw(Switch("freeze", on=True, by="alice", why="drill", at=NOON))
    trace = Trace(NOON, "running", "stopped", "escalated", "cancelled", "alice cancelled it")
    await bench.store.save(replace(run, state=RunState.ESCALATED), trace)
    with pytest.raises(IllegalMove):
        await bench.store.intend(await bench.stored("run-1"), intent(run, seq=1))
    await bench.store.note(AuditNote(AuditKind.RULES, {"heal": "rev-2"}))

    kinds = [record.kind for record in await whole_trail(bench)]

    assert kinds == ["delivery", "start", "intent", "outcome", "signal", "switch", "move", "rules"]


async def test_the_trail_says_who_threw_a_switch_why_and_which_text_was_armed(bench: Bench) -> None:
    """For good: an arming with the revision that a person said yes to."""
    for switch in (
        Switch("arm:heal", on=True, by="alice", why="agreed", at=NOON, revision="r1"),
        Switch("freeze", on=True, by="file FREEZE", why="drill", at=NOON),
    ):
        await bench.store.throw(switch)

    assert [json.loads(record.body) for record in await whole_trail(bench)] == [
        {"name": "arm:heal", "on": True, "by": "alice", "why": "agreed", "revision": "r1"},
        {"name": "freeze", "on": True, "by": "file FREEZE", "why": "drill"},
    ]


async def test_the_trail_is_one_chain_over_restarts(bench: Bench) -> None:
    """Numbered from one without a gap, each record chained to the one before it, and the head is the last."""
    assert await bench.store.audit_head() is None
    for n in range(3):
        await bench.run(f"run-{n}")
        await bench.restart()

    records = await whole_trail(bench)

    assert [record.seq for record in records] == [1, 2, 3]
    assert list(auditing.flaws(records)) == []
    assert await bench.store.audit_head() == records[-1]
    assert list(await bench.store.audit(1, 1)) == [records[1]]


async def test_concurrent_transactions_make_one_chain(bench: Bench) -> None:
    """However many write at once, no number is given twice and none is left out."""
    await asyncio.gather(
        *(bench.store.file(delivery(candidate(f"run-{n}", "heal", alert(f"{n}")))) for n in range(100))
    )

    records = await whole_trail(bench)

    assert len(records) == 100
    assert list(auditing.flaws(records)) == []


async def test_the_trail_says_what_was_received_and_refused(bench: Bench) -> None:
    """Not the body, which may hold anything, but its hash; and each candidate without a run with the reason."""
    await bench.store.file(delivery(over=(resolved("x"),)))
    await bench.store.file(delivery(candidate("run-1"), candidate("run-2", firing=alert("x"))))

    body = json.loads((await whole_trail(bench))[-1].body)

    assert body == {
        "sender": "10.0.0.1",
        "sha256": hashlib.sha256(b'{"alerts": []}').hexdigest(),
        "admitted": ["run-1"],
        "refused": [["heal", alert("x").episode, "resolved"]],
        "resolved": [],
        "skipped": {},
    }


async def test_the_trail_says_how_many_alerts_gave_no_run_and_why(bench: Bench) -> None:
    """A count for each reason, in a fixed order, however many alerts there were: never a word of an alert."""
    skipped = {Reason.PROTECTED: 2, Reason.NO_RULE_MATCHES: 10_000}
    await bench.store.file(replace(delivery(), skipped=skipped))

    (record,) = await whole_trail(bench)

    assert json.loads(record.body)["skipped"] == {"no_rule_matches": 10_000, "protected": 2}
    assert record.body.index("no_rule_matches") < record.body.index("protected")


async def test_the_newest_record_of_a_kind_is_found(bench: Bench) -> None:
    """Whatever came after it, and after a restart."""
    assert await bench.store.audit_latest(AuditKind.RULES) is None
    for revision in ("rev-1", "rev-2"):
        await bench.store.note(AuditNote(AuditKind.RULES, {"heal": revision}))
    await bench.run()
    await bench.restart()

    found = await bench.store.audit_latest(AuditKind.RULES)

    assert found is not None
    assert (found, found.seq, json.loads(found.body)) == ((await whole_trail(bench))[1], 2, {"heal": "rev-2"})


# --- keeping and forgetting --------------------------------------------------------------------------------


async def test_a_run_that_ended_long_ago_is_handed_out_whole_and_forgotten(bench: Bench) -> None:
    """Its steps, traces and signals go with it; that its episode had a run stays, and so does its cooldown."""
    run = await bench.started()
    run = await bench.store.intend(run, intent(run))
    run = await settle(bench.store, run, intent(run))
    await bench.store.signal(told(run))
    trace = Trace(NOON, "running", "stopped", "escalated", "cancelled", "")
    ended = await bench.store.save(replace(run, state=RunState.ESCALATED, finished_at=NOON), trace)

    (history,) = await bench.store.ended(NOON + HOUR, 10)
    forgotten = await bench.store.forget(["run-1"])
    await bench.restart()
    (filed,) = await bench.store.file(delivery(candidate("run-2", firing=alert("run-1"))))

    assert (history.run, history.traces, history.signals) == (ended, (trace,), (told(run),))
    assert [(step.seq, step.state) for step in history.steps] == [(0, StepState.DONE)]
    assert (forgotten, await bench.store.get("run-1"), await bench.store.steps("run-1")) == (1, None, [])
    assert (filed.run_id, filed.reason) == ("run-1", Reason.DUPLICATE)
    usage = await bench.store.usage(request(await bench.run("run-3")))
    assert (usage.finishes, len(usage.target_starts)) == ((NOON,), 1)


async def test_what_lives_or_ended_lately_is_kept(bench: Bench) -> None:
    """Nothing that a worker may still need is ever forgotten, whoever asks for it."""
    await bench.run("live", at=NOON - HOUR)
    lately = await bench.run("lately", at=NOON - HOUR)
    await bench.store.save(replace(lately, state=RunState.REFUSED, finished_at=NOON))

    found = await bench.store.ended(NOON, 10)

    assert (list(found), await bench.store.forget(["live", "unknown"])) == ([], 0)
    assert {run.id for run in await bench.store.list(RunFilter())} == {"live", "lately"}


# --- saving ------------------------------------------------------------------------------------------------


async def test_a_run_reads_back_as_it_was_saved(bench: Bench) -> None:
    """Every field survives, after a restart too."""
    run = full_run(await bench.run())

    saved = await bench.store.save(run)
    await bench.restart()

    assert saved == replace(run, version=1)
    assert await bench.store.get("run-1") == saved


async def test_a_save_over_another_version_is_refused(bench: Bench) -> None:
    """Who read the run before somebody else saved it has lost it, and leaves no trace."""
    run = await bench.run()
    newer = await bench.store.save(replace(run, detail="newer"))

    with pytest.raises(LostRun):
        await bench.store.save(replace(run, detail="older"), Trace(NOON, "a", "b", "c", "", ""))
    with pytest.raises(LostRun):
        await bench.store.save(replace(run, id="nobody"))

    assert await bench.store.get("run-1") == newer
    assert list(await bench.store.traces("run-1")) == []


async def test_traces_are_kept_in_order(bench: Bench) -> None:
    """A run's history reads as it was written."""
    run = await bench.run()
    first = Trace(NOON, "pending", "held", "held", "cooling_down", "wait")
    second = Trace(NOON - HOUR, "held", "due", "pending", "", "")
    run = await bench.store.save(run, first)
    await bench.store.save(run, second)

    await bench.restart()

    assert list(await bench.store.traces("run-1")) == [first, second]
    assert list(await bench.store.traces("nobody")) == []


async def test_what_has_ended_or_was_written_cannot_be_unsaid(bench: Bench) -> None:
    """A final run stays final, a touched one touched, and a run keeps its rule, episode and age."""
    run = await bench.run()
    run = await bench.store.save(replace(run, touched=True))
    run = await bench.store.save(replace(run, touched=False))
    for change in ({"rule": "x"}, {"episode": "x"}, {"created_at": NOON - HOUR}):
        with pytest.raises(IllegalMove):
            await bench.store.save(replace(run, **change))
    ended = await bench.store.save(replace(run, state=RunState.ESCALATED))

    with pytest.raises(IllegalMove):
        await bench.store.save(replace(ended, state=RunState.PENDING))

    assert await bench.store.get("run-1") == ended
    assert ended.touched


async def test_runs_are_listed_newest_first(bench: Bench) -> None:
    """By state, by rule, and never more than asked."""
    for n, rule in enumerate(["heal", "other", "heal"]):
        await bench.run(f"run-{n}", rule=rule, at=NOON + n * HOUR)
    await bench.run("tie", at=NOON + 2 * HOUR)
    await bench.store.save(replace(await bench.stored("run-0"), state=RunState.REFUSED))

    async def listed(**which: Any) -> list[str]:
        return [r.id for r in await bench.store.list(RunFilter(**which))]

    assert await listed() == ["tie", "run-2", "run-1", "run-0"]
    assert await listed(limit=1) == ["tie"]
    assert await listed(limit=-1) == []
    assert await listed(rule="heal") == ["tie", "run-2", "run-0"]
    assert await listed(states=(RunState.REFUSED, RunState.HELD)) == ["run-0"]
    assert await listed(states=(RunState.PENDING,), rule="other") == ["run-1"]


# --- starting ----------------------------------------------------------------------------------------------


async def test_a_start_counts_in_every_scope_and_takes_the_target(bench: Bench) -> None:
    """What the judge of the next run sees, after a restart as well."""
    await bench.started("run-1")
    other = await bench.run("run-2")
    await bench.restart()

    seen = await bench.store.usage(request(other))
    elsewhere = await bench.store.usage(request(replace(other, rule="other"), "B"))

    once = (NOON,)
    here = unused(rule_starts=once, target_starts=once, namespace_starts=once, global_starts=once, holder="run-1")
    assert seen == here
    assert elsewhere == unused(namespace_starts=once, global_starts=once)


async def test_the_judge_sees_what_usage_tells(bench: Bench) -> None:
    """`usage` is `start` without taking anything."""
    await bench.started("run-1")
    other = await bench.run("run-2")
    seen: list[Usage] = []

    def refuse(usage: Usage) -> Verdict:
        seen.append(usage)
        return Hold(NOON + HOUR, Reason.TARGET_BUSY, "taken")

    verdict = await bench.store.start(request(other), refuse)

    assert verdict == Hold(NOON + HOUR, Reason.TARGET_BUSY, "taken")
    assert seen == [await bench.store.usage(request(other))]
    assert seen[0].global_starts == (NOON,)


async def test_a_judge_that_raises_starts_nothing(bench: Bench) -> None:
    """Its own error comes out, and no budget is spent."""
    run = await bench.run()

    def broken(usage: Usage) -> Verdict:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await bench.store.start(request(run), broken)

    assert await bench.store.usage(request(run)) == unused()


async def test_a_run_that_has_started_starts_once(bench: Bench) -> None:
    """Asked again it is allowed without a judge and without spending; another target is not covered."""
    run = await bench.started()
    await bench.restart()

    def never(usage: Usage) -> Verdict:
        raise AssertionError("judged twice")

    assert await bench.store.start(request(run), never) == Allow()
    with pytest.raises(IllegalMove):
        await bench.store.start(request(run, "B"), allow)
    other = await bench.run("run-2", rule="other")
    assert (await bench.store.usage(request(other, "C"))).global_starts == (NOON,)


async def test_a_runs_own_start_does_not_count_against_it(bench: Bench) -> None:
    """A run that crashed right after it started is not held back by its own start."""
    run = await bench.started()

    usage = await bench.store.usage(request(run))

    assert (usage.rule_starts, usage.target_starts, usage.global_starts) == ((), (), ())


async def test_a_start_at_another_version_or_after_the_end_is_refused(bench: Bench) -> None:
    """A worker that lost its run starts nothing, and neither does anybody after the end."""
    run = await bench.run()
    newer = await bench.store.save(run)
    with pytest.raises(LostRun):
        await bench.store.start(request(run), allow)
    ended = await bench.store.save(replace(newer, state=RunState.REFUSED))
    with pytest.raises(IllegalMove):
        await bench.store.start(request(ended), allow)

    assert await bench.store.usage(request(ended)) == unused()


async def test_a_held_target_is_never_taken_twice(bench: Bench) -> None:
    """Even a judge that overlooks the holder cannot give the target away."""
    await bench.started("run-1")
    other = await bench.run("run-2")

    with pytest.raises(IllegalMove):
        await bench.store.start(request(other), allow)

    assert (await bench.store.usage(request(other))).holder == "run-1"
    assert (await bench.store.usage(request(other))).global_starts == (NOON,)


async def test_the_lock_lasts_from_start_to_end(bench: Bench) -> None:
    """Holding a run keeps its target; ending it frees the target, and a touched run is remembered there."""
    run = await bench.started("run-1")
    other = await bench.run("run-2")
    run = await bench.store.intend(run, intent(run))
    run = await bench.store.save(replace(run, state=RunState.HELD))
    held = await bench.store.usage(request(other))
    await bench.store.save(replace(run, state=RunState.ESCALATED, finished_at=NOON + HOUR))
    await bench.restart()

    free = await bench.store.usage(request(other))

    assert (held.holder, held.finishes) == ("run-1", ())
    assert (free.holder, free.finishes) == (None, (NOON + HOUR,))


async def test_a_clock_set_back_does_not_shorten_a_cooldown(bench: Bench) -> None:
    """The latest end counts, also when a later run says that it ended earlier."""
    for name, ended in (("run-1", NOON + HOUR), ("run-2", NOON)):
        run = await bench.started(name)
        run = await bench.store.intend(run, intent(run))
        await bench.store.save(replace(run, state=RunState.ESCALATED, finished_at=ended))

    assert (await bench.store.usage(request(await bench.run("run-3")))).finishes == (NOON, NOON + HOUR)


async def test_a_run_that_wrote_nothing_is_not_remembered_at_its_target(bench: Bench) -> None:
    """A cooldown follows writes, not looks."""
    run = await bench.started("run-1")
    await bench.store.save(replace(run, state=RunState.REFUSED, finished_at=NOON))
    other = await bench.run("run-2")

    assert (await bench.store.usage(request(other))).finishes == ()


async def test_concurrent_starts_never_exceed_the_budget(bench: Bench) -> None:
    """Fifty runs on fifty targets, a budget of three: three start."""
    runs = [await bench.run(f"run-{n}") for n in range(50)]

    def within_three(usage: Usage) -> Verdict:
        return Allow() if len(usage.global_starts) < 3 else Hold(NOON + HOUR, Reason.RATE_LIMITED, "enough")

    verdicts = await asyncio.gather(
        *(bench.store.start(request(run, f"T{n}"), within_three) for n, run in enumerate(runs))
    )

    assert sum(isinstance(v, Allow) for v in verdicts) == 3


async def test_a_start_leaves_its_window_when_the_window_has_passed(bench: Bench) -> None:
    """The window slides: a start counts until exactly its length has gone by."""
    await bench.started()
    run = await bench.run("run-2")

    bench.clock.time = NOON + HOUR - timedelta(microseconds=1)
    within = await bench.store.usage(request(run))
    bench.clock.time = NOON + HOUR
    after = await bench.store.usage(request(run))

    assert (within.global_starts, after.global_starts) == ((NOON,), ())


async def test_a_clock_set_back_refills_nothing(bench: Bench) -> None:
    """Starts in the future still count, time stands still until the clock has caught up, and so do new starts."""
    await bench.started("run-1")
    bench.clock.time = NOON - 5 * HOUR

    await bench.started("run-2", "B")

    third = await bench.run("run-3")
    seen = await bench.store.usage(request(third, "B"))
    twice = (NOON, NOON)
    taken = unused(rule_starts=twice, target_starts=(NOON,), namespace_starts=twice, global_starts=twice)
    assert seen == replace(taken, now=NOON, holder="run-2")


async def test_freezing_and_arming_are_seen_by_the_judge(bench: Bench) -> None:
    """The service's freeze and the rule's own arming with its revision, each as it was thrown last."""
    run = await bench.run()
    for name, on, revision in [
        ("freeze", True, ""),
        ("arm:heal", True, "r1"),
        ("arm:other", True, "r1"),
        ("arm:other", False, "r1"),
        ("arm:heal", False, ""),
        ("arm:heal", True, "r2"),
    ]:
        await bench.store.throw(Switch(name, on, "ann", "test", NOON, revision))

    assert await bench.store.usage(request(run)) == unused(frozen=True, armed=True, armed_revision="r2")
    assert await bench.store.usage(request(replace(run, rule="other"))) == unused(frozen=True)


# --- steps -------------------------------------------------------------------------------------------------


async def test_a_step_is_journalled_before_and_after(bench: Bench) -> None:
    """The intent is there whole, marks the run touched, and its outcome moves the cursor."""
    run = await bench.started()
    record = intent(run)

    meant = await bench.store.intend(run, record)
    before = list(await bench.store.steps(run.id))
    done = await settle(bench.store, meant, record, at=NOON + HOUR, changed=False, by_probe=True)
    await bench.restart()

    assert meant == replace(run, version=run.version + 1, touched=True)
    assert before == [record]
    assert done == replace(meant, version=meant.version + 1, cursor=1)
    assert await bench.store.get(run.id) == done
    assert list(await bench.store.steps(run.id)) == [
        replace(record, state=StepState.DONE, finished_at=NOON + HOUR, changed=False, by_probe=True, detail="gone")
    ]


async def test_a_reading_step_leaves_the_run_untouched(bench: Bench) -> None:
    """Only a step that can write marks the run."""
    run = await bench.started()

    meant = await bench.store.intend(run, intent(run, effect=Effect.NONE))

    assert not meant.touched


@pytest.mark.parametrize("state", [StepState.FAILED, StepState.NOT_APPLIED])
async def test_a_step_that_was_not_done_may_be_attempted_again(bench: Bench, state: StepState) -> None:
    """The cursor stays, and the next attempt has the next number."""
    run = await bench.started()
    run = await bench.store.intend(run, intent(run))
    run = await settle(bench.store, run, intent(run), state)
    assert run.cursor == 0

    with pytest.raises(IllegalMove):
        await bench.store.intend(run, intent(run, attempt=3))
    await bench.store.intend(run, intent(run, attempt=2))

    assert [(s.attempt, s.state) for s in await bench.store.steps(run.id)] == [(1, state), (2, StepState.INTENT)]


async def test_an_open_or_done_step_is_not_attempted_again(bench: Bench) -> None:
    """While nobody knows what became of it, and once it is done, nothing is sent."""
    run = await bench.started()
    run = await bench.store.intend(run, intent(run))
    with pytest.raises(IllegalMove):
        await bench.store.intend(run, intent(run, attempt=2))
    run = await settle(bench.store, run, intent(run))
    with pytest.raises(IllegalMove):
        await bench.store.intend(run, intent(run, attempt=2))

    assert await bench.store.get(run.id) == run
    assert [(s.attempt, s.state) for s in await bench.store.steps(run.id)] == [(1, StepState.DONE)]


async def test_an_intent_that_is_not_one_is_refused(bench: Bench) -> None:
    """Another run's record, a settled record, a first attempt that is not the first, an ended or lost run."""
    run = await bench.started()
    wrong = [replace(intent(run), run_id="x"), replace(intent(run), state=StepState.DONE), intent(run, attempt=2)]
    for record in wrong:
        with pytest.raises(IllegalMove):
            await bench.store.intend(run, record)
    with pytest.raises(LostRun):
        await bench.store.intend(replace(run, version=0), intent(run))
    ended = await bench.store.save(replace(run, state=RunState.ESCALATED))
    with pytest.raises(IllegalMove):
        await bench.store.intend(ended, intent(run))

    assert list(await bench.store.steps(run.id)) == []
    assert await bench.store.get(run.id) == ended


async def test_a_settled_step_stays_as_it_is(bench: Bench) -> None:
    """The same outcome again changes nothing; another outcome is refused."""
    run = await bench.started()
    run = await bench.store.intend(run, intent(run))
    run = await settle(bench.store, run, intent(run))
    steps = list(await bench.store.steps(run.id))

    assert await settle(bench.store, run, intent(run)) == run
    for told in ({"detail": "else"}, {"changed": False}, {"by_probe": True}, {"state": StepState.FAILED}):
        with pytest.raises(IllegalMove):
            await settle(bench.store, run, intent(run), **told)

    assert (await bench.store.get(run.id), list(await bench.store.steps(run.id))) == (run, steps)


async def test_an_outcome_without_its_intent_is_refused(bench: Bench) -> None:
    """No intent, an outcome that is none, or a lost run: nothing is journalled."""
    run = await bench.started()
    with pytest.raises(IllegalMove):
        await settle(bench.store, run, intent(run))
    run = await bench.store.intend(run, intent(run))
    with pytest.raises(IllegalMove):
        await settle(bench.store, run, intent(run), StepState.INTENT)
    with pytest.raises(LostRun):
        await settle(bench.store, replace(run, version=run.version - 1), intent(run))

    assert await bench.store.get(run.id) == run
    assert list(await bench.store.steps(run.id)) == [intent(run)]


async def test_steps_come_in_order(bench: Bench) -> None:
    """Of step, then of attempt."""
    run = await bench.started()
    for seq, attempt, state in [(1, 1, StepState.FAILED), (0, 1, StepState.NOT_APPLIED), (0, 2, StepState.DONE)]:
        run = await bench.store.intend(run, intent(run, seq, attempt))
        run = await settle(bench.store, run, intent(run, seq, attempt), state)

    assert [(s.seq, s.attempt) for s in await bench.store.steps(run.id)] == [(0, 1), (0, 2), (1, 1)]


# --- switches and housekeeping -----------------------------------------------------------------------------


async def test_a_switch_stands_as_it_was_thrown_last(bench: Bench) -> None:
    """Whatever its clock said, and after a restart."""
    first = Switch("freeze", True, "ann", "storm", NOON)
    last = Switch("freeze", False, "bob", "over", NOON - HOUR)
    arm = Switch("arm:heal", True, "ann", "ready", NOON, "r1")
    for switch in (first, arm, last):
        await bench.store.throw(switch)
    await bench.restart()

    assert await bench.store.switch("freeze") == last
    assert await bench.store.switch("unknown") is None
    assert list(await bench.store.switches()) == [arm, last]


async def test_pruning_forgets_old_bodies_but_nothing_of_a_live_run(bench: Bench) -> None:
    """Old deliveries go, except the one a live run came from; episodes are remembered for ever."""
    live = await bench.run("live", at=NOON - 3 * HOUR)
    ended = await bench.run("ended", at=NOON - 2 * HOUR)
    ended = await bench.store.save(replace(ended, state=RunState.REFUSED))
    await bench.store.file(delivery(at=NOON))

    first = await bench.store.prune(NOON)
    again = await bench.store.prune(NOON)
    await bench.store.save(replace(live, state=RunState.CANCELLED))
    last = await bench.store.prune(NOON + HOUR)

    assert (first, again, last) == (1, 0, 2)
    assert await bench.store.get("ended") == ended
    (filed,) = await bench.store.file(delivery(candidate("run-9", firing=alert("ended"))))
    assert filed.run_id == "ended"


async def test_a_closed_store_promises_nothing(bench: Bench) -> None:
    """Every call after the end raises; closing twice is closing once."""
    run = await bench.run()
    await bench.store.close()
    await bench.store.close()

    for call in (
        bench.store.file(delivery()),
        bench.store.save(run),
        bench.store.get("run-1"),
        bench.store.claim(1),
        bench.store.due_in(),
    ):
        with pytest.raises(StoreUnavailable):
            await call


async def test_what_a_caller_keeps_is_not_what_is_stored(bench: Bench) -> None:
    """Changing a mapping after the save changes nothing in the journal."""
    run = await bench.run()
    notes: dict[str, Any] = {"seen": 1}
    await bench.store.save(replace(run, notes=notes))

    notes["seen"] = 2

    assert (await bench.stored("run-1")).notes == {"seen": 1}
