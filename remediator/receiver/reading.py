"""
Read a request's body, bounded in every direction.

In: a request. Out: its bytes, or a `Rejected` that says what to answer: 413 for what will never fit, 415 for what is
compressed, 503 for too much at once and for a sender that is too slow (Alertmanager drops an alert on any 4xx and
comes again on a 5xx), 400 for a body that breaks off. Never holds more than it was allowed, whatever a header claims.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import hdrs, web

from remediator.settings import Webhook as Limits

COME_AGAIN: Mapping[str, str] = {hdrs.RETRY_AFTER: "5"}


class Rejected(Exception):
    """A request ends here, with this answer. `message` goes to the sender."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def busy(message: str) -> Rejected:
    """503: the one answer after which Alertmanager comes again soon."""
    return Rejected(503, message, COME_AGAIN)


class Intake:
    """How much is in hand: requests, and bytes of their bodies."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests = 0
        self._buffered = 0

    def admit(self) -> Ticket:
        """A place for one request. Raises Rejected when there is none."""
        if self._requests >= self._limits.max_requests:
            raise busy("too many requests at once")
        self._requests += 1
        return Ticket(self)

    def hold(self, count: int) -> None:
        if self._buffered + count > self._limits.max_buffered_bytes:
            raise busy("too many bytes at once")
        self._buffered += count

    def give_back(self, count: int) -> None:
        self._requests -= 1
        self._buffered -= count


class Ticket:
    """One request's place, and the bytes it holds. Given back once, however often it is closed."""

    def __init__(self, intake: Intake | None, held: int = 0) -> None:
        self._intake = intake
        self._held = held

    def hold(self, count: int) -> None:
        if self._intake is not None:
            self._intake.hold(count)
            self._held += count

    def hand_over(self) -> Ticket:
        """The same place under another owner; this ticket is closed by it."""
        heir = Ticket(self._intake, self._held)
        self._intake = None
        return heir

    def close(self) -> None:
        if self._intake is not None:
            self._intake.give_back(self._held)
            self._intake = None


async def read_body(request: web.Request, ticket: Ticket, limits: Limits) -> bytes:
    """The whole body as sent. Raises Rejected."""
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Rejected(415, "a compressed body is not accepted; send it as it is")
    claimed = request.content_length
    if claimed is not None and claimed > limits.max_body_bytes:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_timeout_seconds):
            return await _collect(request, ticket, limits)
    except TimeoutError as problem:
        raise busy("the body came too slowly") from problem
    except (web.RequestPayloadError, ConnectionError) as problem:
        raise Rejected(400, "the body breaks off") from problem


async def _collect(request: web.Request, ticket: Ticket, limits: Limits) -> bytes:
    body = bytearray()
    while chunk := await request.content.readany():
        if len(body) + len(chunk) > limits.max_body_bytes:
            raise _too_large(limits)
        ticket.hold(len(chunk))
        body += chunk
    return bytes(body)


def _too_large(limits: Limits) -> Rejected:
    return Rejected(413, f"the body is larger than {limits.max_body_bytes} bytes (webhook.max_body_bytes)")
