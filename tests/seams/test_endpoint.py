"""What every EndpointView and Endpoint promises: the fake, and the HTTP client speaking to a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from remediator.endpoints import HttpEndpoints
from remediator.model.calls import Door, ReadCall, Reply, WriteCall
from remediator.model.errors import AnswerLost, Permanent, PermitRefused, RemoteError, Temporary
from remediator.model.objects import POD, ObjectRef
from remediator.model.seams import Endpoint, EndpointView
from remediator.model.verdicts import Permit
from tests.fakes.fake_clock import FakeClock
from tests.fakes.fake_endpoints import FakeEndpoints
from tests.fakes.scripted_server import Raw, Say, ScriptedServer, chunked

POD_REF = ObjectRef(POD, "patroni-0", "shop", "u-1")
READ = ReadCall("GET", "/cluster?verbose=1")
QUESTION = ReadCall("POST", "/v3/cluster/member/list", {"linearizable": True})
WRITE = WriteCall("POST", "/switchover", {"leader": "patroni-0"})


class System(Protocol):
    """A pod's API in a test, and the seam to it."""

    door: Door
    clock: FakeClock

    def will(self, call: ReadCall | WriteCall, *replies: Reply) -> None: ...
    def will_lose(self, call: WriteCall) -> None: ...
    def will_stream(self, call: ReadCall, *lines: bytes) -> None: ...
    def view(self) -> EndpointView: ...
    def bind(self, permit: Permit) -> Endpoint: ...
    def received(self) -> list[tuple[str, str, Mapping[str, Any] | None]]: ...


@dataclass
class Faked:
    endpoints: FakeEndpoints
    door: Door
    clock: FakeClock

    def will(self, call: ReadCall | WriteCall, *replies: Reply) -> None:
        self.endpoints.script(self.door, call.method, call.path, *replies)

    def will_lose(self, call: WriteCall) -> None:
        self.endpoints.script(self.door, call.method, call.path, AnswerLost("lost"))

    def will_stream(self, call: ReadCall, *lines: bytes) -> None:
        self.endpoints.script_lines(self.door, call.method, call.path, *lines)

    def view(self) -> EndpointView:
        return self.endpoints.view()

    def bind(self, permit: Permit) -> Endpoint:
        return self.endpoints.bind(permit)

    def received(self) -> list[tuple[str, str, Mapping[str, Any] | None]]:
        reads = [(call.method, call.path, call.body) for _, call in self.endpoints.asked]
        writes = [(sent.call.method, sent.call.path, sent.call.body) for sent in self.endpoints.sent]
        return [*reads, *writes]


@dataclass
class OverHttp:
    endpoints: HttpEndpoints
    server: ScriptedServer
    door: Door
    clock: FakeClock

    def will(self, call: ReadCall | WriteCall, *replies: Reply) -> None:
        self.server.will(*[Say(reply.status, reply.text) for reply in replies])

    def will_lose(self, call: WriteCall) -> None:
        self.server.will(Raw(then="reset"))

    def will_stream(self, call: ReadCall, *lines: bytes) -> None:
        self.server.will(Raw(chunked(b"\n".join([*lines, b""]))))

    def view(self) -> EndpointView:
        return self.endpoints.view()

    def bind(self, permit: Permit) -> Endpoint:
        return self.endpoints.bind(permit)

    def received(self) -> list[tuple[str, str, Mapping[str, Any] | None]]:
        return [(r.method, r.target, json.loads(r.body) if r.body else None) for r in self.server.requests]


@pytest.fixture(params=["fake", "http"])
async def system(request: pytest.FixtureRequest) -> AsyncIterator[System]:
    clock = FakeClock()
    async with ScriptedServer() as server:
        door = Door(POD_REF, "127.0.0.1", server.port)
        if request.param == "fake":
            yield Faked(FakeEndpoints(clock), door, clock)
            return
        endpoints = HttpEndpoints(clock=clock, timeout_seconds=1, allow_loopback=True)
        yield OverHttp(endpoints, server, door, clock)
        await endpoints.close()


def permit(system: System, *may_touch: ObjectRef) -> Permit:
    return Permit("run-1", 1, 1, may_touch, system.clock.monotonic() + 5)


def reply(status: int, said: Any) -> Reply:
    return Reply(status, said, json.dumps(said))


async def collected(system: System, call: ReadCall, max_bytes: int) -> list[bytes]:
    return [line async for line in system.view().lines(system.door, call, max_bytes=max_bytes)]


@pytest.mark.parametrize("call", [READ, QUESTION])
@pytest.mark.parametrize("status", [200, 404, 503])
async def test_a_reply_carries_its_status(system: System, call: ReadCall, status: int) -> None:
    """An answer is an answer, whatever its status: a system says much with a 503."""
    expected = reply(status, {"members": [{"name": "patroni-0"}]})
    system.will(call, expected)

    assert await system.view().ask(system.door, call) == expected
    assert system.received() == [(call.method, call.path, call.body)]


