"""
A network that does what a test says: a TCP proxy on loopback that cuts, withholds, delays, forgets and re-points.

In: the port of a real server, and faults. Out: a port that clients use instead of the server's. Unless a fault says
otherwise every byte passes, in order. It never makes a byte up, never changes one, and speaks no protocol.

A network loses no byte of a connection that lives: what is held is late, and comes when it is released. So nothing
here swallows bytes; what is lost is lost with its connection.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Self

from tests.fakes.scripted_server import listening_socket

HOST = "127.0.0.1"
_CHUNK = 1 << 16
_LONGEST = 256
"""No fault waits for longer words."""


class Towards(Enum):
    """The way that bytes go."""

    SERVER = "server"
    CLIENT = "client"


@dataclass(eq=False)
class Fault:
    """
    What befalls one connection, once: the first whose bytes on this way reach the place.

    The place is right before the words `at`, or after `after` more bytes of that connection. `reset` and `close` end
    both sides; `hang` delivers nothing more on this way, while the connection stays open.
    """

    towards: Towards
    at: bytes = b""
    after: int = 0
    then: Literal["reset", "close", "hang"] = "reset"
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    _passed: Counter[_Link] = field(default_factory=Counter)

    def passing(self, link: _Link, data: bytes) -> int | None:
        """How many of these bytes still pass before it strikes; None: it does not strike yet."""
        if self.at:
            tail = link.tail[self.towards][1 - len(self.at) :] if len(self.at) > 1 else b""
            found = (tail + data).find(self.at)
            return max(found - len(tail), 0) if found >= 0 else None
        left = self.after - self._passed[link]
        self._passed[link] += len(data)
        return left if len(data) > left else None


@dataclass(eq=False)
class _Link:
    """One client's connection and the server's side of it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    pumps: list[asyncio.Task[None]] = field(default_factory=list)
    tail: dict[Towards, bytes] = field(default_factory=lambda: dict.fromkeys(Towards, b""))
    """The last bytes seen on each way: the words of a fault may come in two pieces."""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, how: Literal["reset", "close"]) -> None:
        if self.over.is_set():
            return
        for side in (self.client, self.server):
            (_reset if how == "reset" else asyncio.StreamWriter.close)(side)
        self.over.set()

    def forget(self, side: asyncio.StreamWriter) -> None:
        """End one side; the other stays open and hears nothing."""
        for pump in self.pumps:
            pump.cancel()
        _reset(side)


class TcpProxy:
    """`async with TcpProxy(server_port) as proxy:`, and let clients use `proxy.port`."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = listening_socket()
        self.port: int = self._listener.getsockname()[1]
        self.refusing = False
        """Whether new connections are reset at once."""
        self._faults: list[Fault] = []
        self._delay = dict.fromkeys(Towards, 0.0)
        self._open = {towards: asyncio.Event() for towards in Towards}
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    # --- what a test says --------------------------------------------------------------------------------------

    def point_at(self, server_port: int) -> None:
        """Where new connections go, as after a failover. Those that are open stay where they are: `cut` them."""
        self._server_port = server_port

    def will(self, fault: Fault) -> Fault:
        """Lay a fault, for connections that are open and those to come; `await fault.struck.wait()` tells of it."""
        self._faults.append(fault)
        return fault

    def cut(self, how: Literal["reset", "close"] = "reset") -> int:
        """End every open connection now; how many there were."""
        links = list(self._links)
        for link in links:
            link.end(how)
        return len(links)

    def hold(self, towards: Towards) -> None:
        """From now on nothing arrives on this way, of any connection, old or new."""
        self._open[towards].clear()

    def release(self, towards: Towards) -> None:
        """What was held arrives now."""
        self._open[towards].set()

    def delay(self, towards: Towards, seconds: float) -> None:
        """Every piece of bytes on this way takes this long from now on."""
        self._delay[towards] = seconds

    def half_open(self, survivor: Towards) -> int:
        """
        The peer of every open connection is gone, and the survivor is never told; how many there were.

        `Towards.CLIENT`: clients wait for a server that has forgotten them. `Towards.SERVER`: the server keeps
        sessions, with their locks, of clients that died.
        """
        links = list(self._links)
        for link in links:
            link.forget(link.server if survivor is Towards.CLIENT else link.client)
        return len(links)

    @property
    def connections(self) -> int:
        return len(self._links)

    # --- what it does ------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        for gate in self._open.values():
            gate.set()
        self._server = await asyncio.start_server(self._accept, sock=self._listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        for link in list(self._links):
            link.end("reset")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports that were aborted close in the loop's next round

    def _accept(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio complains of a connection's task that is cancelled, as those of the last are.
        task = asyncio.create_task(self._serve(from_client, to_client), name="proxy: a connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            await self._connect(from_client, to_client)
        except OSError:
            _reset(to_client)  # nobody listens there
        finally:
            to_client.close()

    async def _connect(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self.refusing:
            raise ConnectionRefusedError
        from_server, to_server = await asyncio.open_connection(HOST, self._server_port)
        link = _Link(to_client, to_server)
        link.pumps = [
            asyncio.create_task(self._pump(link, Towards.SERVER, from_client, to_server), name="proxy: to the server"),
            asyncio.create_task(self._pump(link, Towards.CLIENT, from_server, to_client), name="proxy: to the client"),
        ]
        self._links.add(link)
        try:
            await link.over.wait()
        finally:
            self._links.discard(link)
            for pump in link.pumps:
                pump.cancel()
            await asyncio.gather(*link.pumps, return_exceptions=True)

    async def _pump(
        self, link: _Link, towards: Towards, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        sink.transport.set_write_buffer_limits(0)  # so that `drain` means: handed to the kernel
        try:
            while data := await source.read(_CHUNK):
                await self._travel(towards)
                await self._deliver(link, towards, data, sink)
            await self._travel(towards)
            sink.write_eof()
        except OSError:
            link.end("reset")
            return
        link.pumps.remove(asyncio.current_task())  # type: ignore[arg-type]
        if not link.pumps:
            link.end("close")

    async def _travel(self, towards: Towards) -> None:
        await asyncio.sleep(self._delay[towards])
        await self._open[towards].wait()

    async def _deliver(self, link: _Link, towards: Towards, data: bytes, sink: asyncio.StreamWriter) -> None:
        for fault in [fault for fault in self._faults if fault.towards is towards]:
            passing = fault.passing(link, data)
            if passing is None:
                continue
            self._faults.remove(fault)
            sink.write(data[:passing])
            await sink.drain()
            fault.struck.set()
            if fault.then != "hang":
                link.end(fault.then)
            await link.over.wait()
            raise ConnectionAbortedError
        link.tail[towards] = (link.tail[towards] + data)[-_LONGEST:]
        sink.write(data)
        await sink.drain()


def _reset(side: asyncio.StreamWriter) -> None:
    """End it as a host does that knows nothing of the connection: its peer is told at once, and harshly."""
    with suppress(OSError):
        side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    side.transport.abort()
