"""The primary dies, a standby is promoted, an old primary comes back: nothing acknowledged is lost in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

import pytest

from remediator.model.errors import ConfigError, LostRun, StoreUnavailable
from remediator.model.ledger import RunFilter
from remediator.store import auditing
from remediator.store.postgres import PostgresStore
from tests.fakes.tcp_proxy import TcpProxy
from tests.postgres.journals import RUNS, delivery, journal, runs, told
from tests.postgres.server import PostgresServer

pytestmark = pytest.mark.real("postgres")
SENDERS, BEFORE, AFTER = 8, 100, 50


async def _under_load(store: PostgresStore, disaster: Callable[[], object]) -> list[str]:
    """What was acknowledged, before, while and after the disaster befell."""
    acknowledged: list[str] = []
    numbers = count()
    enough = asyncio.Event()
    is_over = asyncio.Event()

    async def send() -> None:
        while not is_over.is_set():
            name = f"run-{next(numbers)}"
            if await told(store, name):
                acknowledged.append(name)
            else:
                await asyncio.sleep(0.05)
            if len(acknowledged) >= BEFORE:
                enough.set()

    async with asyncio.timeout(90), asyncio.TaskGroup() as senders:
        for _ in range(SENDERS):
            senders.create_task(send())
        await enough.wait()
        await asyncio.to_thread(disaster)
        survived = len(acknowledged)
        while len(acknowledged) < survived + AFTER:
            await asyncio.sleep(0.05)
        is_over.set()
    return acknowledged


async def test_a_primary_that_is_killed_and_started_again_loses_nothing(own_postgres: PostgresServer) -> None:
    """Every acknowledged alert has its run, the store works on by itself, and the audit trail is whole."""

    def disaster() -> None:
        own_postgres.kill()
        own_postgres.start()

    async with journal(own_postgres.url) as store:
        acknowledged = await _under_load(store, disaster)
        records = await store.audit(0, 100_000)

    assert set(acknowledged) <= set(runs(own_postgres.sql(RUNS)))
    assert list(auditing.flaws(records)) == []


async def test_a_synchronous_standby_takes_over_without_a_loss(own_postgres: PostgresServer) -> None:
    """Every acknowledged alert is in the promoted standby, and the store tells of the failover once."""
    standby = own_postgres.standby(synchronous=True)
    told_of: list[tuple[int, int]] = []
    async with TcpProxy(own_postgres.port) as proxy:

        def disaster() -> None:
            own_postgres.kill()
            standby.promote()
            standby.wait_for_standbys("")
            proxy.point_at(standby.port)

        url = own_postgres.url_of("postgres", proxy.port)
        async with journal(url, failed_over=lambda *timelines: told_of.append(timelines)) as store:
            acknowledged = await _under_load(store, disaster)
            records = await store.audit(0, 100_000)

    assert set(acknowledged) <= set(runs(standby.sql(RUNS)))
    assert list(auditing.flaws(records)) == []
    assert told_of == [(1, 2)]


async def test_a_failover_that_lost_something_is_told_and_nothing_is_written_over_it(
    own_postgres: PostgresServer,
) -> None:
    """An asynchronous standby missed a claim: whoever had the run stores nothing more, and it is claimed anew."""
    standby = own_postgres.standby(synchronous=False)
    told_of: list[tuple[int, int]] = []
    async with TcpProxy(own_postgres.port) as proxy:
        url = own_postgres.url_of("postgres", proxy.port)
        async with journal(url, allow_async=True, failed_over=lambda *timelines: told_of.append(timelines)) as store:
            await store.file(delivery("run-1"))
            standby.until_caught_up()
            standby.pause_replication()
            (claimed,) = await store.claim(1)
            own_postgres.kill()
            standby.promote()
            proxy.point_at(standby.port)
            await _answers(store)

            with pytest.raises(LostRun):
                await store.save(claimed.run)
            again = await store.claim(1)

    assert told_of == [(1, 2)]
    assert [(entry.run.id, entry.run.version, entry.tries) for entry in again] == [("run-1", 1, 1)]


async def test_an_old_primary_is_refused(own_postgres: PostgresServer) -> None:
    """Once the promoted standby has answered, the old primary under the same address takes no write of ours."""
    standby = own_postgres.standby(synchronous=False)
    async with TcpProxy(own_postgres.port) as proxy:
        url = own_postgres.url_of("postgres", proxy.port)
        async with journal(url, allow_async=True) as store:
            await store.file(delivery("run-1"))
            standby.until_caught_up()
            standby.promote()
            proxy.point_at(standby.port)
            proxy.cut()
            await _answers(store)
            await store.file(delivery("run-2"))
            proxy.point_at(own_postgres.port)
            proxy.cut()

            with pytest.raises(StoreUnavailable, match="is an old primary"):
                await store.file(delivery("run-3"))

    assert runs(own_postgres.sql(RUNS)) == ["run-1"]
    assert runs(standby.sql(RUNS)) == ["run-1", "run-2"]


async def test_one_connection_that_finds_the_new_primary_takes_the_others_along(own_postgres: PostgresServer) -> None:
    """The old primary is alive, and the writer connected to it, when a reader finds the new one: so does the writer."""
    standby = own_postgres.standby(synchronous=False)
    async with TcpProxy(own_postgres.port) as proxy:
        url = own_postgres.url_of("postgres", proxy.port)
        async with journal(url, allow_async=True) as store:
            await store.file(delivery("run-1"))
            standby.until_caught_up()
            standby.promote()
            proxy.point_at(standby.port)
            await store.list(RunFilter())  # opens the first reader

            await store.file(delivery("run-2"))

    assert (runs(own_postgres.sql(RUNS)), runs(standby.sql(RUNS))) == (["run-1"], ["run-1", "run-2"])


async def test_a_standby_is_no_database_to_write_to(own_postgres: PostgresServer) -> None:
    """It is refused as what it is, before anything is asked of it."""
    standby = own_postgres.standby(synchronous=False)
    with pytest.raises(StoreUnavailable, match="it is a standby"):
        async with journal(standby.url):
            pass


async def test_a_database_that_may_lose_what_it_acknowledges_is_refused(own_postgres: PostgresServer) -> None:
    """Without synchronous commits, and with standbys that nobody waits for unless that is accepted."""
    own_postgres.sql("ALTER ROLE postgres SET synchronous_commit = off")
    with pytest.raises(StoreUnavailable, match="synchronous_commit = off"):
        async with journal(own_postgres.url):
            pass
    own_postgres.sql("ALTER ROLE postgres RESET synchronous_commit")
    own_postgres.standby(synchronous=False)
    with pytest.raises(ConfigError, match="waits for none of them"):
        async with journal(own_postgres.url):
            pass
    async with journal(own_postgres.url, allow_async=True) as store:
        assert await told(store, "run-1")
    own_postgres.wait_for_standbys("standby")
    async with journal(own_postgres.url) as store:
        assert await told(store, "run-2")


async def test_a_commit_that_its_standby_does_not_have_is_not_acknowledged(own_postgres: PostgresServer) -> None:
    """While the synchronous standby is away nobody is told that it is stored; once it is back everybody is."""
    standby = own_postgres.standby(synchronous=True)
    async with journal(own_postgres.url) as store:
        assert await told(store, "run-1")
        await asyncio.to_thread(standby.pause_replication)

        is_told = await told(store, "run-2")
        await asyncio.to_thread(standby.resume_replication)

        assert is_told is None
        assert await told(store, "run-3")
    await asyncio.to_thread(standby.until_caught_up)
    assert runs(standby.sql(RUNS)) == ["run-1", "run-2", "run-3"]


async def test_a_wait_for_the_standby_that_an_administrator_ends_is_no_acknowledgement(
    own_postgres: PostgresServer,
) -> None:
    """PostgreSQL then reports success with a warning; the sender is not told that its alert is safe."""
    standby = own_postgres.standby(synchronous=True)
    async with journal(own_postgres.url) as store:
        assert await told(store, "run-1")
        await asyncio.to_thread(standby.pause_replication)
        waiting = asyncio.create_task(told(store, "run-2"))
        waits = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        await asyncio.to_thread(own_postgres.until, f"SELECT count(*) {waits}", "1")
        own_postgres.sql(f"SELECT pg_cancel_backend(pid) {waits}")

        assert await waiting is None
        await asyncio.to_thread(standby.resume_replication)
    assert runs(own_postgres.sql(RUNS)) == ["run-1", "run-2"]


async def _answers(store: PostgresStore) -> None:
    """Until the store has found the primary again."""
    async with asyncio.timeout(30):
        while True:
            try:
                await store.list(RunFilter())
            except StoreUnavailable:
                await asyncio.sleep(0.05)
            else:
                return
