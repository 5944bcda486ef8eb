"""
Put the practice API server on a socket.

In: HTTP requests with a bearer token. Out: what the router answers, watches as streams, and the faults that a test
asked for. Every request is recorded, whatever became of it. It decides nothing about objects.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Collection
from dataclasses import replace
from http import HTTPStatus

from aiohttp import web

from remediator.model.objects import Manifest, ResourceType
from remediator.model.seams import Clock
from remediator.practice.addressing import Request
from remediator.practice.apiserver import ApiServer
from remediator.practice.faults import Fault, SeenRequest
from remediator.practice.refusals import ApiError, unauthorized
from remediator.practice.routing import Response, Router
from remediator.practice.subresources import LogSource
from remediator.practice.watch_feed import WatchFeed

__all__ = ["Fault", "PracticeServer", "SeenRequest"]

_OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version")
_PORTS = range(18080, 32768)
"""Below the ephemeral ports, so that no outgoing connection can hold one."""
_MAX_BODY = 3 * 1024 * 1024
_BOOKMARK_SECONDS = 60.0


class PracticeServer:
    """
    `faults` are used up in order, the first that matches; `requests` grows for as long as the server lives.

    kubectl sends no token over plain HTTP: give it `tls`, or an `open_door`, which lets anyone in without a token.
    A wrong token is refused either way.
    """

    open_door = False
    tls: ssl.SSLContext | None = None

    def __init__(
        self, api: ApiServer, *, tokens: Collection[str], logs: LogSource, clock: Clock, host: str = "127.0.0.1"
    ) -> None:
        self._api, self._clock, self._host = api, clock, host
        self._tokens = frozenset(tokens)
        self._router = Router(api, logs, clock)
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._closing = asyncio.Event()
        self._watches: dict[asyncio.Event, web.Request] = {}
        self.requests: list[SeenRequest] = []
        self.faults: list[Fault] = []
        api.subscribe(self._wake)

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self._host}:{self._port}"

    async def start(self, port: int = 0) -> None:
        """Listen; port 0 takes the first free one below the ephemeral range."""
        listener = _listener(self._host, port)
        self._port = listener.getsockname()[1]
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener, ssl_context=self.tls).start()

    async def stop(self) -> None:
        """End watches and hanging answers, then close; harmless when it is not running."""
        self._closing.set()
        self._wake_all()
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    def cut_watches(self) -> None:
        """Reset every open watch, as a restart of the real server does."""
        for request in self._watches.values():
            _cut(request)

    def compact(self) -> None:
        """Forget history and half-read lists: old resourceVersions and continue tokens are answered 410."""
        self._api.history.forget()
        self._router.pages.forget()
        self._wake_all()

    # --- one request ---------------------------------------------------------------------------------------

    async def _serve(self, incoming: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in incoming.headers.items()}
        try:
            body = await incoming.read()
        except web.HTTPRequestEntityTooLarge:
            return _sent(Response.of_error(ApiError(413, "RequestEntityTooLarge", "limit is 3145728")))
        request = Request(incoming.method, incoming.path, dict(incoming.query), headers, body)
        seen = _seen(request, self._clock)
        if request.path not in _OPEN_PATHS and not self._is_known(request):
            return self._record(seen, Response.of_error(unauthorized()))
        if fault := self._take_fault(seen):
            return await self._spoil(fault, seen, request, incoming)
        if seen.verb == "watch":
            return await self._watch(seen, request, incoming)
        return self._record(seen, self._router.answer(request))

    def _is_known(self, request: Request) -> bool:
        if "authorization" not in request.headers:
            return self.open_door
        scheme, _, token = request.headers["authorization"].partition(" ")
        return scheme.lower() == "bearer" and token in self._tokens

    def _record(self, seen: SeenRequest, response: Response) -> web.Response:
        self.requests.append(replace(seen, code=response.status))
        return _sent(response)

    def _take_fault(self, seen: SeenRequest) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.match(seen):
                fault.times -= 1
                return fault
        return None

    async def _spoil(
        self, fault: Fault, seen: SeenRequest, request: Request, incoming: web.Request
    ) -> web.StreamResponse:
        if isinstance(fault.answer, int):
            return self._record(seen, _broken(fault, fault.answer))
        self.requests.append(seen)
        if fault.answer == "hang":
            await self._closing.wait()
        elif fault.answer == "applied_then_reset":
            self._router.answer(request)
        _cut(incoming)
        return web.Response()

    # --- watches -------------------------------------------------------------------------------------------

    async def _watch(self, seen: SeenRequest, request: Request, incoming: web.Request) -> web.StreamResponse:
        try:
            feed = WatchFeed(self._api, self._clock, request)
        except ApiError as error:
            return self._record(seen, Response.of_error(error))
        self.requests.append(replace(seen, code=200))
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        changed = asyncio.Event()
        self._watches[changed] = incoming
        try:
            await stream.prepare(incoming)
            await self._feed(feed, stream, changed)
            await stream.write_eof()
        except ConnectionError:
            pass  # the client went away, or the test cut the line: either way nobody is there to be told
        finally:
            del self._watches[changed]
        return stream

    async def _feed(self, feed: WatchFeed, stream: web.StreamResponse, changed: asyncio.Event) -> None:
        deadline = None if feed.timeout is None else self._clock.monotonic() + feed.timeout
        while not self._closing.is_set():
            changed.clear()
            for line in feed.due():
                await stream.write(line)
            left = _BOOKMARK_SECONDS if deadline is None else deadline - self._clock.monotonic()
            if feed.is_over or left <= 0:
                break
            is_quiet = not await self._changes_within(changed, min(left, _BOOKMARK_SECONDS))
            if is_quiet and feed.wants_bookmarks:
                await stream.write(feed.bookmark())

    async def _changes_within(self, changed: asyncio.Event, seconds: float) -> bool:
        waits = asyncio.ensure_future(changed.wait()), asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return changed.is_set()

    def _wake(self, _change: str, _resource: ResourceType, _manifest: Manifest) -> None:
        self._wake_all()

    def _wake_all(self) -> None:
        for changed in self._watches:
            changed.set()


def _seen(request: Request, clock: Clock) -> SeenRequest:
    at = request.address
    try:
        body = json.loads(request.body) if request.body else None
    except ValueError:
        body = None
    asked = body.get("dryRun") if isinstance(body, dict) and request.method == "DELETE" else None
    return SeenRequest(
        at=clock.now(),
        verb=request.verb,
        method=request.method,
        path=request.path,
        query=request.query,
        resource=at.plural,
        subresource=at.subresource,
        namespace=at.namespace,
        name=at.name,
        body=body,
        content_type=request.content_type,
        dry_run=request.query.get("dryRun") == "All" or "All" in (asked or ()),
    )


def _sent(response: Response) -> web.Response:
    return web.Response(status=response.status, body=response.body, headers=response.headers)


def _broken(fault: Fault, status: int) -> Response:
    """What the test wrote, or a Status with that code."""
    if fault.body or fault.headers.get("Content-Type"):
        return Response(status, fault.body.encode(), fault.headers)
    phrase = HTTPStatus(status).phrase
    plain = Response.of_error(ApiError(status, phrase.replace(" ", ""), phrase))
    return Response(status, plain.body, {**plain.headers, **fault.headers})


def _cut(incoming: web.Request) -> None:
    """Reset the connection, so that the client cannot take it for an orderly end."""
    transport = incoming.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _listener(host: str, port: int) -> socket.socket:
    for candidate in (port,) if port else _PORTS:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
        except OSError:
            listener.close()
            if port:
                raise
            continue
        return listener
    raise OSError(f"no free port on {host} between {_PORTS.start} and {_PORTS.stop}")
