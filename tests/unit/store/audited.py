"""Journals on disk with a life behind them, for whoever looks at their audit trail; and an attacker's hand on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from remediator.model.alerts import Alert, AlertStatus
from remediator.model.ledger import Candidate, Delivery, Signal, SignalName, StartRequest, Switch, Trace
from remediator.model.objects import POD, ObjectRef
from remediator.model.plans import Effect, Plan, Step
from remediator.model.rules import Limit
from remediator.model.runs import Run, RunEvent, StepRecord, StepState, move
from remediator.model.verdicts import Allow, Reason
from remediator.store.sqlite import SQLiteStore

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = NOON + timedelta(days=100)
LIMIT = Limit(1_000_000, HOUR)
MANY = Limit(1_000_000, timedelta(days=1))


class SteppingClock:
    """A second later at each look, so that no two records are of the same time."""

    def __init__(self, at: datetime = NOON) -> None:
        self.time = at

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class Life:
    """What a service does with its journal, in short."""

    def __init__(self, store: SQLiteStore, clock: SteppingClock) -> None:
        self.store = store
        self.clock = clock

    async def admitted(self, name: str) -> Run:
        firing = Alert(AlertStatus.FIRING, {"alertname": "Down", "pod": name}, {}, "2026-11-20T11:00:00Z", "")
        candidate = Candidate(name, "heal", "rev-1", firing)
        await self.store.file(Delivery(self.clock.now(), f'{{"for": "{name}"}}'.encode(), "10.0.0.1", (candidate,)))
        found = await self.store.get(name)
        assert found is not None
        return found

    async def planned(self, run: Run) -> Run:
        """Seen and planned, as it stands before its start."""
        target = ObjectRef(POD, run.id, "data", "uid-1")
        steps = tuple(
            Step(seq, "pod.delete", target, {"grace": seq}, Effect.DESTRUCTIVE, HOUR, "it is stuck") for seq in range(2)
        )
        plan = Plan("heal", "rev-1", target, "delete it", steps)
        return await self.store.save(replace(run, target=target, plan=plan))

    async def moved(self, run: Run, event: RunEvent, reason: Reason | None = None, detail: str = "") -> Run:
        now = self.clock.now()
        state = move(run.state, event, touched=run.touched)
        trace = Trace(now, str(run.state), str(event), str(state), str(reason or ""), detail)
        ended = now if state.is_final else None
        return await self.store.save(replace(run, state=state, reason=reason, detail=detail, finished_at=ended), trace)

    async def started(self, run: Run) -> Run:
        assert run.target is not None
        request = StartRequest(run, run.target.key, "data", LIMIT, LIMIT, LIMIT, MANY)
        assert await self.store.start(request, lambda _: Allow()) == Allow()
        return await self.moved(run, RunEvent.ALLOWED, None, "all guards allow it")

    async def stepped(self, run: Run, seq: int, state: StepState = StepState.DONE) -> Run:
        now = self.clock.now()
        intent = {"uid": "uid-1", "resourceVersion": "7"}
        args = (run.id, seq, 1, "pod.delete", Effect.DESTRUCTIVE, StepState.INTENT, intent, now, now + HOUR)
        run = await self.store.intend(run, StepRecord(*args))
        return await self.store.settle(
            run, StepRecord(*args), state=state, by_probe=False, changed=True, detail="gone", at=self.clock.now()
        )

    async def running(self, name: str) -> Run:
        return await self.started(await self.planned(await self.admitted(name)))

    async def whole(self, name: str) -> Run:
        """A run from its alert to its cure: ten records."""
        run = await self.running(name)
        await self.store.signal(Signal(name, SignalName.CANCEL, "", "ada", "too late", self.clock.now()))
        run = await self.stepped(await self.stepped(run, 0), 1)
        run = await self.moved(run, RunEvent.STEPS_DONE, None, "2 steps done")
        return await self.moved(run, RunEvent.CURED, Reason.CURED, "it is well")

    async def asked(self, name: str) -> Run:
        """A run whose plan a person has agreed to, and that has not begun."""
        run = await self.moved(await self.planned(await self.admitted(name)), RunEvent.ASKED, Reason.APPROVAL_NEEDED)
        assert run.plan is not None
        await self.store.signal(Signal(name, SignalName.APPROVE, run.plan.digest, "ada", "go on", self.clock.now()))
        found = await self.store.get(name)
        assert found is not None
        return found

    async def thrown(self, name: str, why: str = "drill", *, on: bool = True) -> None:
        await self.store.throw(Switch(name, on, "ada", why, self.clock.now()))


@contextmanager
def attacked(path: Path) -> Iterator[sqlite3.Connection]:
    """The file open for somebody who knows SQLite, the triggers gone; what is done is there when this ends."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("DROP TRIGGER IF EXISTS audit_is_never_changed")
        db.execute("DROP TRIGGER IF EXISTS audit_is_never_cut")
        db.execute("BEGIN")
        yield db
        if db.in_transaction:
            db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
