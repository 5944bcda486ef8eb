"""The network fails at the worst moments: every caller is told what is true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from remediator.model.errors import StoreUnavailable
from remediator.store import auditing
from tests.fakes.tcp_proxy import Fault, TcpProxy, Towards
from tests.postgres.journals import RUNS, delivery, journal, runs, told
from tests.postgres.server import Database

pytestmark = pytest.mark.real("postgres")


@pytest.fixture
async def proxy(postgres_database: Database) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(postgres_database.server.port) as made:
        yield made


@pytest.mark.parametrize("then", ["reset", "close"])
@pytest.mark.parametrize(
    ("towards", "words"), [(Towards.CLIENT, b"COMMIT\0"), (Towards.SERVER, b"COMMIT"), (Towards.SERVER, b"BEGIN")]
)
async def test_a_cut_at_a_commit_is_no_guess(
    postgres_database: Database, proxy: TcpProxy, towards: Towards, words: bytes, then: str
) -> None:
    """Whether the question was cut or the answer, each of ten senders hears that its alert is in, and it is."""
    async with journal(postgres_database.url_through(proxy.port)) as store:
        await told(store, "first")
        fault = proxy.will(Fault(towards, at=words, then=then))  # type: ignore[arg-type]

        answers = await asyncio.gather(*(told(store, f"run-{n}") for n in range(10)))

    assert fault.struck.is_set()
    assert answers == [True] * 10
    assert runs(postgres_database.sql(RUNS)) == runs("first " + " ".join(f"run-{n}" for n in range(10)))


async def test_a_cut_anywhere_is_no_guess(postgres_database: Database, proxy: TcpProxy) -> None:
    """After every so many bytes, to and fro: who is told that it is stored finds it, and who is not does not."""
    answers: dict[str, bool | None] = {}
    async with journal(postgres_database.url_through(proxy.port)) as store:
        await told(store, "first")
        for towards in Towards:
            for after in range(0, 3000, 97):
                name = f"{towards.value}-{after}"
                proxy.will(Fault(towards, after=after))
                answers[name] = await told(store, name)
                if after % 2:
                    proxy.cut()
    async with journal(postgres_database.url) as store:
        records = await store.audit(0, 10_000)

    stored = set(runs(postgres_database.sql(RUNS)))
    wrong = {name: answer for name, answer in answers.items() if answer is not (name in stored)}
    assert wrong == {}
    assert list(auditing.flaws(records)) == []


async def test_what_cannot_be_found_out_is_said_so(postgres_database: Database, proxy: TcpProxy) -> None:
    """The answer to COMMIT is cut, and then nobody gets through: the sender hears that nobody knows."""
    async with journal(postgres_database.url_through(proxy.port)) as store:
        await told(store, "first")
        fault = proxy.will(Fault(Towards.CLIENT, at=b"COMMIT\0"))
        waiting = asyncio.create_task(store.file(delivery("run-1")))
        await fault.struck.wait()
        proxy.refusing = True
        proxy.cut()

        with pytest.raises(StoreUnavailable, match="is not known; read before you repeat it"):
            await waiting
        proxy.refusing = False
        assert await told(store, "run-2")

    assert runs(postgres_database.sql(RUNS)) == ["first", "run-1", "run-2"]


async def test_no_message_has_the_password(postgres_database: Database, proxy: TcpProxy) -> None:
    """What goes wrong names host, port and database, and nothing more of the address."""
    proxy.refusing = True

    with pytest.raises(StoreUnavailable) as refused:
        async with journal(postgres_database.url_through(proxy.port)):
            pass

    assert f"127.0.0.1:{proxy.port}/{postgres_database.name}" in str(refused.value)
    assert postgres_database.server.password not in str(refused.value)


async def test_a_deep_queue_refuses_at_once(postgres_database: Database, proxy: TcpProxy) -> None:
    """While the database does not answer only so many calls are kept; one more is refused, and those kept are done."""
    async with journal(postgres_database.url_through(proxy.port), queue_limit=3) as store:
        await told(store, "first")
        proxy.hold(Towards.SERVER)
        in_hand = asyncio.create_task(told(store, "run-0"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        kept = [asyncio.create_task(told(store, f"run-{n}")) for n in range(1, 4)]
        await asyncio.sleep(0)

        with pytest.raises(StoreUnavailable, match="3 calls wait for"):
            await store.file(delivery("run-4"))
        proxy.release(Towards.SERVER)

        assert await asyncio.gather(in_hand, *kept) == [True] * 4
    assert runs(postgres_database.sql(RUNS)) == runs("first run-0 run-1 run-2 run-3")


async def test_another_replica_is_heard_of(postgres_database: Database, proxy: TcpProxy) -> None:
    """A run that is filed at one replica wakes the other, also after its connections were cut."""
    woken = asyncio.Event()
    async with (
        journal(postgres_database.url) as one,
        journal(postgres_database.url_through(proxy.port), wake=woken.set),
        asyncio.timeout(30),
    ):
        await woken.wait()  # it listens
        for name in ("run-1", "run-2"):
            woken.clear()
            await one.file(delivery(name))
            await woken.wait()
            woken.clear()
            proxy.cut()
            await woken.wait()  # it listens again


async def test_a_replica_that_was_cut_off_in_a_transaction_does_not_stop_the_others(
    postgres_database: Database, proxy: TcpProxy
) -> None:
    """Its session has the end of the chain, and nobody tells the server that it is gone: it ends it by itself."""
    async with (
        journal(postgres_database.url) as other,
        journal(postgres_database.url_through(proxy.port)) as cut_off,
        asyncio.timeout(60),
    ):
        await told(cut_off, "first")
        fault = proxy.will(Fault(Towards.SERVER, at=b"COMMIT", then="hang"))
        waiting = asyncio.create_task(told(cut_off, "run-1"))
        await fault.struck.wait()

        while not await told(other, "run-2"):
            pass
        await waiting

    assert "run-2" in runs(postgres_database.sql(RUNS))
