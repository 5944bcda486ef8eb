"""What the HTTP client makes of sockets that misbehave, and whom it refuses to talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from remediator.endpoints import HttpEndpoints
from remediator.endpoints.addresses import url_of
from remediator.model.calls import Door, ReadCall, Reply, WriteCall
from remediator.model.errors import AnswerLost, Permanent, Temporary
from remediator.model.objects import POD, ObjectRef
from remediator.model.verdicts import Permit
from tests.fakes.fake_clock import FakeClock
from tests.fakes.scripted_server import Raw, Say, ScriptedServer, chunked

POD_REF = ObjectRef(POD, "etcd-0", "shop", "u-1")
READ = ReadCall("GET", "/health")
WRITE = WriteCall("DELETE", "/member/7")
WHOLE = Say(200, {"health": "true"}).as_bytes()

BROKEN = [
    pytest.param(Raw(then="hang"), id="silence"),
    pytest.param(Raw(), id="closed"),
    pytest.param(Raw(then="reset"), id="reset"),
    pytest.param(Raw(WHOLE[:-3]), id="cut"),
    pytest.param(Raw(WHOLE[:-3], then="hang"), id="silence in the middle"),
    pytest.param(Raw(b"+OK redis\r\n\r\n"), id="not HTTP"),
    pytest.param(Raw(chunked(b'{"health":', whole=False)), id="cut chunks"),
]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def endpoints() -> AsyncIterator[HttpEndpoints]:
    endpoints = HttpEndpoints(clock=FakeClock(), timeout_seconds=0.4, max_bytes=1000, allow_loopback=True)
    yield endpoints
    await endpoints.close()


def door(server: ScriptedServer, address: str = "127.0.0.1") -> Door:
    return Door(POD_REF, address, server.port)


PERMIT = Permit("run-1", 1, 1, (POD_REF,), FakeClock().monotonic() + 5)


@pytest.mark.parametrize("action", BROKEN)
async def test_a_broken_answer_to_a_read_is_temporary(
    server: ScriptedServer, endpoints: HttpEndpoints, action: Raw
) -> None:
    """Silence, cuts and resets within the deadline mean: ask again."""
    server.will(action)

    with pytest.raises(Temporary, match="Pod shop/etcd-0"):
        await endpoints.view().ask(door(server), READ)


@pytest.mark.parametrize("action", BROKEN)
async def test_a_broken_answer_to_a_write_is_lost(
    server: ScriptedServer, endpoints: HttpEndpoints, action: Raw
) -> None:
    """The same for a write means: it may have been applied. It is sent once, although DELETE is idempotent."""
    server.will(action, action)

    with pytest.raises(AnswerLost, match="may have been applied"):
        await endpoints.bind(PERMIT).send(door(server), WRITE)

    assert len(server.requests) == 1


async def test_a_body_is_bounded(server: ScriptedServer, endpoints: HttpEndpoints) -> None:
    """Exactly the limit is read; an endless body is cut off, as useless for a read and as lost for a write."""
    endless = Raw(chunked(*[b"x" * 600] * 2, whole=False), then="hang")
    server.will(Say(200, "x" * 1000), endless, endless)

    assert await endpoints.view().ask(door(server), READ) == Reply(200, None, "x" * 1000)
    with pytest.raises(Permanent, match="longer than 1000 bytes"):
        await endpoints.view().ask(door(server), READ)
    with pytest.raises(AnswerLost, match="longer than 1000 bytes"):
        await endpoints.bind(PERMIT).send(door(server), WRITE)


async def test_a_compressed_answer_is_refused(server: ScriptedServer, endpoints: HttpEndpoints) -> None:
    """A few bytes cannot become many: nothing is unpacked."""
    server.will(Say(200, "x", {"Content-Encoding": "gzip"}))

    with pytest.raises(Permanent, match="compressed"):
        await endpoints.view().ask(door(server), READ)


async def test_a_redirect_is_not_followed(server: ScriptedServer, endpoints: HttpEndpoints) -> None:
    """The place it points to never hears from us."""
    async with ScriptedServer() as elsewhere:
        server.will(Say(302, "", {"Location": elsewhere.url}))

        with pytest.raises(Permanent, match="redirect"):
            await endpoints.view().ask(door(server), READ)

        assert elsewhere.requests == []


async def test_a_stream_that_is_cut_is_temporary(server: ScriptedServer, endpoints: HttpEndpoints) -> None:
    """The lines before the cut came; that the rest is missing is said."""
    server.will(Raw(chunked(b"one\ntw", whole=False)))
    seen: list[bytes] = []

    async def read() -> None:
        async for line in endpoints.view().lines(door(server), READ, max_bytes=100):
            seen.append(line)  # noqa: PERF401 - what came before the error is part of the claim

    with pytest.raises(Temporary):
        await read()

    assert seen == [b"one"]


async def test_a_last_line_needs_no_end(server: ScriptedServer, endpoints: HttpEndpoints) -> None:
    """Chunks end anywhere, lines end with CRLF, LF or the answer."""
    server.will(Raw(chunked(b"on", b"e\r\nt", b"wo\nth", b"ree")))

    assert [x async for x in endpoints.view().lines(door(server), READ, max_bytes=100)] == [b"one", b"two", b"three"]


async def test_a_reader_may_stop_early(server: ScriptedServer, endpoints: HttpEndpoints) -> None:
    """Leaving the lines gives the connection up."""
    server.will(Raw(chunked(b"one\ntwo\n", whole=False), then="hang"))

    lines = endpoints.view().lines(door(server), READ, max_bytes=100)
    async with aclosing(lines):  # type: ignore[type-var] # the seam says iterator; every implementation generates
        assert await anext(lines) == b"one"


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("8.8.8.8", "8.8.8.8"),
        ("fd00:10::7", "[fd00:10::7]"),
        ("2001:db8:0::1", "[2001:db8::1]"),
    ],
)
def test_a_pods_address_makes_a_url(address: str, host: str) -> None:
    """Literal addresses, IPv6 in brackets."""
    assert (
        url_of(Door(POD_REF, address, 2379), "/v3/kv?a=%2F", allow_loopback=False) == f"http://{host}:2379/v3/kv?a=%2F"
    )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "::1",
        "169.254.1.1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1%eth0",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::254",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "kubernetes.default.svc",
        "10.0.0.1:80",
        "10.0.0.1@evil",
        "010.0.0.1",
        "10.0.0.1/24",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    """Loopback outside a rehearsal, links, clouds' own services in any spelling, groups, and every name."""
    with pytest.raises(Permanent):
        url_of(Door(POD_REF, address, 2379), "/", allow_loopback=False)


@pytest.mark.parametrize(
    "bad", [Door(POD_REF, "10.0.0.1", 0), Door(POD_REF, "10.0.0.1", 65536), Door(POD_REF, "10.0.0.1", 80, "file")]
)
def test_a_door_has_a_port_and_a_scheme(bad: Door) -> None:
    """No port and no other scheme than HTTP."""
    with pytest.raises(Permanent):
        url_of(bad, "/", allow_loopback=False)
