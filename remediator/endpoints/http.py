"""
Calls to a system's own HTTP API, over aiohttp.

In: a door and a declared call. Out: a Reply, whatever its status; or lines. Every call has its own connection, a
deadline and a byte limit. Never follows a redirect, never retries, never uses a proxy or a cookie. A write whose
answer did not come whole is AnswerLost, unless no connection was made.
"""

from __future__ import annotations

import contextvars
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import aiohttp

from remediator.endpoints.addresses import url_of
from remediator.model.calls import Door, ReadCall, Reply, WriteCall
from remediator.model.errors import AnswerLost, Permanent, PermitRefused, RemoteError, Temporary
from remediator.model.seams import Clock, Endpoint, EndpointView
from remediator.model.verdicts import Permit

MIB = 1024 * 1024
STREAM_SECONDS = 600.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

MAY_LEAVE: contextvars.ContextVar[Callable[[], None]] = contextvars.ContextVar("may_leave", default=lambda: None)
"""Set for one write, in this module alone: aiohttp has no other way to hand something to the moment of sending."""


class _TimelyRequest(aiohttp.ClientRequest):
    """Asks once more when the connection is there: waiting for one, or a frozen process, may have used up the time."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        MAY_LEAVE.get()()
        return await super().send(conn)


class HttpEndpoints:
    """The one client of the service for systems' own APIs. Make it inside the event loop, and close it."""

    def __init__(
        self,
        *,
        clock: Clock,
        timeout_seconds: float = 3.0,
        max_bytes: int = MIB,
        allow_loopback: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`allow_loopback` is for a rehearsal, whose pods live on 127.x. `tls` is what https doors must satisfy."""
        self._clock = clock
        # A connection of its own for each call: then a refused connection proves that nothing was sent.
        connector = aiohttp.TCPConnector(force_close=True, ssl=tls if tls is not None else True)
        self._caller = _Caller(connector, timeout_seconds, max_bytes, allow_loopback=allow_loopback)

    def view(self) -> EndpointView:
        return HttpEndpointView(self._caller)

    def bind(self, permit: Permit) -> Endpoint:
        return PermittedEndpoint(self._caller, permit, self._clock)

    async def close(self) -> None:
        await self._caller.close()


class HttpEndpointView:
    """Bounded reads."""

    def __init__(self, caller: _Caller) -> None:
        self._caller = caller

    async def ask(self, door: Door, call: ReadCall) -> Reply:
        return await self._caller.reply(door, call, writes=False)

    async def lines(self, door: Door, call: ReadCall, *, max_bytes: int) -> AsyncIterator[bytes]:
        async with aclosing(self._caller.lines(door, call, max_bytes)) as lines:
            async for line in lines:
                yield line


class PermittedEndpoint(HttpEndpointView):
    """The view plus writes to the pods that one permit covers."""

    def __init__(self, caller: _Caller, permit: Permit, clock: Clock) -> None:
        super().__init__(caller)
        self._permit = permit
        self._clock = clock

    async def send(self, door: Door, call: WriteCall) -> Reply:
        permit = self._permit
        what = f"{call.method} to {door.pod}"
        if not permit.covers(door.pod):
            raise PermitRefused(f"{what}: step {permit.step} of run {permit.run_id} may not touch that pod")
        seconds = permit.call_seconds(self._clock.monotonic(), self._caller.seconds)
        if not seconds > 0:
            raise PermitRefused(f"{what}: the permit of run {permit.run_id} has run out; ask the guards again")
        MAY_LEAVE.set(lambda: _refuse_late(what, permit, self._clock))
        return await self._caller.reply(door, call, writes=True, seconds=seconds)


def _refuse_late(what: str, permit: Permit, clock: Clock) -> None:
    if not clock.monotonic() < min(permit.expires, permit.answer_by):
        raise PermitRefused(f"{what}: the permit of run {permit.run_id} ran out before it could be sent")


class _Caller:
    """One HTTP exchange with one pod."""

    def __init__(
        self, connector: aiohttp.TCPConnector, seconds: float, max_bytes: int, *, allow_loopback: bool
    ) -> None:
        self.seconds = seconds
        self._max_bytes = max_bytes
        self._allow_loopback = allow_loopback
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            request_class=_TimelyRequest,
            headers={"Accept-Encoding": "identity", "User-Agent": "remediator"},
        )
        # Otherwise aiohttp sends a PUT or DELETE a second time when the connection is lost under the first.
        self._session._retry_connection = False  # noqa: SLF001 - there is no public way to say it

    async def close(self) -> None:
        await self._session.close()

    async def reply(
        self, door: Door, call: ReadCall | WriteCall, *, writes: bool, seconds: float | None = None
    ) -> Reply:
        what = _what(door, call)
        total = seconds or self.seconds
        limits = aiohttp.ClientTimeout(total=total, sock_connect=total)
        if not writes:
            MAY_LEAVE.set(lambda: None)
        async with self._open(door, call, limits, writes=writes) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self._max_bytes:
                    raise _too_long(what, self._max_bytes, writes=writes)
            return _reply(response.status, bytes(body))

    async def lines(self, door: Door, call: ReadCall, max_bytes: int) -> AsyncGenerator[bytes, None]:
        """Lines of any length, without their ends. Chunks are joined here: aiohttp's own lines end at 64 KiB."""
        what = _what(door, call)
        limits = aiohttp.ClientTimeout(total=STREAM_SECONDS, sock_connect=self.seconds, sock_read=self.seconds)
        async with self._open(door, call, limits, writes=False) as response:
            _check_stream(what, response.status)
            taken = 0
            rest: list[bytes] = []
            async for chunk in response.content.iter_any():
                taken += len(chunk)
                if taken > max_bytes:
                    raise _too_long(what, max_bytes, writes=False)
                *whole, last = chunk.split(b"\n")
                for part in whole:
                    yield b"".join((*rest, part)).removesuffix(b"\r")
                    rest.clear()
                if last:
                    rest.append(last)
            if rest:
                yield b"".join(rest)

    @asynccontextmanager
    async def _open(
        self, door: Door, call: ReadCall | WriteCall, limits: aiohttp.ClientTimeout, *, writes: bool
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        what = _what(door, call)
        url = url_of(door, call.path, allow_loopback=self._allow_loopback)
        data, headers = _body(call)
        with _translated(what, writes=writes):
            async with self._session.request(
                call.method, url, data=data, headers=headers, timeout=limits, allow_redirects=False
            ) as response:
                if response.status in _REDIRECTS:
                    raise Permanent(f"{what}: answered {response.status}, a redirect, which is never followed")
                if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise _unusable(what, "the answer is compressed, though that was not asked for", writes=writes)
                yield response


def _what(door: Door, call: ReadCall | WriteCall) -> str:
    path = call.path.partition("?")[0][:100]
    return f"{call.method} {path!r} at {door.pod} ({door.address[:60]}:{door.port})"


def _body(call: ReadCall | WriteCall) -> tuple[bytes | None, dict[str, str]]:
    if call.body is None:
        return None, {}
    return json.dumps(call.body, separators=(",", ":")).encode(), {"Content-Type": "application/json"}


def _reply(status: int, body: bytes) -> Reply:
    try:
        parsed: Any = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    return Reply(status, parsed, body.decode("utf-8", "replace"))


def _check_stream(what: str, status: int) -> None:
    if status in (408, 429) or status >= 500:
        raise Temporary(f"{what}: answered {status} instead of lines")
    if status != 200:
        raise Permanent(f"{what}: answered {status} instead of lines")


def _too_long(what: str, limit: int, *, writes: bool) -> RemoteError:
    return _unusable(what, f"the answer is longer than {limit} bytes", writes=writes)


def _unusable(what: str, why: str, *, writes: bool) -> RemoteError:
    """An answer came and cannot be used: useless to ask again, but what was written is written."""
    return AnswerLost(f"{what}: {why}; it may have been applied") if writes else Permanent(f"{what}: {why}")


@contextmanager
def _translated(what: str, *, writes: bool) -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
        raise Temporary(f"{what}: no connection, nothing was sent ({type(error).__name__})") from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        why = f"{what}: no whole answer ({type(error).__name__})"
        raise (AnswerLost(f"{why}; it may have been applied") if writes else Temporary(why)) from error
