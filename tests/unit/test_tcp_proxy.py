"""The tests' faulty network, byte for byte, before a server that says back what it hears."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from tests.fakes.scripted_server import listening_socket
from tests.fakes.tcp_proxy import Fault, TcpProxy, Towards


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    listener = listening_socket()
    server = await asyncio.start_server(echo, sock=listener)
    async with TcpProxy(listener.getsockname()[1]) as made:
        yield made
    server.close()
    await asyncio.sleep(0.01)


Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def wire(proxy: TcpProxy) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.close()


async def heard(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """What came before the end, and whether the end was an orderly one."""
    data = b""
    try:
        while piece := await reader.read(1 << 16):
            data += piece
    except ConnectionResetError:
        return data, False
    return data, True


async def test_every_byte_passes_in_order(wire: Wire) -> None:
    """Megabytes come back as they were, and the end of the sender is the end of the answer."""
    reader, writer = wire
    sent = random.Random(1).randbytes(5_000_000)

    async def send() -> None:
        writer.write(sent)
        await writer.drain()
        writer.write_eof()

    _, answer = await asyncio.gather(send(), heard(reader))

    assert answer == (sent, True)


@pytest.mark.parametrize(("then", "orderly"), [("reset", False), ("close", True)])
async def test_as_many_bytes_pass_as_were_said(proxy: TcpProxy, wire: Wire, then, orderly) -> None:
    """And then the connection ends, the way it was said, even in the middle of a piece."""
    reader, writer = wire
    fault = proxy.will(Fault(Towards.CLIENT, after=70_003, then=then))

    writer.write(b"x" * 200_000)

    assert await heard(reader) == (b"x" * 70_003, orderly)
    assert fault.struck.is_set()
    assert proxy.connections == 0


async def test_exactly_so_many_bytes_do_not_strike(proxy: TcpProxy, wire: Wire) -> None:
    """The cut comes before the first byte too many, and not without one."""
    reader, writer = wire
    fault = proxy.will(Fault(Towards.CLIENT, after=4))

    writer.write(b"four")

    assert await reader.readexactly(4) == b"four"
    assert not fault.struck.is_set()


async def test_words_in_two_pieces_are_found(proxy: TcpProxy, wire: Wire) -> None:
    """What is before them passes."""
    reader, writer = wire
    fault = proxy.will(Fault(Towards.SERVER, at=b"COMMIT"))

    writer.write(b"one COM")
    assert await reader.readexactly(7) == b"one COM"
    writer.write(b"MIT two")

    assert await heard(reader) == (b"", False)
    assert fault.struck.is_set()


async def test_a_hang_spares_other_connections(proxy: TcpProxy, wire: Wire) -> None:
    """The one that was struck hears nothing more until it is cut."""
    reader, writer = wire
    fault = proxy.will(Fault(Towards.SERVER, at=b"!", then="hang"))
    writer.write(b"hear!")
    await fault.struck.wait()
    other_reader, other_writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    other_writer.write(b"hear!")

    assert await other_reader.readexactly(5) == b"hear!"
    assert proxy.cut() == 2
    assert await heard(reader) == (b"hear", False)
    assert await heard(other_reader) == (b"", False)
    other_writer.close()
