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
from remediator.endpoints.http import MAY_LEAVE
from remediator.kube.exchange import Answer, Call, NoAnswer
from remediator.model.calls import Door, ReadCall, Reply, WriteCall
from remediator.model.errors import AnswerLost, Permanent, Temporary
from remediator.practice.addressing import Request
from tests.simulation.loop import Life

if TYPE_CHECKING:
    from tests.simulation.replica import Replica
    from tests.simulation.world import World

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
ENDPOINT_SECONDS = 3.0
CONNECT_SECONDS = 3.0
ALWAYS_CHANGED = {"resourceVersion", "generation", "managedFields"}
NOTHING = {"uid": "", "resourceVersion": ""}
MEMBERS = "/v3/cluster/member/list"
WRITTEN = re.compile(r"/(?:namespaces/([^/]+)/)?(pods|persistentvolumeclaims|persistentvolumes)/([^/?]+)\Z")
KINDS = {"pods": "Pod", "persistentvolumeclaims": "PersistentVolumeClaim", "persistentvolumes": "PersistentVolume"}


Apply = Callable[[], Coroutine[Any, Any, tuple[int, bytes, dict[str, str]]]]


class SimTransport:
    """In place of the service's HTTP transport to the API server."""

    def __init__(self, world: World, replica: Replica, life: Life) -> None:
        self._world, self._replica, self._life = world, replica, life

    async def exchange(self, call: Call, *, seconds: float) -> Answer:
        ends = self._world.loop.time() + seconds
        await self._world.hop(self._life)
        if self._world.troubles.is_cut(self._replica.name):
            await self._world.clock.sleep(min(seconds, CONNECT_SECONDS))
            await self._life.go_on()
            raise NoAnswer("no connection to the API server", sent=False)
        if call.method == "GET":
            return await self._read(call, seconds)
        about, apply = kube_write(call), partial(self._apply, call)
        answered = await send(self._world, self._life, about, apply, ends, partial(self._check, call))
        if isinstance(answered, NoAnswer):
            raise answered
        return Answer(*answered)

    async def close(self) -> None:
        pass

    def _check(self, call: Call) -> None:
        """As the real transport does, at the very last moment."""
        if not self._replica.clock.monotonic() < call.leave_by:
            raise NoAnswer("the time in which it may be sent was over before it could be", sent=False)

    async def _read(self, call: Call, seconds: float) -> Answer:
        path, _, query = call.target.partition("?")
        spoilt = self._world.troubles.of_read(path)
        if path.endswith("/log") and self._world.troubles.is_poisoned:
            self._world.crash("poison", self._life)
            await self._life.go_on()
        if spoilt is not None and not path.endswith("/log"):
            self._world.history.note("unread", life=self._life.number, path=path)
        if spoilt == "lost":
            raise NoAnswer("the connection was lost", sent=True)
        if spoilt == "hang":
            await self._world.clock.sleep(seconds)
            raise NoAnswer("no whole answer in time", sent=True)
        if spoilt is not None:
            return Answer(*broken(spoilt))
        asked = Request("GET", path, _query(query))
        if "resourceVersion" in asked.query:
            response = self._world.cache.answer(asked)
            return Answer(response.status, response.body, _lower(response.headers))
        response = self._world.router.answer(asked)
        if written := WRITTEN.search(path):
            meta = self._world.true.stored(*written.groups())["metadata"] if response.status == 200 else NOTHING
            told = {"uid": meta["uid"], "version": meta["resourceVersion"]}
            self._world.history.note("read", life=self._life.number, path=path, **told)
        elif self._world.troubles.are_reads_spoilt and not path.endswith("/log"):
            self._world.history.note("read", life=self._life.number, path=path, uid="", version="")
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
        ends = self._world.loop.time() + seconds
        await self._world.hop(self._life)
        body = json.dumps(call.body or {}).encode()
        ask = partial(self._ask, door, call, body)
        if not writes:
            answer = _reply(*await self._in_time(ask))
            if call.path == MEMBERS:
                self._world.history.note("read", life=self._life.number, path=call.path, uid="", version="")
            return answer
        answered = await send(self._world, self._life, etcd_write(door, call), ask, ends, MAY_LEAVE.get())
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


async def send(
    world: World, life: Life, about: dict[str, Any], apply: Apply, ends: float, may_leave: Callable[[], None]
) -> Any:
    """One write: the moment it leaves, what becomes of it over there, and what comes back."""
    number = world.count("write")
    await world.moment("send", number)
    await life.go_on()
    may_leave()
    spoilt = world.troubles.of_write(number)
    if spoilt == "crash-before-send":
        world.crash(spoilt, life)
        await life.go_on()
    sent = world.history.note("sent", number=number, life=life.number, ends=round(ends, 6), **about)
    over_there = world.loop.in_world(_handle(world, life, sent, spoilt, apply), f"write {number}")
    if spoilt == "crash-in-flight":
        world.crash(spoilt, life)
    try:
        async with asyncio.timeout_at(ends):
            answered = await asyncio.shield(over_there)
    except TimeoutError:
        return NoAnswer("no whole answer in time", sent=True)
    await life.go_on()
    return answered


async def _handle(world: World, life: Life, sent: int, spoilt: str | None, apply: Apply) -> Any:
    """The far side. It goes on whatever becomes of the one who asked."""
    late = spoilt in ("late", "crash-in-flight")
    await world.clock.sleep(world.far.uniform(0.0, 20.0) if late else world.latency())
    if spoilt == "lost":
        return NoAnswer("the connection was lost", sent=True)
    if spoilt is not None and spoilt.startswith("refuse-"):
        code, body, headers = broken(spoilt.removeprefix("refuse-"))
        world.history.note("handled", sent=sent, code=code, applied=False, spoilt=spoilt)
        return code, body, headers
    before, was = world.true.now(), world.patched(sent)
    try:
        code, body, headers = await apply()
    except ConnectionError:
        world.history.note("handled", sent=sent, code=0, applied=False, spoilt=spoilt)
        return NoAnswer("no connection", sent=False)
    told = {"applied": code < 300, "spoilt": spoilt, "late": late, "before": before}
    if was is not None and code < 300:
        told["changed"] = changed(was, world.patched(sent))
    world.history.note("handled", sent=sent, code=code, **told)
    if spoilt == "crash-after-apply":
        world.crash(spoilt, life)
    if spoilt == "applied-lost":
        return NoAnswer("the connection was lost", sent=True)
    if spoilt is not None and spoilt.startswith("applied-"):
        return broken(spoilt.removeprefix("applied-"))
    await world.clock.sleep(world.latency())
    return code, body, headers


def changed(was: Any, now: Any, path: str = "") -> list[str]:
    """The paths at which an object differs, but for what every write changes."""
    if not isinstance(was, Mapping) or not isinstance(now, Mapping):
        return [] if was == now else [path]
    keys = sorted({*was, *now} - (ALWAYS_CHANGED if path == "metadata" else set()))
    below = (changed(was.get(key), now.get(key), f"{path}.{key}" if path else key) for key in keys)
    return [found for paths in below for found in paths]


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
