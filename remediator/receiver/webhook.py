"""
Turn a POST of Alertmanager into a stored delivery and an answer.

In: an HTTP request. Out: 202 after the durable commit, with the runs admitted and the alerts skipped and why; or the
status that makes the sender do the right thing. Never a 2xx for what is not on disk, never a redirect, and never a
word to a cluster.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from aiohttp import hdrs, web

from remediator.credentials import Credentials, Entry
from remediator.model.alerts import Alert, AlertStatus, Notification
from remediator.model.errors import BadNotification, StoreDamaged, StoreUnavailable
from remediator.model.ledger import Candidate, Delivery, Filed
from remediator.model.seams import Clock, Ids
from remediator.model.verdicts import Reason
from remediator.receiver.notices import (
    AccessDecided,
    AlertsReceived,
    BodyTooLarge,
    LateWrite,
    Notice,
    RequestAnswered,
    Unmatched,
)
from remediator.receiver.parsing import read_notification
from remediator.receiver.reading import Intake, Rejected, Ticket, busy, read_body
from remediator.settings import Webhook as Limits

PATH = "/webhook/alertmanager"
MOST_LISTED = 1000
"""Entries of a list in an answer; the totals beside it are always whole."""


class SkippedAlert(Protocol):
    """An alert that gave no run. `index` is its place in the notification."""

    @property
    def index(self) -> int: ...
    @property
    def alertname(self) -> str: ...
    @property
    def reason(self) -> Reason: ...
    @property
    def detail(self) -> str: ...


class Sorted(Protocol):
    """What is to become of a notification's alerts."""

    @property
    def candidates(self) -> tuple[Candidate, ...]: ...
    @property
    def resolved(self) -> tuple[Alert, ...]: ...
    @property
    def skipped(self) -> Sequence[SkippedAlert]: ...


class Filing(Protocol):
    """The one thing the receiver may ask of the store."""

    async def file(self, delivery: Delivery) -> Sequence[Filed]: ...


@dataclass(frozen=True)
class Webhook:
    """The webhook's routes. `dispatch` is asked anew for each request, so rules may be reloaded behind it."""

    credentials: Credentials
    dispatch: Callable[[Notification], Sorted]
    store: Filing
    clock: Clock
    ids: Ids
    limits: Limits
    tell: Callable[[Notice], None]
    _intake: Intake = field(init=False)
    _late: set[asyncio.Task[Sequence[Filed]]] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_intake", Intake(self.limits))

    def routes(self) -> list[web.RouteDef]:
        """With and without the slash at the end: a redirect would lose the alert."""
        return [web.post(PATH, self.receive), web.post(PATH + "/", self.receive)]

    async def settle(self) -> None:
        """Wait for the writes whose senders were told to come again; asked before the store is closed."""
        if self._late:
            await asyncio.wait(self._late)

    async def receive(self, request: web.Request) -> web.Response:
        started = self.clock.monotonic()
        correlation_id = self.ids("req")
        try:
            response = await self._take(request, correlation_id)
        except Rejected as problem:
            response = self._reject(problem, correlation_id)
        seconds = self.clock.monotonic() - started
        self.tell(RequestAnswered(response.status, seconds, request.remote or "", correlation_id))
        return response

    async def _take(self, request: web.Request, correlation_id: str) -> web.Response:
        self._authenticate(request, correlation_id)
        ticket = self._intake.admit()
        try:
            body = await read_body(request, ticket, self.limits)
            deadline = self.clock.monotonic() + self.limits.answer_timeout_seconds
            notification = _parse(body)
            sorted_alerts = self.dispatch(notification)
            skipped = Counter([entry.reason for entry in sorted_alerts.skipped])
            sorted_out = sorted_alerts.candidates, sorted_alerts.resolved, skipped
            delivery = Delivery(self.clock.now(), body, request.remote or "", *sorted_out)
            filing = asyncio.create_task(self.store.file(delivery), name="file a delivery")
            filed = await self._in_time(filing, ticket, deadline)
        finally:
            ticket.close()
        self._tell_alerts(notification, skipped[Reason.NO_RULE_MATCHES])
        answer = _accepted(notification, sorted_alerts, filed)
        return web.Response(text=answer, status=202, content_type="application/json")

    def _authenticate(self, request: web.Request, correlation_id: str) -> None:
        """Before a byte of the body is read."""
        entry = self.credentials.check(request.headers.getall(hdrs.AUTHORIZATION, []))
        decision: Literal["accepted", "refused", "unknown"] = entry.value
        self.tell(AccessDecided(decision, request.remote or "", correlation_id))
        if entry is Entry.UNKNOWN:
            raise busy("the credentials cannot be read just now")
        if entry is not Entry.ACCEPTED:
            challenge: dict[str, str] = {hdrs.WWW_AUTHENTICATE: self.credentials.challenge}
            raise Rejected(401, "the credentials are missing or wrong", challenge)

    async def _in_time(self, filing: asyncio.Task[Sequence[Filed]], ticket: Ticket, deadline: float) -> Sequence[Filed]:
        """
        What the store made of it, if it says so before the deadline.

        A write that takes longer is left to finish, and keeps the request's place until then: a delivery that is
        stored and comes again admits nothing twice.
        """
        try:
            await asyncio.wait({filing}, timeout=max(deadline - self.clock.monotonic(), 0))
        finally:
            if not filing.done():
                self._leave(filing, ticket.hand_over())
        if not filing.done():
            raise busy("the store did not confirm in time")
        try:
            return filing.result()
        except StoreDamaged as problem:
            raise busy("the journal cannot be trusted: no alert is taken until an operator has looked") from problem
        except StoreUnavailable as problem:
            raise busy("the store cannot promise anything just now") from problem

    def _leave(self, filing: asyncio.Task[Sequence[Filed]], ticket: Ticket) -> None:
        def ended(task: asyncio.Task[Sequence[Filed]]) -> None:
            self._late.discard(task)
            ticket.close()
            problem = None if task.cancelled() else task.exception()
            self.tell(LateWrite(not task.cancelled() and problem is None, repr(problem) if problem else ""))

        self._late.add(filing)
        filing.add_done_callback(ended)

    def _tell_alerts(self, notification: Notification, unmatched: int) -> None:
        firing = [alert.status for alert in notification.alerts].count(AlertStatus.FIRING)
        self.tell(AlertsReceived(firing, len(notification.alerts) - firing, notification.truncated_alerts))
        if unmatched:
            self.tell(Unmatched(unmatched))

    def _reject(self, problem: Rejected, correlation_id: str) -> web.Response:
        if problem.status == 413:
            self.tell(BodyTooLarge(self.limits.max_body_bytes))
        said = {"error": problem.message, "correlation_id": correlation_id}
        response = web.json_response(said, status=problem.status, headers=problem.headers)
        if problem.status != 400:
            response.force_close()  # the rest of the body may still be on its way; nobody will read it
        return response


