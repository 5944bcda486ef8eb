"""A faulty network between asyncpg and a real PostgreSQL: what the client is told, and what is true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.fakes.tcp_proxy import Fault, TcpProxy, Towards
from tests.postgres.server import Database, PostgresServer

pytestmark = pytest.mark.real("postgres")
LOST = (asyncpg.PostgresConnectionError, ConnectionError)
BRIEF = 0.2
"""Seconds after which a client gives up that is never answered."""


@pytest.fixture
def noted(postgres_database: Database) -> Database:
    postgres_database.sql("CREATE TABLE noted (id int PRIMARY KEY)")
    return postgres_database


@pytest.fixture
async def proxy(noted: Database) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(noted.server.port) as made:
        yield made


@asynccontextmanager
async def client(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        connection.terminate()


async def insert(connection: asyncpg.Connection, number: int) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO noted VALUES ($1)", number)


def rows(database: Database) -> list[int]:
    return [int(line) for line in database.sql("SELECT id FROM noted ORDER BY id").split()]


@pytest.mark.parametrize(
    ("towards", "words", "then", "committed"),
    [
        (Towards.CLIENT, b"COMMIT\0", "reset", [1]),
        (Towards.CLIENT, b"COMMIT\0", "close", [1]),
        (Towards.SERVER, b"COMMIT;", "reset", []),
    ],
    ids=["the answer, reset", "the answer, closed", "the question"],
)
async def test_a_commit_is_cut(noted: Database, proxy: TcpProxy, towards, words, then, committed) -> None:
    """The client is told the same, that the connection is lost, whether its question or the answer was cut."""
    async with client(noted.url_through(proxy.port)) as connection:
        fault = proxy.will(Fault(towards, at=words, then=then))

        with pytest.raises(LOST):
            await insert(connection, 1)

    assert fault.struck.is_set()
    assert rows(noted) == committed


async def test_a_commit_is_never_answered(noted: Database, proxy: TcpProxy) -> None:
    """It was done, the connection stays open, and the client hears nothing until it gives up."""
    async with client(noted.url_through(proxy.port)) as connection:
        fault = proxy.will(Fault(Towards.CLIENT, at=b"COMMIT\0", then="hang"))

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(BRIEF):
                await insert(connection, 1)

        assert fault.struck.is_set()
        assert rows(noted) == [1]


async def test_a_cut_befalls_one_connection_once(noted: Database, proxy: TcpProxy) -> None:
    """Others go on, and the next attempt of the same client too."""
    url = noted.url_through(proxy.port)
    async with client(url) as unlucky, client(url) as other:
        proxy.will(Fault(Towards.SERVER, at=b"COMMIT"))
        with pytest.raises(LOST):
            await insert(unlucky, 1)
        await insert(other, 2)
        async with client(url) as again:
            await insert(again, 3)

    assert rows(noted) == [2, 3]


async def test_what_was_held_arrives_late(noted: Database, proxy: TcpProxy) -> None:
    """A network that was parted for a while loses nothing."""
    async with client(noted.url_through(proxy.port)) as connection:
        proxy.hold(Towards.CLIENT)
        waiting = asyncio.create_task(insert(connection, 1))
        await asyncio.to_thread(noted.server.until, "SELECT count(*) FROM pg_stat_activity WHERE query = 'BEGIN;'", "1")
        was_told = waiting.done()
        proxy.release(Towards.CLIENT)
        await waiting

    assert not was_told
    assert rows(noted) == [1]


async def test_a_delay_is_felt_and_loses_nothing(noted: Database, proxy: TcpProxy) -> None:
    """A client with less patience than the network takes gives up; one with more does not."""
    async with client(noted.url_through(proxy.port)) as connection:
        proxy.delay(Towards.CLIENT, BRIEF)
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT 1", timeout=BRIEF / 4)
    proxy.delay(Towards.CLIENT, 0.01)
    async with client(noted.url_through(proxy.port)) as connection:
        await insert(connection, 1)

    assert rows(noted) == [1]


async def test_a_dead_clients_session_keeps_its_locks(noted: Database, proxy: TcpProxy) -> None:
    """The server is not told that the client is gone: nobody else gets the row until the server's side is cut."""
    noted.sql("INSERT INTO noted VALUES (1)")
    locking = "SELECT FROM noted WHERE id = 1 FOR UPDATE"
    async with client(noted.url_through(proxy.port)) as dying, client(noted.url) as heir:
        await dying.execute("BEGIN")
        await dying.execute(locking)

        proxy.half_open(survivor=Towards.SERVER)
        with pytest.raises(LOST):
            await dying.execute("SELECT 1")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await heir.execute(f"{locking} NOWAIT")
        proxy.cut()
        await heir.execute(locking, timeout=10)


async def test_a_client_is_not_told_that_the_server_forgot_it(noted: Database, proxy: TcpProxy) -> None:
    """The session is gone, and the client waits until it gives up."""
    async with client(noted.url_through(proxy.port)) as connection:
        pid = connection.get_server_pid()
        proxy.half_open(survivor=Towards.CLIENT)

        await asyncio.to_thread(noted.server.until, f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}", "0")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(BRIEF):
                await connection.execute("SELECT 1")


async def test_nobody_gets_through(noted: Database, proxy: TcpProxy) -> None:
    """A proxy that refuses, and one before a port where nobody listens, end every attempt at once."""
    url = noted.url_through(proxy.port)
    proxy.refusing = True
    with pytest.raises(LOST):
        await asyncpg.connect(url)
    proxy.refusing = False
    proxy.point_at(1)
    with pytest.raises(LOST):
        await asyncpg.connect(url)
    proxy.point_at(noted.server.port)

    async with client(url) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_one_address_through_a_failover(own_postgres: PostgresServer) -> None:
    """A pool that knows only the proxy's address writes to the primary, and after its death to the promoted standby."""
    own_postgres.sql("CREATE TABLE noted (id int PRIMARY KEY)")
    standby = own_postgres.standby(synchronous=True)
    async with (
        TcpProxy(own_postgres.port) as proxy,
        asyncpg.create_pool(own_postgres.url_of("postgres", proxy.port), min_size=1, max_size=2) as pool,
    ):
        await pool.execute("INSERT INTO noted VALUES (1)")

        await asyncio.to_thread(own_postgres.kill)
        await asyncio.to_thread(standby.promote)
        proxy.point_at(standby.port)
        await pool.execute("INSERT INTO noted VALUES (2)")

    assert standby.sql("SELECT id FROM noted ORDER BY id").split() == ["1", "2"]
