"""
Wire the rooms together, run them, and end them in order. The only module that knows the rooms.

In: settings, a clock, a source of ids. Out: a running service whose ports are known, until the caller leaves. It
holds no logic of a room: what it adds is who is handed to whom, and in which order things begin and end.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from structlog.typing import FilteringBoundLogger

from remediator import guards, systems
from remediator.clocks import SystemClock, new_id
from remediator.dispatch import Dispatched, Dispatcher
from remediator.endpoints.http import HttpEndpoints
from remediator.kube.access import KubeAccess
from remediator.kube.client import KubeClient
from remediator.kube.events import EventRecorder
from remediator.logs import LogObserver, complain
from remediator.metrics import LiveState, Metrics
from remediator.model.alerts import Notification
from remediator.model.errors import ConfigError, StoreUnavailable
from remediator.model.ledger import FREEZE, Delivery, Filed, RunFilter, arm_switch
from remediator.model.objects import NAMESPACE, NODE, POD, ObjectRef
from remediator.model.rules import Limit, Rule
from remediator.model.runs import FINAL, RunState
from remediator.model.seams import Clock, Ids, Observer, ReadAccess, WriteAccess
from remediator.model.systems import AnySystem
from remediator.model.verdicts import Permit
from remediator.receiver.listening import Listener
from remediator.receiver.notices import (
    AccessDecided,
    AlertsReceived,
    BodyTooLarge,
    LateWrite,
    Notice,
    RequestAnswered,
    Unmatched,
)
from remediator.receiver.webhook import Webhook
from remediator.rulebook import load as load_rules
from remediator.runs.desk import Bounds, Desk
from remediator.runs.telling import Teller
from remediator.runs.worker import Worker
from remediator.settings import Settings
from remediator.store.backups import FileBackups
from remediator.store.sqlite import SQLiteStore
from remediator.web.api import Api, ApiAnswered
from remediator.web.operations import operations_routes
from remediator.web.public import public_application

LIVE = tuple(state for state in RunState if state not in FINAL)
HOUSEKEEPING_SECONDS = 3600.0
EVENTS_DRAIN_SECONDS = 3.0


class Rules:
    """The rules in force. A reload replaces them whole, or not at all."""

    def __init__(self, settings: Settings, known: Mapping[str, AnySystem], clock: Clock, ids: Ids) -> None:
        self._settings, self._known, self._clock, self._ids = settings, known, clock, ids
        self.loaded: tuple[Rule, ...] = ()
        self._by_name: dict[str, Rule] = {}
        self._dispatcher = self._dispatcher_for(())

    def reload(self) -> Sequence[str]:
        """Load the files again; answers the problems, and with any the old rules stay."""
        book = load_rules(self._settings.rules, self._known, protected=self._settings.protected_namespaces)
        if book.problems:
            return [str(problem) for problem in book.problems]
        self.loaded = book.rules
        self._by_name = {rule.name: rule for rule in book.rules}
        self._dispatcher = self._dispatcher_for(book.rules)
        return ()

    def _dispatcher_for(self, rules: Sequence[Rule]) -> Dispatcher:
        return Dispatcher(rules, ids=self._ids, protected=self._settings.protected_namespaces, clock=self._clock)

    def get(self, name: str) -> Rule | None:
        return self._by_name.get(name)

    def dispatch(self, notification: Notification) -> Dispatched:
        return self._dispatcher.dispatch(notification)


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
class Filing:
    """The store's door for the receiver: a delivery that made a run wakes the worker."""

    store: SQLiteStore
    worker: Worker

    async def file(self, delivery: Delivery) -> Sequence[Filed]:
        filed = await self.store.file(delivery)
        if any(entry.created for entry in filed):
            self.worker.wake()
        return filed


