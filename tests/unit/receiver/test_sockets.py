"""What a connection may cost, asked with raw sockets: slow, lying, broken and too many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from remediator.receiver.notices import BodyTooLarge, RequestAnswered
from tests.unit.receiver.webhook_door import PATH, Door, capture, head

MakeDoor = Callable[..., Awaitable[Door]]
BODY = capture("single_firing")


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def codes(door: Door) -> list[int]:
    return [notice.code for notice in door.notices if isinstance(notice, RequestAnswered)]


async def lives(door: Door) -> bool:
    """Whether the next sender is served as if nothing had been."""
    return (await door.post(BODY))[0] == 202


async def test_a_body_that_never_comes_gets_503(make_door: MakeDoor) -> None:
    """Alertmanager would drop the alert on a 408, so a slow body is told to come again."""
    door = await make_door(body_timeout_seconds=0.2)
    answer = await door.raw(head("Content-Length: 1000"), b'{"version"')
    assert (status_of(answer), b"Retry-After: 5" in answer) == (503, True)
    assert await lives(door)


async def test_a_header_that_never_ends_is_cut_off(make_door: MakeDoor) -> None:
    """A connection without a whole header by the deadline is closed without a word."""
    door = await make_door(header_timeout_seconds=0.2)
    assert await door.raw(head()[:-4] + b"\r\nX-Slow: ") == b""
    assert await door.raw() == b""
    assert await lives(door)


async def test_bytes_that_trickle_do_not_extend_the_header_deadline(make_door: MakeDoor) -> None:
    """The deadline counts from the connection's start, not from the last byte."""
    door = await make_door(header_timeout_seconds=0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.listener.port)

    async def trickle() -> None:
        writer.write(head()[:-4] + b"\r\nX-Slow: ")
        while not reader.at_eof():
            writer.write(b"X")
            await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    try:
        async with asyncio.timeout(5):
            assert await reader.read() == b""
    finally:
        await asyncio.wait({trickling}, timeout=5)
        writer.close()


async def test_a_length_that_promises_too_much_is_refused_unread(make_door: MakeDoor) -> None:
    """The claim alone is enough for 413."""
    door = await make_door(max_body_bytes=2000)
    answer = await door.raw(head("Content-Length: 99999999999", "Connection: close"))
    assert (status_of(answer), codes(door), BodyTooLarge(2000) in door.notices) == (413, [413], True)


@pytest.mark.parametrize("claim", ["-1", "1e3", "0x10", "12, 12", "٣", ""])
async def test_a_length_that_is_no_number_is_not_http(door: Door, claim: str) -> None:
    """The connection is refused before anything is read."""
    answer = await door.raw(head(f"Content-Length: {claim}"), BODY)
    assert (status_of(answer), door.desk.deliveries) == (400, [])
    assert await lives(door)


async def test_a_body_shorter_than_promised_is_not_filed(door: Door) -> None:
    """The sender hung up in the middle: nothing is stored and nobody is answered 2xx."""
    await door.raw(head(f"Content-Length: {len(BODY) + 10}"), BODY, half_close=True)
    assert (door.desk.deliveries, 202 in codes(door)) == ([], False)
    assert await lives(door)


async def test_a_body_longer_than_promised_is_cut(door: Door) -> None:
    """What comes after the promised length is no part of the body, and no request either."""
    answer = await door.raw(head(f"Content-Length: {len(BODY) - 10}"), BODY)
    assert (status_of(answer), door.desk.deliveries) == (400, [])
    assert await lives(door)


async def test_two_framings_at_once_are_not_http(door: Door) -> None:
    """Content-Length with chunks is how requests are smuggled."""
    answer = await door.raw(head("Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\n")
    assert (status_of(answer), door.desk.deliveries) == (400, [])


async def test_chunks_are_counted_as_they_come(make_door: MakeDoor) -> None:
    """Without a length the body is still bounded: it is stopped when it gets too long."""
    door = await make_door(max_body_bytes=2000)
    chunk = b"400\r\n" + b" " * 0x400 + b"\r\n"
    answer = await door.raw(head("Transfer-Encoding: chunked"), chunk * 3)
    assert (status_of(answer), codes(door), BodyTooLarge(2000) in door.notices) == (413, [413], True)
    assert await lives(door)


async def test_whole_chunks_are_a_body(door: Door) -> None:
    """Chunked sending as such is fine."""
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    answer = await door.raw(head("Transfer-Encoding: chunked", "Connection: close"), chunks)
    assert (status_of(answer), door.desk.deliveries[0].body) == (202, BODY)


async def test_broken_chunks_are_refused(door: Door) -> None:
    """Framing that is no framing ends the connection, and nothing is stored."""
    answer = await door.raw(head("Transfer-Encoding: chunked"), b"5\r\nhello\r\nZZ\r\n", half_close=True)
    assert (status_of(answer) in {0, 400}, door.desk.deliveries, 500 in codes(door)) == (True, [], False)
    assert await lives(door)


async def test_a_refused_sender_is_not_read(make_door: MakeDoor) -> None:
    """401 comes before the body: a stranger's body is never waited for."""
    door = await make_door(body_timeout_seconds=600)
    request = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n".encode()
    answer = await door.raw(request)
    assert (status_of(answer), door.desk.deliveries) == (401, [])


@pytest.mark.parametrize(
    "noise",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"POST /webhook/alertmanager HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 500 + b"\r\n",
    ],
)
async def test_what_is_not_http_gets_a_bare_refusal(door: Door, noise: bytes) -> None:
    """One status line that does not name the software, and the end of the connection."""
    answer = await door.raw(noise, half_close=True)
    assert status_of(answer) in {0, 400}
    assert b"aiohttp" not in answer.lower()
    assert b"python" not in answer.lower()
    assert await lives(door)


async def test_one_connection_too_many_is_told_to_come_again(make_door: MakeDoor) -> None:
    """The bound on connections answers 503, and frees itself when one ends."""
    door = await make_door(max_connections=2)
    held = [await asyncio.open_connection("127.0.0.1", door.listener.port) for _ in range(2)]
    answer = await door.raw()
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    freed = b""
    async with asyncio.timeout(5):
        while status_of(freed) != 202:
            freed = await door.raw(head(f"Content-Length: {len(BODY)}", "Connection: close"), BODY)
    assert (status_of(answer), b"Retry-After: 5" in answer, status_of(freed)) == (503, True, 202)


async def test_slow_senders_do_not_hold_up_a_healthy_one(make_door: MakeDoor) -> None:
    """Two hundred connections that say nothing cost their places and nothing else."""
    door = await make_door(header_timeout_seconds=600)
    held = [await asyncio.open_connection("127.0.0.1", door.listener.port) for _ in range(200)]
    for _, writer in held:
        writer.write(head()[:-2])
    assert await lives(door)
    for _, writer in held:
        writer.close()
