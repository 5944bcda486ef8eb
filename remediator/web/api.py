"""
The API under `/api/v1`: what the store knows of runs, rules and switches, and the switches themselves.

In: a request with the operator's credential. Out: JSON. Every change is a record in the store before it is answered.
It never reads a table, never moves a run, and never answers anybody whose credential it has not seen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from remediator.credentials import Credentials, Entry
from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import FREEZE, RunFilter, Switch, Trace, arm_switch
from remediator.model.rules import Rule
from remediator.model.runs import Run, StepRecord
from remediator.model.seams import Clock, Ids
from remediator.web.asking import Unanswerable, did_you_mean, read_change, read_filter
from remediator.web.rendering import rule_json, run_json, switch_json, whole_run_json
from remediator.web.routes import ROUTES, Permission, Route

COME_AGAIN = {"Retry-After": "5"}

Answer = Callable[[web.Request], Awaitable[Any]]


class Ledger(Protocol):
    """What the API may ask of the store."""

    async def get(self, run_id: str) -> Run | None: ...
    async def list(self, which: RunFilter) -> Sequence[Run]: ...
    async def steps(self, run_id: str) -> Sequence[StepRecord]: ...
    async def traces(self, run_id: str) -> Sequence[Trace]: ...
    async def throw(self, switch: Switch) -> None: ...
    async def switches(self) -> Sequence[Switch]: ...


@dataclass(frozen=True)
class ApiAnswered:
    """Every request to the API ends in exactly one of these."""

    method: str
    route: str
    permission: Permission
    code: int
    sender: str
    correlation_id: str


@dataclass(frozen=True)
class Api:
    """The API's routes. `rules` is asked anew for each request, so rules may be reloaded behind it."""

    credentials: Credentials
    store: Ledger
    rules: Callable[[], Sequence[Rule]]
    clock: Clock
    ids: Ids
    tell: Callable[[ApiAnswered], None]

    def routes(self) -> list[web.RouteDef]:
        """Exactly the table's."""
        answers: dict[str, Answer] = {
            "list_runs": self._list_runs,
            "show_run": self._show_run,
            "list_rules": self._list_rules,
            "list_switches": self._list_switches,
            "freeze": self._freeze,
            "unfreeze": self._unfreeze,
            "arm": self._arm,
            "disarm": self._disarm,
        }
        return [_definition(route, self._guarded(route, answers[route.name])) for route in ROUTES]

    # --- the guarded door ----------------------------------------------------------------------------------

    def _guarded(self, route: Route, answer: Answer) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            correlation_id = self.ids("req")
            try:
                self._authenticate(request)
                response = web.json_response(await answer(request))
            except (Unanswerable, StoreUnavailable, web.HTTPRequestEntityTooLarge) as problem:
                response = _refusal(problem, correlation_id)
            told = (route.method, route.path, route.permission, response.status)
            self.tell(ApiAnswered(*told, request.remote or "", correlation_id))
            return response

        return handle

    def _authenticate(self, request: web.Request) -> None:
        entry = self.credentials.check(request.headers.getall(hdrs.AUTHORIZATION, []))
        if entry is Entry.UNKNOWN:
            raise Unanswerable(503, "the operators' credentials cannot be read just now", COME_AGAIN)
        if entry is not Entry.ACCEPTED:
            challenge: dict[str, str] = {hdrs.WWW_AUTHENTICATE: self.credentials.challenge}
            raise Unanswerable(401, "the operator's credential is missing or wrong", challenge)

    # --- reading -------------------------------------------------------------------------------------------

    async def _list_runs(self, request: web.Request) -> Any:
        return {"runs": [run_json(run) for run in await self.store.list(read_filter(request))]}

    async def _show_run(self, request: web.Request) -> Any:
        run_id = request.match_info["id"]
        run = await self.store.get(run_id)
        if run is None:
            raise Unanswerable(404, f"there is no run {run_id[:64]!r}")
        return whole_run_json(run, await self.store.steps(run.id), await self.store.traces(run.id))

    async def _list_rules(self, _: web.Request) -> Any:
        on = {switch.name for switch in await self.store.switches() if switch.on}
        return {"rules": [rule_json(rule, armed=arm_switch(rule.name) in on) for rule in self.rules()]}

    async def _list_switches(self, _: web.Request) -> Any:
        return {"switches": [switch_json(switch) for switch in await self.store.switches()]}

    # --- changing ------------------------------------------------------------------------------------------

    async def _freeze(self, request: web.Request) -> Any:
        return await self._throw(request, FREEZE, on=True)

    async def _unfreeze(self, request: web.Request) -> Any:
        return await self._throw(request, FREEZE, on=False)

    async def _arm(self, request: web.Request) -> Any:
        return await self._throw(request, arm_switch(self._known_rule(request)), on=True)

    async def _disarm(self, request: web.Request) -> Any:
        return await self._throw(request, arm_switch(self._known_rule(request)), on=False)

    def _known_rule(self, request: web.Request) -> str:
        name = request.match_info["name"]
        names = [rule.name for rule in self.rules()]
        if name not in names:
            raise Unanswerable(404, f"there is no rule {name[:64]!r}{did_you_mean(name, names)}")
        return name

    async def _throw(self, request: web.Request, name: str, *, on: bool) -> Any:
        change = await read_change(request)
        switch = Switch(name, on, change.by, change.why, self.clock.now())
        await self.store.throw(switch)
        return switch_json(switch)


def _definition(route: Route, handler: Handler) -> web.RouteDef:
    """aiohttp serves HEAD beside every GET unless told not to, and HEAD is not in the table."""
    if route.method == "GET":
        return web.get(route.path, handler, allow_head=False)
    return web.post(route.path, handler)


def _refusal(problem: Exception, correlation_id: str) -> web.Response:
    """The answer to a request that failed: words for the caller, never a trace."""
    status, message, headers = 503, "the store cannot promise anything just now", COME_AGAIN
    if isinstance(problem, Unanswerable):
        status, message, headers = problem.status, problem.message, problem.headers
    elif isinstance(problem, web.HTTPRequestEntityTooLarge):
        status, message, headers = 413, "the body is too large", {}
    response = web.json_response({"error": message, "correlation_id": correlation_id}, status=status, headers=headers)
    if status in {401, 408, 413}:
        response.force_close()  # what is left of the body will not be read
    return response