@dataclass
class Service:
    """A running service."""

    settings: Settings
    store: SQLiteStore
    rules: Rules
    metrics: Metrics
    webhook_port: int = 0
    operations_port: int = 0
    stopping: bool = False
    reload_problems: Sequence[str] = field(default_factory=tuple)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the service must end: somebody asked for it, or a task of its own has died."""
    failure: BaseException | None = None

    def task_ended(self, task: asyncio.Task[None]) -> None:
        """A task of the service never ends by itself; one that does takes the service with it."""
        if not task.cancelled():
            self.failure = task.exception() or RuntimeError(f"the task {task.get_name()} ended")
            self.ended.set()

    def not_ready(self) -> str:
        return "the service is stopping" if self.stopping else ""

    def reload(self) -> None:
        """Take the rules from the files again; bad ones are told and change nothing."""
        self.reload_problems = self.rules.reload()
        self.metrics.reload_ok.set(0 if self.reload_problems else 1)
        log = structlog.get_logger()
        for problem in self.reload_problems:
            log.error("rule", problem=problem)
        if not self.reload_problems:
            log.info("rules loaded", rules=[rule.name for rule in self.rules.loaded])


@asynccontextmanager
async def service(
    settings: Settings,
    *,
    clock: Clock | None = None,
    ids: Ids = new_id,
    observers: Sequence[Observer] = (),
    known: Mapping[str, AnySystem] | None = None,
) -> AsyncIterator[Service]:
    """
    Everything, running, until the caller leaves. Raises ConfigError and StoreUnavailable before it listens.

    `known` are the systems there are; without it, those that discovery finds.
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
        journal = settings.state_directory / "journal.db"
        store = await SQLiteStore.open(journal, clock, told_commit=metrics.committed)
        stack.push_async_callback(store.close)
        kube = await KubeClient.connect(
            kube_access(settings), clock=clock, tell=lambda a: metrics.kube_asked(a.verb, a.resource, a.code)
        )
        stack.push_async_callback(kube.close)
        endpoints = HttpEndpoints(clock=clock, allow_loopback=settings.kubernetes.pods_on_loopback)
        stack.push_async_callback(endpoints.close)
        recorder = EventRecorder(kube, clock, ids, instance=settings.own.pod_name or "remediator")
        told: list[Observer] = [metrics, LogObserver(), *observers, *([recorder] if settings.events else [])]
        access = Access(kube, endpoints, FileBackups(settings.backup_directory), clock)
        desk = Desk(
            store=store,
            clock=clock,
            systems=known,
            rule=rules.get,
            access=access,
            guards=guards.discover(),
            tell=Teller(told, complain=complain),
            bounds=bounds_of(settings),
        )
        worker = Worker(desk, complain=complain)
        running = Service(settings, store, rules, metrics)
        webhook = Webhook(
            credentials=settings.webhook.auth.credentials(),
            dispatch=rules.dispatch,
            store=Filing(store, worker),
            clock=clock,
            ids=ids,
            limits=settings.webhook,
            tell=_Ear(metrics, clock),
        )
        api = Api(settings.operators.credentials(), store, lambda: rules.loaded, clock, ids, _log_api)
        await stack.enter_async_context(_running(running, worker, recorder, clock))
        await stack.enter_async_context(_listening(settings, running, webhook, api))
        structlog.get_logger().info(
            "ready",
            webhook_port=running.webhook_port,
            operations_port=running.operations_port,
            rules=[rule.name for rule in rules.loaded],
            sqlite=sqlite3.sqlite_version,
        )
        yield running
        running.stopping = True


@asynccontextmanager
async def _running(running: Service, worker: Worker, recorder: EventRecorder, clock: Clock) -> AsyncIterator[None]:
    """The tasks of the service. One that dies ends the service, loudly; on leaving they end in order."""
    posting = asyncio.create_task(recorder.run(), name="events")
    working = asyncio.create_task(worker.run(), name="worker")
    keeping = asyncio.create_task(_keep_house(running, clock), name="housekeeping")
    for task in (posting, working, keeping):
        task.add_done_callback(running.task_ended)
    try:
        yield
    finally:
        keeping.cancel()
        working.cancel()
        await asyncio.wait({working, keeping})
        await recorder.drain(EVENTS_DRAIN_SECONDS)
        posting.cancel()
        await asyncio.wait({posting})


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
        try:
            running.metrics.show(await _live_state(running))
        except StoreUnavailable as error:
            complain("the store cannot be asked for live runs", error)
        answer: web.StreamResponse = await inner(request)
        return answer

    return handler


