"""
The doors between the real service and the practice cluster, without a socket, and the record of all that passes.

In: the service's own requests, calls, backups and transactions. Out: the practice cluster's answers, spoilt where the
scene says so. Each door belongs to one process of the service: once that is gone nothing passes any more, but what
had already left still arrives. Every first byte of a write, every commit and every answer is noted in order.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from remediator.endpoints.addresses import url_of
from remediator.kube.exchange import Answer, Call, NoAnswer
from remediator.model.calls import Door, ReadCall, Reply, WriteCall
from remediator.model.errors import AnswerLost, Permanent, Temporary
from remediator.practice.addressing import Request
from tests.simulation.loop import Life

if TYPE_CHECKING:
    from tests.simulation.world import World

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
ENDPOINT_SECONDS = 3.0
WRITTEN = re.compile(r"/(?:namespaces/([^/]+)/)?(pods|persistentvolumeclaims|persistentvolumes)/([^/?]+)\Z")
KINDS = {"pods": "Pod", "persistentvolumeclaims": "PersistentVolumeClaim", "persistentvolumes": "PersistentVolume"}


Apply = Callable[[], Coroutine[Any, Any, tuple[int, bytes, dict[str, str]]]]


class SimTransport:
    """In place of the service's HTTP transport to the API server."""

    def __init__(self, world: World, life: Life) -> None:
        self._world, self._life = world, life

    async def exchange(self, call: Call, *, seconds: float) -> Answer:
        await self._world.hop(self._life)
        if call.method == "GET":
            return await self._read(call, seconds)
        about = kube_write(call)
        answered = await send(self._world, self._life, about, partial(self._apply, call), seconds)
        if isinstance(answered, NoAnswer):
            raise answered
        return Answer(*answered)

    async def close(self) -> None:
        pass

    async def _read(self, call: Call, seconds: float) -> Answer:
        path, _, query = call.target.partition("?")
        spoilt = self._world.troubles.of_read(path)
        if spoilt == "lost":
            raise NoAnswer("the connection was lost", sent=True)
        if spoilt == "hang":
            await self._world.clock.sleep(seconds)
            raise NoAnswer("no whole answer in time", sent=True)
        if spoilt is not None:
            return Answer(*broken(spoilt))
        response = self._world.router.answer(Request("GET", path, _query(query)))
        if response.status == 200 and (written := WRITTEN.search(path)):
            meta = self._world.true.stored(*written.groups())["metadata"]
            self._world.history.note("read", path=path, uid=meta["uid"], version=meta["resourceVersion"])
        return Answer(response.status, response.body, _lower(response.headers))

    async def _apply(self, call: Call) -> tuple[int, bytes, dict[str, str]]:
        path, _, query = call.target.partition("?")
        headers = {"content-type": call.content_type}
        response = self._world.router.answer(Request(call.method, path, _query(query), headers, call.body or b""))
        return response.status, response.body, _lower(response.headers)