def _parse(body: bytes) -> Notification:
    try:
        return read_notification(body)
    except BadNotification as problem:
        raise Rejected(400, str(problem)) from problem


_json = json.JSONEncoder(separators=(",", ":")).encode
"""Made once: a storm is answered in ten thousand entries."""


def _accepted(notification: Notification, sorted_alerts: Sorted, filed: Sequence[Filed]) -> str:
    """The answer to a delivery that is on disk, as JSON. Lists are cut, totals are not."""
    names = {candidate.alert.episode: candidate.alert.name for candidate in sorted_alerts.candidates}
    skipped = sorted_alerts.skipped
    return (
        f'{{"received":{len(notification.alerts)},'
        f'"runs":[{",".join(_runs(filed[:MOST_LISTED], names))}],"runs_total":{len(filed)},'
        f'"skipped":[{",".join(_skipped(skipped[:MOST_LISTED]))}],"skipped_total":{len(skipped)},'
        f'"truncated_alerts":{notification.truncated_alerts}}}'
    )


def _runs(entries: Sequence[Filed], names: Mapping[str, str]) -> Iterator[str]:
    """Each entry as JSON; what most have in common is written once."""
    written: dict[tuple[str, str, bool, Reason | None], str] = {}
    for entry in entries:
        what = entry.rule, names.get(entry.episode, ""), entry.created, entry.reason
        rest = written.get(what)
        if rest is None:
            said = {"rule": entry.rule, "alertname": what[1], "created": entry.created}
            reason = {"reason": entry.reason} if entry.reason else {}
            written[what] = rest = _json(said | reason)[1:]
        yield f'{{"run":{_json(entry.run_id)},{rest}'


def _skipped(entries: Sequence[SkippedAlert]) -> Iterator[str]:
    """Each entry as JSON. Most are skipped for the same reason under the same name: that part is written once."""
    written: dict[tuple[str, Reason, str], str] = {}
    for entry in entries:
        why = entry.alertname, entry.reason, entry.detail
        rest = written.get(why)
        if rest is None:
            rest = _json({"alertname": entry.alertname, "reason": entry.reason, "detail": entry.detail})
            written[why] = rest = rest[1:]
        yield f'{{"index":{entry.index},{rest}'
