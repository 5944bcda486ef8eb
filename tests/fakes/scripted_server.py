"""
An HTTP server on loopback that does exactly what it is told, down to the bytes: answers, silence, cuts, resets.

Each request takes the next action of the script; with no action left it answers 500. `requests` has all it saw.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

_FIRST_PORT, _LAST_PORT = 20_000, 32_000


@dataclass(frozen=True)
class Seen:
    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Say:
    """A whole answer. Text is sent as it is, anything else as JSON."""

    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_bytes(self) -> bytes:
        raw = self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()
        head = {"Content-Length": str(len(raw)), "Connection": "close", **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return f"HTTP/1.1 {self.status} Said\r\n{lines}\r\n".encode() + raw


@dataclass(frozen=True)
class Raw:
    """Some bytes, and then the end of the connection: closed, reset, or never."""

    data: bytes = b""
    then: Literal["close", "reset", "hang"] = "close"


def chunked(*chunks: bytes, whole: bool = True) -> bytes:
    """An answer 200 in chunks; not `whole` leaves out the end."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    parts = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + parts + (b"0\r\n\r\n" if whole else b"")


def listening_socket() -> socket.socket:
    """A listening loopback socket below the ephemeral ports, so that no outgoing connection of a test takes it."""
    span = _LAST_PORT - _FIRST_PORT
    for step in range(span):
        listener = socket.socket()
        try:
            listener.bind(("127.0.0.1", _FIRST_PORT + (os.getpid() * 37 + step) % span))
            listener.listen()
        except OSError:
            listener.close()
        else:
            return listener
    raise RuntimeError("no free port")


class ScriptedServer:
    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.script: list[Say | Raw] = []
        self._over = asyncio.Event()
        self._talks: set[asyncio.Task[None]] = set()
        listener = listening_socket()
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def will(self, *actions: Say | Raw) -> None:
        self.script += actions

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, sock=self._listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        if self._server:
            self._server.close()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._talks.add(task)
        try:
            self.requests.append(await _request(reader))
            action = self.script.pop(0) if self.script else Say(500)
            await self._do(action, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._talks.discard(task)

    async def _do(self, action: Say | Raw, writer: asyncio.StreamWriter) -> None:
        writer.write(action.as_bytes() if isinstance(action, Say) else action.data)
        await writer.drain()
        if isinstance(action, Raw) and action.then == "hang":
            await self._over.wait()
        if isinstance(action, Raw) and action.then == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


async def _request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, target, headers, body)
