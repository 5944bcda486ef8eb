"""The rig itself: what its servers keep, lose and leave behind when they are killed, replicated and promoted."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from tests.postgres import programs
from tests.postgres.server import Database, PostgresServer, Standby

pytestmark = pytest.mark.real("postgres")
TABLE = "CREATE TABLE noted (id int PRIMARY KEY)"
WRITERS, ENOUGH = 4, 200


async def _note(url: str, *ids: int) -> None:
    """Returns once the commit is acknowledged."""
    connection = await asyncpg.connect(url)
    try:
        await connection.executemany("INSERT INTO noted VALUES ($1)", [(i,) for i in ids])
    finally:
        await connection.close()


async def _write(url: str, first: int, acknowledge: Callable[[int], None]) -> None:
    """Commit number after number, until the server dies."""
    connection = await asyncpg.connect(url)
    try:
        for number in count(first, WRITERS):
            await connection.execute("INSERT INTO noted VALUES ($1)", number)
            acknowledge(number)
    except (asyncpg.PostgresConnectionError, OSError):
        connection.terminate()


async def _killed_under_load(server: PostgresServer) -> list[int]:
    """What it had acknowledged when it was killed in the middle of the writing."""
    acknowledged: list[int] = []
    enough = asyncio.Event()

    def acknowledge(number: int) -> None:
        acknowledged.append(number)
        if len(acknowledged) >= ENOUGH:
            enough.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as writers:
        for first in range(WRITERS):
            writers.create_task(_write(server.url, first, acknowledge))
        await enough.wait()
        await asyncio.to_thread(server.kill)
    return acknowledged


def _noted(server: PostgresServer) -> list[int]:
    return [int(line) for line in server.sql("SELECT id FROM noted ORDER BY id").split()]


def _replicated(primary: PostgresServer, *, synchronous: bool) -> Standby:
    standby = primary.standby(synchronous=synchronous)
    primary.sql(TABLE)
    standby.until_caught_up()
    return standby


async def test_acknowledged_commits_survive_a_kill(own_postgres: PostgresServer) -> None:
    """Killed in the middle of the writing and started again, a server has all that it acknowledged."""
    own_postgres.sql(TABLE)

    acknowledged = await _killed_under_load(own_postgres)
    own_postgres.start()

    assert set(acknowledged) <= set(_noted(own_postgres))


def test_a_kill_leaves_nothing_alive(own_postgres: PostgresServer) -> None:
    """No process of the server runs on, nobody listens at its port, and it may be killed again."""
    running = {int(pid) for pid in own_postgres.sql("SELECT pid FROM pg_stat_activity").split()}

    own_postgres.kill()
    own_postgres.kill()

    assert not own_postgres.is_running
    assert len(running) > 3
    assert not any(programs.is_alive(pid) for pid in running)
    with socket.socket() as caller:
        assert caller.connect_ex(("127.0.0.1", own_postgres.port)) != 0


def test_a_stopped_server_starts_again(own_postgres: PostgresServer) -> None:
    """In order, with what it had."""
    own_postgres.sql(TABLE, "INSERT INTO noted VALUES (7)")

    own_postgres.stop()
    own_postgres.start()

    assert _noted(own_postgres) == [7]


async def test_a_synchronous_standby_has_every_commit(own_postgres: PostgresServer) -> None:
    """The primary is killed in the middle of the writing; its promoted standby has all that was acknowledged."""
    standby = _replicated(own_postgres, synchronous=True)

    acknowledged = await _killed_under_load(own_postgres)
    standby.promote()

    assert set(acknowledged) <= set(_noted(standby))
    await _note(standby.url, -1)
    assert _noted(standby)[0] == -1


async def test_an_asynchronous_standby_may_lose_an_acknowledged_commit(own_postgres: PostgresServer) -> None:
    """What was acknowledged while replication was paused is lost by the promotion, and only that."""
    standby = _replicated(own_postgres, synchronous=False)
    await _note(own_postgres.url, 1)
    standby.until_caught_up()

    standby.pause_replication()
    await _note(own_postgres.url, 2)
    own_postgres.kill()
    standby.promote()

    assert _noted(standby) == [1]
    own_postgres.start()
    assert _noted(own_postgres) == [1, 2]


async def test_a_paused_standby_catches_up(own_postgres: PostgresServer) -> None:
    """A commit that was made while replication was paused is there after it goes on, and nothing was before."""
    standby = _replicated(own_postgres, synchronous=False)

    standby.pause_replication()
    await _note(own_postgres.url, 1)
    meanwhile = _noted(standby)
    standby.resume_replication()
    standby.until_caught_up()

    assert (meanwhile, _noted(standby)) == ([], [1])


async def test_a_commit_waits_for_a_synchronous_standby(own_postgres: PostgresServer) -> None:
    """While that standby is away nothing is acknowledged; when it is back, what waited is."""
    standby = _replicated(own_postgres, synchronous=True)
    standby.kill()

    waiting = asyncio.create_task(_note(own_postgres.url, 1))
    stuck = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    await asyncio.to_thread(own_postgres.until, stuck, "1")
    was_acknowledged = waiting.done()
    await asyncio.to_thread(standby.start)
    await waiting

    assert not was_acknowledged
    assert _noted(standby) == [1]


async def test_a_database_is_empty_and_of_ones_own(postgres_server: PostgresServer) -> None:
    """Two at once do not see each other, and both go at the end, even with a session left inside."""
    with postgres_server.database() as one, postgres_server.database() as other:
        one.sql(TABLE)
        left_behind = await asyncpg.connect(one.url)
        tables = "SELECT count(*) FROM pg_stat_user_tables"
        found = (one.sql(tables), other.sql(tables))
    left_behind.terminate()

    assert found == ("1", "0")
    assert (
        postgres_server.sql(f"SELECT count(*) FROM pg_database WHERE datname IN ('{one.name}', '{other.name}')") == "0"
    )


def test_commits_are_on_disk(postgres_database: Database) -> None:
    """The servers of the tests keep the promises that a careful operator's keep."""
    names = ("fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "password_encryption")

    said = {name: postgres_database.sql(f"SHOW {name}") for name in names}

    assert said == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "127.0.0.1",
        "password_encryption": "scram-sha-256",
    }


FORGETFUL = """
import sys, threading
from tests.postgres.server import server
from tests.postgres.template import made_template
with made_template() as template, server(template) as running:
    print(running._process.pid, running.home, template.data.parent, flush=True)
    threading.Event().wait()
"""


def test_no_server_outlives_the_tests(root: Path) -> None:
    """When whoever started it is killed and can end nothing, the server ends by itself."""
    with subprocess.Popen([sys.executable, "-c", FORGETFUL], cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid, *folders = process.stdout.readline().split()
        process.kill()

    try:
        assert programs.ends(int(pid))
    finally:
        for folder in folders:
            subprocess.run(["rm", "-rf", folder], check=True)
