"""
The API under `/api/v1`: what the store knows of runs, rules and switches, and the switches themselves.

In: a request with the operator's credential. Out: JSON. Every change is a record in the store before it is answered.
It never reads a table, never moves a run, never unfreezes what a brake still holds, and never answers anybody whose
credential it has not seen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from remediator.credentials import Credentials, Entry
from remediator.model.brakes import BrakeState, Engaged, Unreadable
from remediator.model.errors import IllegalMove, LostRun, StoreDamaged, StoreUnavailable
from remediator.model.ledger import FREEZE, AuditRecord, RunFilter, Signal, SignalName, Switch, Trace, arm_switch
from remediator.model.rules import Rule
from remediator.model.runs import Run, RunState, StepRecord
from remediator.model.seams import Clock, Ids
from remediator.web.asking import Unanswerable, did_you_mean, read_change, read_filter, read_page
from remediator.web.rendering import brake_json, rule_json, run_json, signal_json, switch_json, whole_run_json
from remediator.web.routes import ROUTES, Permission, Route
from remediator.web.trail import page_of

COME_AGAIN = {"Retry-After": "5"}
NOT_FROZEN = (
    "the store cannot promise anything just now, so do not rely on this freeze; "
    "make the freeze file or send SIGUSR1 instead, which need no store"
)
FROZEN_ANYWAY = "Until then nothing is written anyway; make the freeze file, and the next start is frozen too."

Answer = Callable[[web.Request], Awaitable[Any]]


class Ledger(Protocol):
    """What the API may ask of the store."""

    async def get(self, run_id: str) -> Run | None: ...
    async def list(self, which: RunFilter) -> Sequence[Run]: ...
    async def steps(self, run_id: str) -> Sequence[StepRecord]: ...
    async def traces(self, run_id: str) -> Sequence[Trace]: ...
    async def signals(self, run_id: str) -> Sequence[Signal]: ...
    async def signal(self, signal: Signal) -> Signal: ...
    async def throw(self, switch: Switch) -> None: ...
    async def switches(self) -> Sequence[Switch]: ...
    async def audit(self, after: int, limit: int) -> Sequence[AuditRecord]: ...
    async def audit_head(self) -> AuditRecord | None: ...


class Brakes(Protocol):
    """What the API may ask of the ways to freeze that do not need the store."""

    async def look_at_each(self) -> Sequence[BrakeState]: ...


@dataclass(frozen=True)
class Caveat:
    """The journal cannot be trusted, so what is answered is history, and perhaps not all of it."""

    why: str
    unreadable: int


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
    brakes: Brakes
    rules: Callable[[], Sequence[Rule]]
    clock: Clock
    ids: Ids
    tell: Callable[[ApiAnswered], None]
    told: Callable[[], None] = lambda: None
    """Called when a run was told something: it may be due now."""
    caveat: Callable[[], Caveat | None] = lambda: None
    """Goes with every answer to a question, while there is one."""

    def routes(self) -> list[web.RouteDef]:
        """Exactly the table's."""
        answers: dict[str, Answer] = {
            "list_runs": self._list_runs,
            "show_run": self._show_run,
            "cancel": self._cancel,
            "approve": self._approve,
            "deny": self._deny,
            "list_rules": self._list_rules,
            "list_switches": self._list_switches,
            "list_audit": self._list_audit,
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
                response = web.json_response({**await answer(request), **self._reserved(route)})
            except (Unanswerable, StoreUnavailable, web.HTTPRequestEntityTooLarge) as problem:
                response = _refusal(problem, correlation_id)
            told = (route.method, route.path, route.permission, response.status)
            self.tell(ApiAnswered(*told, request.remote or "", correlation_id))
            return response

        return handle

    def _reserved(self, route: Route) -> Mapping[str, Any]:
        caveat = self.caveat() if route.permission == "read" else None
        return {"history_only": {"why": caveat.why, "unreadable": caveat.unreadable}} if caveat else {}

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
        run = await self._known_run(request)
        steps, traces = await self.store.steps(run.id), await self.store.traces(run.id)
        return whole_run_json(run, steps, traces, await self.store.signals(run.id))

    async def _known_run(self, request: web.Request) -> Run:
        run_id = request.match_info["id"]
        run = await self.store.get(run_id)
        if run is None:
            raise Unanswerable(404, f"there is no run {run_id[:64]!r}")
        return run

    async def _list_rules(self, _: web.Request) -> Any:
        thrown = {switch.name: switch for switch in await self.store.switches()}
        return {"rules": [rule_json(rule, thrown.get(arm_switch(rule.name))) for rule in self.rules()]}

    async def _list_switches(self, _: web.Request) -> Any:
        brakes, switches = await self.brakes.look_at_each(), await self.store.switches()
        is_frozen = any(isinstance(brake, Engaged) for brake in brakes)
        return {
            "frozen": is_frozen or any(switch.on for switch in switches if switch.name == FREEZE),
            "switches": [switch_json(switch) for switch in switches],
            "brakes": [brake_json(brake) for brake in brakes],
        }

    async def _list_audit(self, request: web.Request) -> Any:
        return await page_of(self.store, *read_page(request))

    # --- telling a run -------------------------------------------------------------------------------------

    async def _cancel(self, request: web.Request) -> Any:
        run = await self._known_run(request)
        change = await read_change(request)
        return await self._signal(Signal(run.id, SignalName.CANCEL, "", change.by, change.why, self.clock.now()))

    async def _approve(self, request: web.Request) -> Any:
        return await self._answer(request, SignalName.APPROVE)

    async def _deny(self, request: web.Request) -> Any:
        return await self._answer(request, SignalName.DENY)

    async def _answer(self, request: web.Request, name: SignalName) -> Any:
        """A yes or a no, to exactly the plan that the caller has read."""
        run = await self._known_run(request)
        change = await read_change(request, about_a_plan=True)
        if run.state is not RunState.AWAITING_APPROVAL or run.plan is None:
            raise Unanswerable(409, f"run {run.id} is {run.state}; it does not wait for an answer")
        if change.plan != run.plan.digest:
            raise Unanswerable(409, f"the plan of run {run.id} is another by now ({run.plan.digest}); read it again")
        for told in await self.store.signals(run.id):
            if told.name is SignalName.DENY and told.digest == change.plan and name is SignalName.APPROVE:
                raise Unanswerable(409, f"{told.by} has denied this plan: {told.why}")
        return await self._signal(Signal(run.id, name, change.plan, change.by, change.why, self.clock.now()))

    async def _signal(self, signal: Signal) -> Any:
        """The first of its kind, which is the caller's own or that of somebody who was faster."""
        try:
            first = await self.store.signal(signal)
        except LostRun as problem:
            raise Unanswerable(404, str(problem)) from problem
        except IllegalMove as problem:
            raise Unanswerable(409, str(problem)) from problem
        self.told()
        return {**signal_json(first), "is_yours": first == signal}

    # --- changing ------------------------------------------------------------------------------------------

    async def _freeze(self, request: web.Request) -> Any:
        try:
            return await self._throw(request, FREEZE, on=True)
        except StoreDamaged as problem:
            raise Unanswerable(503, f"{problem} {FROZEN_ANYWAY}") from problem
        except StoreUnavailable as problem:
            raise Unanswerable(503, NOT_FROZEN, COME_AGAIN) from problem

    async def _unfreeze(self, request: web.Request) -> Any:
        return await self._throw(request, FREEZE, on=False)

    async def _arm(self, request: web.Request) -> Any:
        rule = self._loaded(request)
        return await self._throw(request, arm_switch(rule.name), on=True, revision=rule.revision)

    async def _disarm(self, request: web.Request) -> Any:
        """Also a rule that is not loaded just now: it must not come back armed."""
        name = arm_switch(request.match_info["name"])
        if name not in {switch.name for switch in await self.store.switches()}:
            name = arm_switch(self._loaded(request).name)
        return await self._throw(request, name, on=False)

    def _loaded(self, request: web.Request) -> Rule:
        name = request.match_info["name"]
        rules = {rule.name: rule for rule in self.rules()}
        if name not in rules:
            raise Unanswerable(404, f"there is no rule {name[:64]!r}{did_you_mean(name, rules)}")
        return rules[name]

    async def _throw(self, request: web.Request, name: str, *, on: bool, revision: str = "") -> Any:
        change = await read_change(request)
        if name == FREEZE and not on:
            _check_released(await self.brakes.look_at_each())
        switch = Switch(name, on, change.by, change.why, self.clock.now(), revision)
        await self.store.throw(switch)
        return switch_json(switch)


def _check_released(brakes: Sequence[BrakeState]) -> None:
    """Raises Unanswerable while any brake says freeze, or might."""
    if engaged := [brake for brake in brakes if isinstance(brake, Engaged)]:
        held = "; ".join(f"{brake.by} ({brake.why}): {brake.let_go}" for brake in engaged)
        raise Unanswerable(409, f"nothing was changed, because the freeze is still held by {held}; then unfreeze")
    if unreadable := [brake for brake in brakes if isinstance(brake, Unreadable)]:
        unknown = "; ".join(f"{brake.by}: {brake.why}" for brake in unreadable)
        raise Unanswerable(503, f"nothing was changed, because nobody can tell what still says freeze: {unknown}")


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
    elif isinstance(problem, StoreDamaged):
        message, headers = str(problem), {}  # to come again is of no use
    elif isinstance(problem, web.HTTPRequestEntityTooLarge):
        status, message, headers = 413, "the body is too large", {}
    response = web.json_response({"error": message, "correlation_id": correlation_id}, status=status, headers=headers)
    if status in {401, 408, 413}:
        response.force_close()  # what is left of the body will not be read
    return response
