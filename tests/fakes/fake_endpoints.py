"""
Pods' own HTTP APIs, scripted: what is answered at which address and path, and what was sent there.

Keeps the promises of EndpointView and Endpoint. A place without a script is a pod that nobody answers from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from remediator.endpoints.addresses import url_of
from remediator.model.calls import Door, ReadCall, Reply, WriteCall
from remediator.model.errors import Permanent, PermitRefused, RemoteError, Temporary
from remediator.model.seams import Clock
from remediator.model.verdicts import Permit

Place = tuple[str, int, str, str]
"""Address, port, method and path."""


@dataclass(frozen=True)
class Sent:
    run_id: str
    door: Door
    call: WriteCall


class FakeEndpoints:
    def __init__(self, clock: Clock) -> None:
        self.sent: list[Sent] = []
        self.asked: list[tuple[Door, ReadCall]] = []
        self.clock = clock
        self._replies: dict[Place, list[Reply | RemoteError]] = {}
        self._lines: dict[Place, tuple[bytes, ...]] = {}

    # --- for tests ---

    def script(self, door: Door, method: str, path: str, *replies: Reply | RemoteError) -> None:
        """The answers to come, in order; the last one is given again and again."""
        self._replies[door.address, door.port, method, path] = list(replies)

    def script_lines(self, door: Door, method: str, path: str, *lines: bytes) -> None:
        self._lines[door.address, door.port, method, path] = lines

    # --- the seam ---

    def view(self) -> FakeEndpointView:
        return FakeEndpointView(self)

    def bind(self, permit: Permit) -> FakeEndpoint:
        return FakeEndpoint(self, permit)

    # --- for the view and the handle ---

    def answers(self, door: Door, call: ReadCall | WriteCall) -> bool:
        return (door.address, door.port, call.method, call.path) in self._replies

    def reply(self, door: Door, call: ReadCall | WriteCall) -> Reply:
        url_of(door, call.path, allow_loopback=True)
        waiting = self._replies.get((door.address, door.port, call.method, call.path))
        if not waiting:
            raise Temporary(f"{call.method} {call.path} at {door.pod}: no connection, nothing was sent")
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, RemoteError):
            raise answer
        if 300 <= answer.status < 400 and answer.status != 304:
            raise Permanent(f"{call.method} {call.path} at {door.pod}: a redirect, which is never followed")
        return answer

    def lines_at(self, door: Door, call: ReadCall) -> tuple[bytes, ...]:
        url_of(door, call.path, allow_loopback=True)
        place = (door.address, door.port, call.method, call.path)
        if place in self._lines:
            return self._lines[place]
        reply = self.reply(door, call)
        retryable = reply.status in (408, 429) or reply.status >= 500
        raise (Temporary if retryable else Permanent)(f"{call.path} at {door.pod}: answered {reply.status}, not lines")


class FakeEndpointView:
    def __init__(self, endpoints: FakeEndpoints) -> None:
        self._endpoints = endpoints

    async def ask(self, door: Door, call: ReadCall) -> Reply:
        self._endpoints.asked.append((door, call))
        return self._endpoints.reply(door, call)

    async def lines(self, door: Door, call: ReadCall, *, max_bytes: int) -> AsyncIterator[bytes]:
        self._endpoints.asked.append((door, call))
        taken = 0
        for line in self._endpoints.lines_at(door, call):
            taken += len(line) + 1
            if taken > max_bytes:
                raise Permanent(f"{call.path} at {door.pod}: the answer is longer than {max_bytes} bytes")
            yield line


class FakeEndpoint(FakeEndpointView):
    def __init__(self, endpoints: FakeEndpoints, permit: Permit) -> None:
        super().__init__(endpoints)
        self._permit = permit

    async def send(self, door: Door, call: WriteCall) -> Reply:
        if not self._permit.call_seconds(self._endpoints.clock.monotonic(), 3.0):
            raise PermitRefused(f"{call.method} to {door.pod}: the permit has run out")
        if not self._permit.covers(door.pod):
            raise PermitRefused(f"{call.method} to {door.pod}: the permit does not cover it")
        url_of(door, call.path, allow_loopback=True)
        if self._endpoints.answers(door, call):
            self._endpoints.sent.append(Sent(self._permit.run_id, door, call))
        return self._endpoints.reply(door, call)
