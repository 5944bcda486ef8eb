"""
The acting half of the service: all that changes a cluster, and the tasks that drive runs and look after the journal.

In: a journal to build upon, and what is made once for the whole service. Out: a door for what comes in, while the
caller stays; on leaving, its tasks end in order. Damage of the journal ends it early, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from remediator import guards
from remediator.app.bounds import bounds_of
from remediator.app.history import fall_back
from remediator.app.housekeeping import keep_house
from remediator.app.journal import Journal
from remediator.app.state import Service
from remediator.app.trail import TrailKeeper
from remediator.app.witnesses import cluster_witness_of, hear, keep_witnesses
from remediator.endpoints.http import HttpEndpoints
from remediator.kube.client import KubeClient
from remediator.kube.events import EventRecorder
from remediator.logs import LogObserver, complain
from remediator.model.ledger import Delivery, Filed
from remediator.model.seams import Clock, Ids, Observer, ReadAccess, Witness, WriteAccess
from remediator.model.systems import AnySystem
from remediator.model.verdicts import Permit
from remediator.receiver.webhook import Filing
from remediator.runs.desk import Desk
from remediator.runs.telling import Teller
from remediator.runs.worker import Worker
from remediator.store.backups import FileBackups

EVENTS_DRAIN_SECONDS = 3.0


@dataclass(frozen=True)
class Intake:
    """Where goes what comes in: into the journal, and to the worker, who may have something to do now."""

    filing: Filing
    wake: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Engine:
    """What the acting half of the service is made of."""

    running: Service
    store: Journal
    kube: KubeClient
    known: Mapping[str, AnySystem]
    clock: Clock
    ids: Ids
    observers: Sequence[Observer]


@asynccontextmanager
async def acting(engine: Engine) -> AsyncIterator[Intake]:
    """All that changes a cluster, running; and the door through which deliveries come to it."""
    settings, clock, kube = engine.running.settings, engine.clock, engine.kube
    async with AsyncExitStack() as stack:
        endpoints = HttpEndpoints(clock=clock, allow_loopback=settings.kubernetes.pods_on_loopback)
        stack.push_async_callback(endpoints.close)
        recorder = EventRecorder(kube, clock, engine.ids, instance=settings.own.pod_name or "remediator")
        told: list[Observer] = [
            engine.running.metrics,
            LogObserver(),
            *engine.observers,
            *([recorder] if settings.events else []),
        ]
        access = Access(kube, endpoints, FileBackups(settings.backup_directory), clock)
        desk = Desk(
            store=engine.store,
            clock=clock,
            systems=engine.known,
            rule=engine.running.rules.get,
            access=access,
            brakes=engine.running.brakes,
            guards=guards.discover(),
            tell=Teller(told, complain=complain),
            bounds=bounds_of(settings),
        )
        worker = Worker(desk, complain=complain)
        await stack.enter_async_context(_tasks(engine, worker, recorder))
        yield Intake(WakingFiling(engine.store, worker), worker.wake)


@dataclass(frozen=True)
class Access:
    """Reading for all, writing only from a permit."""

    kube: KubeClient
    endpoints: HttpEndpoints
    backups: FileBackups
    clock: Clock

    def read(self) -> ReadAccess:
        return ReadAccess(self.kube.view(), self.endpoints.view(), self.backups, self.clock)

    def write(self, permit: Permit) -> WriteAccess:
        bound = self.kube.bind(permit), self.endpoints.bind(permit)
        return WriteAccess(permit.run_id, *bound, self.backups, self.clock)


@dataclass(frozen=True)
class WakingFiling:
    """The store's door for the receiver: a delivery that made a run wakes the worker."""

    store: Journal
    worker: Worker

    async def file(self, delivery: Delivery) -> Sequence[Filed]:
        filed = await self.store.file(delivery)
        if any(entry.created for entry in filed):
            self.worker.wake()
        return filed


@asynccontextmanager
async def _tasks(engine: Engine, worker: Worker, recorder: EventRecorder) -> AsyncIterator[None]:
    """On leaving the tasks end in order: no new step, then what is told of the last one, then its telling."""
    running, store, clock = engine.running, engine.store, engine.clock
    custody = running.store.custody
    cluster = cluster_witness_of(running.settings, engine.kube)
    if custody is not None and cluster is not None:
        await hear(custody, cluster)
    keeper = TrailKeeper(store, lambda: running.rules.loaded, clock, running.metrics.audit_head.set)
    await keeper.note_rules()  # before anything is decided by them
    await keeper.tell_head()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(task_of(running, recorder.run(), "events"))
        stack.push_async_callback(recorder.drain, EVENTS_DRAIN_SECONDS)
        stack.push_async_callback(_tell_last_head, running, keeper)
        work = [
            await stack.enter_async_context(task_of(running, each, name))
            for name, each in _work(engine, worker, keeper, cluster).items()
        ]
        if custody is not None:
            watch = task_of(running, fall_back(running.store, custody, work), "watch on the journal")
            await stack.enter_async_context(watch)
        yield


def _work(
    engine: Engine, worker: Worker, keeper: TrailKeeper, cluster: Witness | None
) -> dict[str, Coroutine[Any, Any, None]]:
    """What ends when the journal must not be built upon any more."""
    running, store, clock = engine.running, engine.store, engine.clock
    custody = running.store.custody
    return {
        "worker": worker.run(),
        "housekeeping": keep_house(running.settings, store, running.store.check, clock),
        "audit trail": keeper.run(running.reloaded),
        **({"witnesses": keep_witnesses(custody, cluster, clock)} if custody else {}),
    }


async def _tell_last_head(running: Service, keeper: TrailKeeper) -> None:
    if running.store.damage is None:
        await keeper.tell_head(always=True)


@asynccontextmanager
async def task_of(running: Service, work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[asyncio.Task[None]]:
    """A task of the service while the caller stays. One that ends by itself ends the service, loudly."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(running.task_ended)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