async def _live_state(running: Service) -> LiveState:
    active: dict[tuple[str, str], int] = {}
    for run in await running.store.list(RunFilter(LIVE, limit=100_000)):
        key = (run.rule, str(run.state))
        active[key] = active.get(key, 0) + 1
    on = {switch.name for switch in await running.store.switches() if switch.on}
    armed = {rule.name: arm_switch(rule.name) in on for rule in running.rules.loaded}
    for run_id, why in running.store.damaged.items():
        structlog.get_logger().error("a run of the journal cannot be read", run=run_id, why=why)
    return LiveState(active, armed, FREEZE in on, len(running.store.damaged))


async def _keep_house(running: Service, clock: Clock) -> None:
    """Forget raw deliveries that are old enough."""
    while True:
        try:
            await running.store.prune(clock.now() - timedelta(days=running.settings.delivery_retention_days))
        except StoreUnavailable as error:
            complain("old deliveries could not be forgotten", error)
        await clock.sleep(HOUSEKEEPING_SECONDS)


@dataclass(frozen=True)
class _Ear:
    """Hears what the receiver says of itself: counts it, and logs what an operator must see."""

    metrics: Metrics
    clock: Clock
    log: FilteringBoundLogger = field(default_factory=lambda: structlog.get_logger().bind())
    """Bound once: most of what is heard is logged only when somebody debugs."""

    def __call__(self, notice: Notice) -> None:
        log = self.log
        match notice:
            case RequestAnswered():
                self.metrics.request_answered(notice.code, notice.seconds)
                log.debug("webhook", code=notice.code, sender=notice.sender, correlation_id=notice.correlation_id)
            case AlertsReceived():
                self.metrics.alerts_accepted(notice.firing, notice.resolved, self.clock.now())
            case Unmatched():
                self.metrics.unmatched.inc(notice.count)
            case AccessDecided() if notice.decision != "accepted":
                log.warning("webhook access", decision=notice.decision, sender=notice.sender)
            case BodyTooLarge():
                log.error("a delivery was too large and is lost; raise webhook.max_body_bytes", limit=notice.limit)
            case LateWrite():
                log.warning("a delivery was stored late", stored=notice.stored, problem=notice.problem)


def _log_api(answered: ApiAnswered) -> None:
    structlog.get_logger().info(
        "api",
        method=answered.method,
        route=answered.route,
        permission=answered.permission,
        code=answered.code,
        sender=answered.sender,
        correlation_id=answered.correlation_id,
    )


def bounds_of(settings: Settings) -> Bounds:
    limit = settings.limits.per_service
    return Bounds(
        per_service=Limit(limit.count, timedelta(seconds=limit.window_seconds)),
        protected_namespaces=settings.protected_namespaces,
        own=own_objects(settings),
        evidence_max_age=timedelta(seconds=settings.evidence_max_age_seconds),
        permit_seconds=settings.permit_seconds,
        recheck=timedelta(seconds=settings.held_recheck_seconds),
        concurrency=settings.workers.concurrency,
    )


def own_objects(settings: Settings) -> tuple[ObjectRef, ...]:
    """What keeps this service alive: its namespace with all in it, its pod, its node."""
    own = settings.own
    refs = []
    if own.namespace:
        refs.append(ObjectRef(NAMESPACE, own.namespace))
        refs += [ObjectRef(POD, own.pod_name, own.namespace)] if own.pod_name else []
    refs += [ObjectRef(NODE, own.node)] if own.node else []
    return tuple(refs)


def kube_access(settings: Settings) -> KubeAccess:
    kubernetes = settings.kubernetes
    return KubeAccess(
        kubeconfig=str(kubernetes.kubeconfig or ""),
        context=kubernetes.context,
        in_cluster=kubernetes.in_cluster,
        server=kubernetes.server,
        token_file=str(kubernetes.token_file or ""),
        ca_file=str(kubernetes.ca_file or ""),
        request_timeout=kubernetes.request_timeout_seconds,
    )


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. SIGHUP reloads the rules."""
    loop = asyncio.get_running_loop()
    async with service(settings) as running:
        _spare_the_collector()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, running.ended.set)
        loop.add_signal_handler(signal.SIGHUP, running.reload)
        await running.ended.wait()
        structlog.get_logger().info("stopping")
    if running.failure is not None:
        raise running.failure


def _spare_the_collector() -> None:
    """
    Let the cyclic collector look at what comes and goes only, and less often.

    All that was imported stays until the end, and a delivery of a hundred alerts makes no cycles: searching both for
    some after every few alerts took a third of the receiver's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
