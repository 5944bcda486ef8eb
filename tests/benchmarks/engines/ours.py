"""
The service's own journal, on SQLite or PostgreSQL, through the `RunStore` that the service uses.

In: a path or a URL, and how much to ask. Out: the figures of `measuring`. A job is a delivery with its raw body and one
run for each alert; its first step is called after the same commits as in the service: filed, claimed, plan saved,
started within its limits with the target's lock, running, intent. The worker here has no cluster to look at and no
guards but the limits.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from remediator.clocks import SystemClock, new_id
from remediator.model.ledger import Candidate, Delivery, StartRequest, Trace, Usage
from remediator.model.objects import STATEFUL_SET, ObjectRef
from remediator.model.plans import Change, Effect, Plan, Step
from remediator.model.rules import Limit
from remediator.model.runs import Run, RunEvent, RunState, StepRecord, StepState
from remediator.model.seams import RunStore
from remediator.model.verdicts import Allow, Verdict
from remediator.receiver.parsing import read_notification
from tests.benchmarks.bodies import NAMESPACE
from tests.benchmarks.engines.measuring import Amounts, cannot, measure
from tests.benchmarks.engines.stores import Missing, store_at

CONCURRENCY = 16
"""Runs at a time, as the service has it by default."""
AMPLE = Limit(1_000_000, timedelta(hours=1))
MINUTE = timedelta(minutes=1)
VERB = "kubernetes.scale"
PLAN_STEPS = 6


def allow(_: Usage) -> Verdict:
    return Allow()


def target_of(run: Run) -> ObjectRef:
    return ObjectRef(STATEFUL_SET, run.labels["pod"], NAMESPACE, f"uid-of-{run.id}")


def plan_of(run: Run) -> Plan:
    """As long as the shipped cure of etcd: a plan is part of its run, and long ones have their price."""
    target = target_of(run)
    change = Change("spec.replicas", "3", "2")
    steps = tuple(
        Step(seq, VERB, target, {"replicas": 2}, Effect.IDEMPOTENT, MINUTE, "too many", (change,), (), (target,))
        for seq in range(PLAN_STEPS)
    )
    return Plan(run.rule, run.rule_revision, target, "scale it down", steps)


def start_of(run: Run, target: ObjectRef) -> StartRequest:
    """With limits that are counted and never reached."""
    return StartRequest(run, target.key, target.namespace, AMPLE, AMPLE, AMPLE, AMPLE)


class Ours:
    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._clock = SystemClock()
        self._filed = asyncio.Event()
        self._numbers: dict[str, int] = {}
        self.started: dict[int, float] = {}
        self.ways = {"first_step_ms": self._file}

    def job(self, body: bytes) -> Delivery:
        alerts = read_notification(body).alerts
        candidates = tuple(Candidate(new_id("run"), "annotate", "f" * 64, alert) for alert in alerts)
        return Delivery(self._clock.now(), body, "10.0.0.1", candidates)

    async def enqueue_singly(self, jobs: Sequence[Delivery], callers: int) -> None:
        waiting = iter(jobs)

        async def caller() -> None:
            for job in waiting:
                await self._store.file(job)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(caller())

    async def enqueue_batch(self, job: Delivery) -> None:
        await self._store.file(job)

    # --- the first step ------------------------------------------------------------------------------------

    async def _file(self, number: int, job: Delivery) -> None:
        self._numbers[job.candidates[0].run_id] = number
        await self._store.file(job)
        self._filed.set()

    async def work(self) -> None:
        """Take up what is filed, as the service's worker does, until cancelled."""
        async with asyncio.TaskGroup() as runs:
            while True:
                await self._filed.wait()
                self._filed.clear()
                claimed = await self._store.claim(CONCURRENCY)
                for entry in claimed:
                    runs.create_task(self._drive(entry.run))
                if len(claimed) == CONCURRENCY:
                    self._filed.set()

    async def _drive(self, run: Run) -> None:
        run = await self._begin(run)
        record = self._record(run, 0)
        run = await self._store.intend(run, record)
        if run.id in self._numbers:
            self.started[self._numbers[run.id]] = time.perf_counter()
        run = await self._settle(run, record)
        await self._store.save(replace(run, state=RunState.SUCCEEDED, finished_at=self._clock.now()))

    async def _begin(self, run: Run) -> Run:
        """From a claimed run to one that may act: its plan, its place within the limits, its target."""
        run = await self._store.save(replace(run, target=target_of(run), plan=plan_of(run)))
        verdict = await self._store.start(start_of(run, target_of(run)), allow)
        if verdict != Allow():
            raise RuntimeError(f"run {run.id} of the benchmark was not allowed to start: {verdict}")
        now = self._clock.now()
        moved = Trace(now, str(run.state), str(RunEvent.ALLOWED), str(RunState.RUNNING), "", "all guards allow it")
        return await self._store.save(replace(run, state=RunState.RUNNING, started_at=now), moved)

    # --- steps ---------------------------------------------------------------------------------------------

    async def ready(self, runs: int, steps: int) -> Mapping[str, tuple[Run, int]]:
        claimed = await self._store.claim(runs)
        return {entry.run.id: (await self._begin(entry.run), steps) for entry in claimed}

    async def carry_out(self, runs: Mapping[str, tuple[Run, int]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for run, steps in runs.values():
                tasks.create_task(self._steps(run, steps))

    async def _steps(self, run: Run, count: int) -> None:
        for seq in range(count):
            record = self._record(run, seq)
            run = await self._settle(await self._store.intend(run, record), record)

    def _record(self, run: Run, seq: int) -> StepRecord:
        now, intent = self._clock.now(), {"ref": target_of(run).as_json(), "replicas": [3, 2], "version": "48211"}
        return StepRecord(run.id, seq, 1, VERB, Effect.IDEMPOTENT, StepState.INTENT, intent, now, now + MINUTE)

    async def _settle(self, run: Run, record: StepRecord) -> Run:
        now = self._clock.now()
        return await self._store.settle(
            run, record, state=StepState.DONE, by_probe=False, changed=True, detail="scaled", at=now
        )


async def main(url: str, amounts: Amounts) -> None:
    try:
        async with store_at(url) as store:
            engine = Ours(store)
            async with asyncio.TaskGroup() as tasks:
                working = tasks.create_task(engine.work())
                await measure(engine, amounts)
                working.cancel()
    except Missing as missing:
        cannot(str(missing))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Amounts(**json.loads(sys.argv[2]))))
