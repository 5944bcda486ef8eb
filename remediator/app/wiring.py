"""Make every object, hand each what it needs, and run them until the caller leaves; then end them in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from remediator import systems
from remediator.app.acting import Engine, Intake, acting, task_of
from remediator.app.bounds import kube_access
from remediator.app.braking import brakes_of
from remediator.app.hearing import Ear, log_api
from remediator.app.history import warn
from remediator.app.journal import Bell, Journal, journal_told, open_journal
from remediator.app.ruleset import Rules
from remediator.app.standing import Standing
from remediator.app.state import Service, live_state
from remediator.clocks import SystemClock, new_id
from remediator.kube.client import KubeClient
from remediator.logs import complain
from remediator.metrics import Metrics
from remediator.model.errors import ConfigError, StoreUnavailable
from remediator.model.seams import Clock, Ids, Observer
from remediator.model.systems import AnySystem
from remediator.receiver.listening import Listener
from remediator.receiver.webhook import Webhook
from remediator.settings import Settings
from remediator.store.sqlite import SalvagedStore, SQLiteStore
from remediator.web.api import Api
from remediator.web.operations import operations_routes
from remediator.web.public import public_application


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
        ledger = opened if isinstance(opened, SalvagedStore) else journal(opened)
        stack.push_async_callback(ledger.close)
        standing = Standing(ledger, opened.custody if isinstance(opened, SQLiteStore) else None)
        kube = await KubeClient.connect(
            kube_access(settings), clock=clock, tell=lambda a: metrics.kube_asked(a.verb, a.resource, a.code)
        )
        stack.push_async_callback(kube.close)
        brakes = brakes_of(settings, kube.view(), standing, clock)
        running = Service(settings, standing, rules, metrics, brakes)
        await stack.enter_async_context(task_of(running, brakes.run(), "brakes"))
        await stack.enter_async_context(task_of(running, warn(standing, clock), "warning"))
        intake = Intake(ledger)
        if not isinstance(ledger, SalvagedStore):
            engine = Engine(running, ledger, kube, known, clock, ids, observers)
            intake = await stack.enter_async_context(acting(engine))
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
