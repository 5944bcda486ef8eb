"""Make every object, hand each what it needs, and run them until the caller leaves; then end them in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from remediator import guards, systems
from remediator.app.bounds import bounds_of, kube_access
from remediator.app.braking import brakes_of
from remediator.app.hearing import Ear, log_api
from remediator.app.history import fall_back, warn
from remediator.app.housekeeping import keep_house
from remediator.app.journal import Bell, Journal, journal_told, open_journal
from remediator.app.ruleset import Rules
from remediator.app.standing import Standing
from remediator.app.state import Service, live_state
from remediator.app.trail import TrailKeeper
from remediator.app.witnesses import cluster_witness_of, hear, keep_witnesses
from remediator.clocks import SystemClock, new_id
from remediator.endpoints.http import HttpEndpoints
from remediator.kube.client import KubeClient
from remediator.kube.events import EventRecorder
from remediator.logs import LogObserver, complain
from remediator.metrics import Metrics
from remediator.model.errors import ConfigError, StoreUnavailable
from remediator.model.ledger import Delivery, Filed
from remediator.model.seams import Clock, Ids, Observer, ReadAccess, WriteAccess
from remediator.model.systems import AnySystem
from remediator.model.verdicts import Permit
from remediator.receiver.listening import Listener
from remediator.receiver.webhook import Filing, Webhook
from remediator.runs.desk import Desk
from remediator.runs.telling import Teller
from remediator.runs.worker import Worker
from remediator.settings import Settings
from remediator.store.backups import FileBackups
from remediator.store.sqlite import SalvagedStore, SQLiteStore
from remediator.web.api import Api
from remediator.web.operations import operations_routes
from remediator.web.public import public_application

EVENTS_DRAIN_SECONDS = 3.0


@asynccontextmanager
async def service(
    settings: Settings,
    *,
    clock: Clock | None = None,
    ids: Ids = new_id,
    observers: Sequence[Observer] = (),
    known: Mapping[str, AnySystem] | None = None,
    journal: Callable[[Journal], Journal] = lambda opened: opened,
) -> AsyncIterator[Service]:
    """
    Everything, running, until the caller leaves. Raises ConfigError and StoreUnavailable before it listens.

    With a journal that must not be built upon it runs all the same, and shows history only.

    `known` are the systems there are; without it, those that discovery finds. `journal` may stand something between
    the opened store and all that use it.
    """
    clock = clock or SystemClock()
    metrics = Metrics()
    known = systems.discover() if known is None else known
    rules = Rules(settings, known, clock, ids)
    async with AsyncExitStack() as stack:
        problems = rules.reload()
        if problems:
            raise ConfigError("\n".join(["the rules are wrong:", *(f"  {problem}" for problem in problems)]))
        metrics.reload_ok.set(1)
        bell = Bell()
        opened = await open_journal(settings, clock, ids, metrics, bell)
        stack.push_async_callback(opened.close)
        ledger = opened if isinstance(opened, SalvagedStore) else journal(opened)
        standing = Standing(ledger, opened.custody if isinstance(opened, SQLiteStore) else None)
        kube = await KubeClient.connect(
            kube_access(settings), clock=clock, tell=lambda a: metrics.kube_asked(a.verb, a.resource, a.code)
        )
        stack.push_async_callback(kube.close)
        brakes = brakes_of(settings, kube.view(), standing, clock)
        running = Service(settings, standing, rules, metrics, brakes)
        await stack.enter_async_context(_task(running, brakes.run(), "brakes"))
        await stack.enter_async_context(_task(running, warn(standing, clock), "warning"))
        intake = Intake(ledger)
        if not isinstance(ledger, SalvagedStore):
            engine = Engine(running, ledger, kube, known, clock, ids, observers)
            intake = await stack.enter_async_context(_acting(engine))
            bell.hang(intake.wake)
        webhook = Webhook(
            credentials=settings.webhook.auth.credentials(),
            dispatch=rules.dispatch,
            store=intake.filing,
            clock=clock,
            ids=ids,
            limits=settings.webhook,
            tell=Ear(metrics, clock),
        )
        credentials = settings.operators.credentials()
        api = Api(
            credentials, standing, brakes, lambda: rules.loaded, clock, ids, log_api, intake.wake, standing.caveat
        )
        await stack.enter_async_context(_listening(settings, running, webhook, api))
        structlog.get_logger().info(
            "history only" if running.store.damage else "ready",
            webhook_port=running.webhook_port,
            operations_port=running.operations_port,
            rules=[rule.name for rule in rules.loaded],
            **journal_told(settings),
        )
        yield running
        running.stopping = True


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
async def _acting(engine: Engine) -> AsyncIterator[Intake]:
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
        await stack.enter_async_context(_running(engine, worker, recorder))
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
async def _running(engine: Engine, worker: Worker, recorder: EventRecorder) -> AsyncIterator[None]:
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
        await stack.enter_async_context(_task(running, recorder.run(), "events"))
        stack.push_async_callback(recorder.drain, EVENTS_DRAIN_SECONDS)
        stack.push_async_callback(_tell_last_head, running, keeper)
        house = keep_house(running.settings, store, running.store.check, clock)
        work = [
            await stack.enter_async_context(_task(running, worker.run(), "worker")),
            await stack.enter_async_context(_task(running, house, "housekeeping")),
            await stack.enter_async_context(_task(running, keeper.run(running.reloaded), "audit trail")),
        ]
        if custody is not None:
            telling = _task(running, keep_witnesses(custody, cluster, clock), "witnesses")
            work.append(await stack.enter_async_context(telling))
            watch = _task(running, fall_back(running.store, custody, work), "watch on the journal")
            await stack.enter_async_context(watch)
        yield


async def _tell_last_head(running: Service, keeper: TrailKeeper) -> None:
    if running.store.damage is None:
        await keeper.tell_head(always=True)


@asynccontextmanager
async def _task(running: Service, work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[asyncio.Task[None]]:
    """A task of the service while the caller stays. One that ends by itself ends the service, loudly."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(running.task_ended)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def _listening(settings: Settings, running: Service, webhook: Webhook, api: Api) -> AsyncIterator[None]:
    """Both ports open; on leaving, requests in hand are answered and late writes waited for."""
    public = Listener(
        public_application([*webhook.routes(), *api.routes()], new_id),
        settings.listen.host,
        settings.listen.port,
        new_id,
        max_connections=settings.webhook.max_connections,
        header_timeout_seconds=settings.webhook.header_timeout_seconds,
    )
    inner = web.Application()
    inner.add_routes(operations_routes(running.not_ready, _exposition(running)))
    operations = Listener(inner, settings.operations.host, settings.operations.port, new_id)
    async with AsyncExitStack() as stack:
        await operations.start()
        stack.push_async_callback(operations.close)
        await public.start()
        stack.push_async_callback(webhook.settle)
        stack.push_async_callback(public.close)
        running.webhook_port, running.operations_port = public.port, operations.port
        yield


def _exposition(running: Service) -> Handler:
    """The metrics, with the gauges of live state read from the store at each scrape."""
    inner = running.metrics.handler

    async def handler(request: web.Request) -> web.StreamResponse:
        running.metrics.show_brakes(running.brakes.latest)
        try:
            running.metrics.show(await live_state(running))
        except StoreUnavailable as error:
            complain("the store cannot be asked for live runs", error)
        answer: web.StreamResponse = await inner(request)
        return answer

    return handler
