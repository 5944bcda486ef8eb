"""
Listen on a port, with bounds on what a connection may cost.

In: an application and an address. Out: a server whose connections are counted and cut off: the header of a request
must be whole within its deadline, measured from the connection's start or from the last answer, and one connection
too many is told to come again. What is not HTTP gets one line back. No answer names the software or shows a trace.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web

from remediator.model.seams import Ids

LONGEST_HEADER = 8190
MOST_HEADERS = 64
BACKLOG = 1024


@dataclass
class Listener:
    """One application on one port. `start`, then `port` is the real one, then `close`."""

    app: web.Application
    host: str
    wanted_port: int
    ids: Ids
    max_connections: int = 2048
    header_timeout_seconds: float = 5
    shutdown_seconds: float = 5
    linger_seconds: float = 1
    """How long a refused body is read and thrown away, so that the sender gets to see the answer."""
    _runner: web.AppRunner | None = field(init=False, default=None)
    _server: asyncio.Server | None = field(init=False, default=None)

    async def start(self) -> None:
        """Raises OSError when the port cannot be had."""
        runner = web.AppRunner(self.app, handle_signals=False, access_log=None, shutdown_timeout=self.shutdown_seconds)
        await runner.setup()
        self._runner = runner
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self.host, self.wanted_port, backlog=BACKLOG)

    @property
    def port(self) -> int:
        assert self._server is not None, "start() comes first"  # noqa: S101 - a mistake of ours, not of a sender
        return int(self._server.sockets[0].getsockname()[1])

    async def stop_accepting(self) -> None:
        """No new connections; requests in hand go on."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """No new connections, a while for the requests in hand, then the end of all."""
        await self.stop_accepting()
        if self._runner is not None:
            await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server if self._runner else None
        if server is None or len(server.connections) >= self.max_connections:
            return _Full()
        return _Connection(
            server,
            self.ids,
            loop=asyncio.get_running_loop(),
            # aiohttp closes a connection that has no whole header by then, which makes it the header's deadline too
            keepalive_timeout=self.header_timeout_seconds,
            lingering_time=self.linger_seconds,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
            max_headers=MOST_HEADERS,
            auto_decompress=False,
            access_log=None,  # off: the receiver tells of each request itself
        )


class _Full(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's promise for a stream
        transport.write(_bare(HTTPStatus.SERVICE_UNAVAILABLE, "Retry-After: 5\r\n"))
        transport.close()


class _Connection(web.RequestHandler):
    """aiohttp's connection, with answers to errors that say nothing about the software."""

    __slots__ = ("_ids",)

    def __init__(self, server: web.Server, ids: Ids, **bounds: Any) -> None:
        super().__init__(server, **bounds)
        self._ids = ids

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return self._refuse_what_is_not_http(status)
        correlation_id = self._ids("req")
        self.log_exception("request %s failed inside the service", correlation_id, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun; it cannot be taken back")
        said: dict[str, Any] = {"error": "the request failed inside the service", "correlation_id": correlation_id}
        response = web.json_response(said, status=status)
        response.force_close()
        return response

    def _refuse_what_is_not_http(self, status: int) -> web.StreamResponse:
        """Written past aiohttp: such a request never reached an application that could take headers away."""
        if self.transport is not None:
            self.transport.write(_bare(HTTPStatus(status)))
        self.force_close()
        return web.Response(status=status)


def _bare(status: HTTPStatus, extra: str = "") -> bytes:
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{extra}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
