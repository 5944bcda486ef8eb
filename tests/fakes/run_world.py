"""
A world to drive runs in: the toy valve on a fake cluster, a store in memory, a clock that stands still.

`crash_at(n)` makes the n-th store transaction end the process, before or after it is committed; `restart()` is the
next process on the same journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from remediator import guards
from remediator.model.alerts import Alert, AlertStatus
from remediator.model.evidence import Answer
from remediator.model.ledger import Candidate, Delivery, Switch
from remediator.model.objects import NAMESPACE, POD, ObjectRef
from remediator.model.reports import Report
from remediator.model.rules import Condition, Limit, Matcher, MatchOp, Mode, Rule, Verification
from remediator.model.runs import Run, RunState
from remediator.model.seams import Brake, ReadAccess, WriteAccess
from remediator.model.verdicts import Permit
from remediator.runs.desk import Bounds, Desk
from remediator.runs.worker import Worker, drive
from remediator.store.memory import MemoryStore
from tests.fakes.fake_brake import FakeBrake
from tests.fakes.fake_clock import FakeClock
from tests.fakes.fake_cluster import FakeCluster
from tests.fakes.fake_endpoints import FakeEndpoints
from tests.fakes.valve import Valve

RULE = Rule(
    name="turn-it",
    system="valve",
    mode=Mode.AUTO,
    matchers=(Matcher("alertname", MatchOp.EQUAL, "ValveStuck", "ValveStuck".__eq__),),
    namespaces=("plant",),
    remedy="turn",
    parameters={},
    conditions=(),
    per_rule=Limit(10, timedelta(hours=1)),
    per_target=Limit(5, timedelta(hours=1)),
    cooldown=timedelta(minutes=30),
    patience=timedelta(minutes=15),
    verification=Verification(timedelta(minutes=5), timedelta(seconds=20), timedelta(seconds=5)),
    runbook="rules/valve/README.md",
    revision="r1",
    source="valve.yaml:1",
)


class Crash(BaseException):
    """The process is gone."""


class Dying:
    """A store that ends the process at a chosen transaction, before or after it is committed."""

    WRITES = frozenset({"save", "start", "intend", "settle"})

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.writes = 0
        self.dies_at: int | None = None
        self.after_commit = True

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return self._dying(method) if name in self.WRITES else method

    def _dying(self, method: Any) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.writes += 1
            dies = self.writes == self.dies_at
            if dies and not self.after_commit:
                raise Crash
            answer = await method(*args, **kwargs)
            if dies:
                raise Crash
            return answer

        return call


@dataclass
class FakeAccess:
    cluster: FakeCluster
    endpoints: FakeEndpoints
    clock: FakeClock

    def read(self) -> ReadAccess:
        return ReadAccess(self.cluster.view(), self.endpoints.view(), NO_BACKUPS, self.clock)

    def write(self, permit: Permit) -> WriteAccess:
        return WriteAccess(
            permit.run_id, self.cluster.bind(permit), self.endpoints.bind(permit), NO_BACKUPS, self.clock
        )


NO_BACKUPS: Any = None


class RunWorld:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock)
        self.valve = Valve()
        self.brake: Brake = FakeBrake()
        self.rules: dict[str, Rule] = {RULE.name: RULE}
        self.memory = MemoryStore(self.clock)
        self.store = Dying(self.memory)
        self.told: list[Report] = []
        self.bounds = Bounds(Limit(10, timedelta(hours=1)), Limit(10, timedelta(hours=1)), ("kube-*",))
        self.cluster.put(NAMESPACE, {"metadata": {"name": "plant"}})
        self.pod = self.cluster.put(POD, {"metadata": {"name": "v1", "namespace": "plant"}, "spec": {}})
        self.ref = ObjectRef.of(POD, self.pod)
        self._filed = 0

    @property
    def desk(self) -> Desk:
        access = FakeAccess(self.cluster, FakeEndpoints(self.clock), self.clock)
        return Desk(
            self.store,  # type: ignore[arg-type]  # stands in by delegation
            self.clock,
            {"valve": self.valve.system()},
            self.rules.get,
            access,
            self.brake,
            guards.discover(),
            self.told.append,
            self.bounds,
        )

    async def arm(self, *, on: bool = True) -> None:
        revision = self.rules[RULE.name].revision if on else ""
        await self.store.throw(Switch(f"arm:{RULE.name}", on, "alice", "test", self.clock.now(), revision))

    async def freeze(self, *, on: bool = True) -> None:
        await self.store.throw(Switch("freeze", on, "alice", "test", self.clock.now()))

    def change_rule(self, **changes: Any) -> None:
        self.rules[RULE.name] = replace(self.rules[RULE.name], **changes)

    async def alert(self, pod: str = "v1", namespace: str = "plant", starts_at: str = "") -> str:
        """File a firing alert; answers the run's id."""
        self._filed += 1
        began = starts_at or f"2026-11-20T11:{self._filed:02d}:00Z"
        alert = self._alert(pod, namespace, began, AlertStatus.FIRING)
        candidate = Candidate(f"run-{self._filed}", RULE.name, RULE.revision, alert)
        filed = await self.store.file(Delivery(self.clock.now(), b"{}", "am", (candidate,)))
        run_id = filed[0].run_id
        assert run_id is not None
        return run_id

    async def resolve(self, starts_at: str, pod: str = "v1", namespace: str = "plant") -> None:
        alert = self._alert(pod, namespace, starts_at, AlertStatus.RESOLVED)
        await self.store.file(Delivery(self.clock.now(), b"{}", "am", (), (alert,)))

    @staticmethod
    def _alert(pod: str, namespace: str, starts_at: str, status: AlertStatus) -> Alert:
        labels = {"alertname": "ValveStuck", "pod": pod, "namespace": namespace}
        return Alert(status, labels, {}, starts_at, "0001-01-01T00:00:00Z")

    async def turn_the_crank(self, *, once: bool = False, limit: int = 400) -> None:
        """Claim and drive whatever is due, moving the clock to the next due run, until nothing is live."""
        for _ in range(limit):
            for claimed in await self.store.claim(8):
                try:
                    await drive(self.desk, claimed.run)
                finally:
                    await self.store.release(claimed.run.id)
            due = await self.store.due_in()
            if due is None or once:
                return
            self.clock.advance(max(0.0, due.total_seconds()))
        raise AssertionError("the runs never came to an end")

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A real worker, in this process, until the end of the block; it must not have complained."""
        complaints: list[str] = []
        worker = Worker(self.desk, complain=lambda what, error: complaints.append(f"{what}: {error}"))
        working = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        assert complaints == []

    async def until_ended(self, *run_ids: str) -> None:
        async with asyncio.timeout(10):
            while not all([(await self.run(run_id)).state.is_final for run_id in run_ids]):
                await asyncio.sleep(0)

    def restart(self) -> None:
        """The next process on the same journal."""
        self.memory = self.memory.after_restart()
        self.store = Dying(self.memory)

    async def run(self, run_id: str) -> Run:
        run = await self.store.get(run_id)
        assert run is not None
        return run

    async def end_of(self, run_id: str) -> tuple[RunState, str]:
        run = await self.run(run_id)
        return run.state, str(run.reason)

    @property
    def writes(self) -> int:
        return len(self.cluster.writes)


def condition(text: str, answer: Answer) -> Condition:
    def evaluate(variables: Mapping[str, Any]) -> Answer:
        return answer

    return Condition(text, evaluate)


async def settle_tasks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