async def test_what_is_not_json_is_text(system: System) -> None:
    """ClickHouse and others speak in plain lines."""
    system.will(READ, Reply(200, None, "Ok.\n"))

    assert await system.view().ask(system.door, READ) == Reply(200, None, "Ok.\n")


async def test_a_redirect_is_refused(system: System) -> None:
    """Where a pod points to is nobody's business."""
    system.will(READ, Reply(307, None, ""))

    with pytest.raises(Permanent, match="redirect"):
        await system.view().ask(system.door, READ)


async def test_nobody_at_the_door_is_temporary(system: System) -> None:
    """A port that nobody listens on says that nothing was sent, to reads and to writes."""
    door = Door(POD_REF, "127.0.0.1", 1)

    with pytest.raises(Temporary, match="nothing was sent"):
        await system.view().ask(door, READ)
    with pytest.raises(Temporary, match="nothing was sent"):
        await system.bind(permit(system, POD_REF)).send(door, WRITE)

    assert [seen for seen in system.received() if seen[1] == WRITE.path] == []


async def test_lines_come_one_by_one(system: System) -> None:
    """A line may be megabytes long: an etcd snapshot comes as such lines."""
    lines = [b'{"a":1}', b"x" * 3_000_000, b"", b"end"]
    system.will_stream(READ, *lines)

    assert await collected(system, READ, 4_000_000) == lines


async def test_lines_have_a_limit_in_all(system: System) -> None:
    """One byte more than agreed ends it."""
    system.will_stream(READ, b"12345", b"1234")

    with pytest.raises(Permanent, match="longer than 10 bytes"):
        await collected(system, READ, 10)


@pytest.mark.parametrize(("status", "error"), [(404, Permanent), (503, Temporary), (429, Temporary)])
async def test_a_refusal_is_no_lines(system: System, status: int, error: type[RemoteError]) -> None:
    """An error page is never mistaken for the lines that were asked for."""
    system.will(READ, Reply(status, None, "no\n"))

    with pytest.raises(error):
        await collected(system, READ, 100)


async def test_a_write_reaches_the_pod_of_its_permit(system: System) -> None:
    """It is sent once, and its reply comes back whatever the status."""
    system.will(WRITE, reply(412, {"why": "no candidate"}))

    answered = await system.bind(permit(system, POD_REF)).send(system.door, WRITE)

    assert answered == reply(412, {"why": "no candidate"})
    assert system.received() == [("POST", "/switchover", {"leader": "patroni-0"})]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_write_whose_answer_is_lost_is_sent_once(system: System, method: Any) -> None:
    """It may have been applied, and it is never sent again."""
    call = WriteCall(method, "/config", {"pause": True})
    system.will_lose(call)

    with pytest.raises(AnswerLost):
        await system.bind(permit(system, POD_REF)).send(system.door, call)

    assert system.received() == [(method, "/config", {"pause": True})]


@pytest.mark.parametrize(
    "may_touch",
    [
        (),
        (ObjectRef(POD, "patroni-1", "shop"),),
        (ObjectRef(POD, "patroni-0", "bank"),),
        (ObjectRef(POD, "patroni-0", "shop", "u-0"),),
    ],
)
async def test_a_permit_reaches_no_other_pod(system: System, may_touch: tuple[ObjectRef, ...]) -> None:
    """Another pod, or an earlier one of the same name, is refused and nothing is sent."""
    system.will(WRITE, reply(200, {}))

    with pytest.raises(PermitRefused):
        await system.bind(permit(system, *may_touch)).send(system.door, WRITE)

    assert system.received() == []


async def test_a_permit_runs_out(system: System) -> None:
    """At the very moment it expires, it sends nothing any more."""
    system.will(WRITE, reply(200, {}))
    endpoint = system.bind(permit(system, POD_REF))
    system.clock.advance(5)

    with pytest.raises(PermitRefused, match="run out"):
        await endpoint.send(system.door, WRITE)

    assert system.received() == []


@pytest.mark.parametrize(
    "path",
    ["", "cluster", "//evil", "/a/../b", "/a/%2e%2e/b", "/a b", "/a\r\nHost: x", "/a#b", "/ä", "/a\\b", "@10.0.0.1/"],
)
async def test_what_is_no_path_is_refused(system: System, path: str) -> None:
    """A path that would be read as something else reaches no socket."""
    with pytest.raises(Permanent, match="no path"):
        await system.view().ask(system.door, ReadCall("GET", path))
    with pytest.raises(Permanent, match="no path"):
        await system.bind(permit(system, POD_REF)).send(system.door, WriteCall("POST", path))


@pytest.mark.parametrize("address", ["localhost", "169.254.169.254", "0.0.0.0", "[::1]", "127.1", "2130706433", ""])
async def test_only_a_pods_address_is_spoken_to(system: System, address: str) -> None:
    """No name is looked up, and no place where a cloud keeps credentials is asked."""
    with pytest.raises(Permanent, match=r"nothing was sent|no name is looked up"):
        await system.view().ask(Door(POD_REF, address, system.door.port), READ)