class SimCaller:
    """In place of the service's HTTP exchange with a pod."""

    seconds = ENDPOINT_SECONDS

    def __init__(self, world: World, life: Life) -> None:
        self._world, self._life = world, life

    async def reply(
        self, door: Door, call: ReadCall | WriteCall, *, writes: bool, seconds: float = ENDPOINT_SECONDS
    ) -> Reply:
        url_of(door, call.path, allow_loopback=False)
        await self._world.hop(self._life)
        body = json.dumps(call.body or {}).encode()
        ask = partial(self._ask, door, call, body)
        if not writes:
            return _reply(*await self._in_time(ask))
        answered = await send(self._world, self._life, etcd_write(door, call), ask, seconds)
        if isinstance(answered, NoAnswer):
            raise AnswerLost(f"{call.path}: {answered}") if answered.sent else Temporary(f"{call.path}: {answered}")
        return _reply(answered[0], answered[1])

    async def lines(self, door: Door, call: ReadCall, max_bytes: int) -> AsyncIterator[bytes]:
        await self._world.hop(self._life)
        status, body, _ = await self._in_time(partial(self._ask, door, call, json.dumps(call.body or {}).encode()))
        if status != 200:
            raise Temporary(f"{call.path}: answered {status} instead of lines")
        if len(body) > max_bytes:
            raise Permanent(f"{call.path}: too long")
        for line in body.splitlines():
            await self._life.go_on()
            yield line

    async def _ask(self, door: Door, call: ReadCall | WriteCall, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if self._world.troubles.is_mute(door.address):
            raise ConnectionRefusedError(f"nobody answers at {door.address}")
        return _turned(await self._world.cluster.etcd_request(door.address, call.method, call.path, body))

    async def _in_time(self, ask: Apply) -> Any:
        try:
            answered = await _answered(ask)
        except (TimeoutError, ConnectionError) as error:
            raise Temporary(f"no answer ({type(error).__name__})") from error
        await self._life.go_on()
        return answered


async def _answered(ask: Apply) -> Any:
    """The answer within the endpoint's deadline. Nearly all need no waiting, and then nobody sets a timer."""
    asking = ask()
    try:
        asking.send(None)
    except StopIteration as done:
        return done.value
    asking.close()
    async with asyncio.timeout(ENDPOINT_SECONDS):
        return await ask()


# --- writes, of either kind --------------------------------------------------------------------------------


def kube_write(call: Call) -> dict[str, Any]:
    """What is being written, as its own bytes say it."""
    path = call.target.partition("?")[0]
    parts = path.split("/")
    body = json.loads(call.body or b"{}")
    said = body.get("preconditions", {}) if call.method == "DELETE" else body.get("metadata", {})
    namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts and len(parts) > 5 else ""
    named = {"kind": KINDS.get(parts[-2], parts[-2]), "namespace": namespace, "name": parts[-1]}
    return {
        "to": "kube",
        "method": call.method,
        "path": path,
        **named,
        "uid": said.get("uid", ""),
        "version": said.get("resourceVersion", ""),
    }


def etcd_write(door: Door, call: ReadCall | WriteCall) -> dict[str, Any]:
    pod = door.pod
    named = {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
    return {
        "to": "etcd",
        "method": call.method,
        "path": call.path,
        **named,
        "version": "",
        "asks": dict(call.body or {}),
    }


async def send(world: World, life: Life, about: dict[str, Any], apply: Apply, seconds: float) -> Any:
    """One write: the moment it leaves, what becomes of it over there, and what comes back."""
    number = world.count_write()
    await world.moment("send", number)
    await life.go_on()
    spoilt = world.troubles.of_write(number)
    if spoilt == "crash-before-send":
        world.crash(spoilt)
        await life.go_on()
    sent = world.history.note("sent", number=number, life=life.number, **about)
    over_there = world.loop.in_world(_handle(world, sent, spoilt, apply), f"write {number}")
    if spoilt == "crash-in-flight":
        world.crash(spoilt)
    try:
        async with asyncio.timeout(seconds):
            answered = await asyncio.shield(over_there)
    except TimeoutError:
        return NoAnswer("no whole answer in time", sent=True)
    await life.go_on()
    return answered


async def _handle(world: World, sent: int, spoilt: str | None, apply: Apply) -> Any:
    """The far side. It goes on whatever becomes of the one who asked."""
    late = spoilt in ("late", "crash-in-flight")
    await world.clock.sleep(world.far.uniform(0.0, 20.0) if late else world.latency())
    if spoilt == "lost":
        return NoAnswer("the connection was lost", sent=True)
    if spoilt is not None and spoilt.startswith("refuse-"):
        code, body, headers = broken(spoilt.removeprefix("refuse-"))
        world.history.note("handled", sent=sent, code=code, applied=False, spoilt=spoilt)
        return code, body, headers
    before = world.true.now()
    try:
        code, body, headers = await apply()
    except ConnectionError:
        world.history.note("handled", sent=sent, code=0, applied=False, spoilt=spoilt)
        return NoAnswer("no connection", sent=False)
    world.history.note("handled", sent=sent, code=code, applied=code < 300, spoilt=spoilt, late=late, before=before)
    if spoilt == "crash-after-apply":
        world.crash(spoilt)
    if spoilt == "applied-lost":
        return NoAnswer("the connection was lost", sent=True)
    if spoilt is not None and spoilt.startswith("applied-"):
        return broken(spoilt.removeprefix("applied-"))
    await world.clock.sleep(world.latency())
    return code, body, headers


def broken(code: str) -> tuple[int, bytes, dict[str, str]]:
    """An answer that is none: a Status without details, or a proxy's page."""
    if code == "html":
        return 502, HTML, {"content-type": "text/html"}
    status = {"kind": "Status", "status": "Failure", "message": "spoilt", "reason": "Spoilt", "code": int(code)}
    return int(code), json.dumps(status).encode(), {"content-type": "application/json"}


def _turned(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, bytes, dict[str, str]]:
    return answer[0], answer[2], _lower(answer[1])


@functools.lru_cache(maxsize=256)
def _query(text: str) -> Mapping[str, str]:
    return dict(parse_qsl(text))


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _reply(status: int, body: bytes, _: Any = None) -> Reply:
    text = body.decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    return Reply(status, parsed, text)
