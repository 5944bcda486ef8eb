"""Group commit: who shares a commit shares nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remediator.model.alerts import Alert, AlertStatus
from remediator.model.errors import LostRun, StoreUnavailable
from remediator.model.ledger import Candidate, Delivery, RunFilter
from remediator.model.runs import Run, RunState
from remediator.store.sqlite import SQLiteStore

NOON = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)


class StandingClock:
    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class Plug:
    """Holds the writing thread, so that what is asked meanwhile ends up in one group."""

    def __init__(self, store: SQLiteStore) -> None:
        self._pulled = threading.Event()
        self._inside = threading.Event()
        self._held = store._writer.submit(self._hold)

    def _hold(self, db: sqlite3.Connection) -> None:
        self._inside.set()
        self._pulled.wait()

    async def __aenter__(self) -> None:
        await asyncio.to_thread(self._inside.wait)

    async def __aexit__(self, *_: object) -> None:
        self._pulled.set()
        await self._held


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    made = await SQLiteStore.open(tmp_path / "journal.db", StandingClock(), queue_limit=300)
    yield made
    await made.close()


def delivery(run_id: str) -> Delivery:
    firing = Alert(AlertStatus.FIRING, {"run": run_id}, {}, "2025-03-01T11:00:00Z", "")
    return Delivery(NOON, b"{}", "test", (Candidate(run_id, "heal", "rev", firing),))


def stray_run(run_id: str) -> Run:
    return Run(run_id, "heal", "rev", "e", {}, "", RunState.PENDING, NOON, NOON)


async def run_ids(store: SQLiteStore) -> set[str]:
    return {run.id for run in await store.list(RunFilter(limit=10_000))}


def cause(answer: object) -> BaseException | None:
    return answer.__cause__ if isinstance(answer, BaseException) else None


async def settled_turns() -> None:
    """Let every ready task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_two_hundred_concurrent_deliveries_are_all_durable(store: SQLiteStore, tmp_path: Path) -> None:
    """Each answered call is in the file, as another connection reads it."""
    async with Plug(store):
        calls = [asyncio.create_task(store.file(delivery(f"run-{n}"))) for n in range(200)]
        await settled_turns()
    filed = await asyncio.gather(*calls)

    with sqlite3.connect(tmp_path / "journal.db") as db:
        stored = {run_id for (run_id,) in db.execute("SELECT id FROM runs")}
    db.close()
    assert {f.run_id for (f,) in filed} == stored == {f"run-{n}" for n in range(200)}


async def test_an_operation_that_fails_takes_no_neighbour_along(store: SQLiteStore) -> None:
    """Refused, broken or rejected by SQLite: each caller gets its own error, the others their answers."""

    def broken(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM runs")
        raise ZeroDivisionError

    def exhausted(db: sqlite3.Connection) -> object:
        return next(iter(()))

    async with Plug(store):
        calls = [
            asyncio.create_task(call)
            for call in (
                store.file(delivery("run-1")),
                store.save(stray_run("nobody")),
                store._writer.do(broken),
                store._writer.do(exhausted),
                store._writer.do(lambda db: db.execute("INSERT INTO runs (id) VALUES ('half')")),
                store.file(delivery("run-2")),
            )
        ]
        await settled_turns()
    answers = await asyncio.gather(*calls, return_exceptions=True)

    errors = [type(answer) for answer in answers if isinstance(answer, BaseException)]
    assert errors == [LostRun, ZeroDivisionError, RuntimeError, StoreUnavailable]
    assert await run_ids(store) == {"run-1", "run-2"}


async def test_a_commit_that_fails_fails_the_whole_group(store: SQLiteStore) -> None:
    """When the transaction itself is lost nobody is told otherwise, and the next group is served."""
    async with Plug(store):
        calls = [
            asyncio.create_task(call)
            for call in (
                store.file(delivery("run-1")),
                # A deferred constraint is checked at COMMIT, not in the savepoint.
                store._writer.do(lambda db: db.execute("PRAGMA defer_foreign_keys = ON").fetchall()),
                store._writer.do(lambda db: db.execute("INSERT INTO traces (run_id, body) VALUES ('nobody', '[]')")),
                store.file(delivery("run-2")),
            )
        ]
        await settled_turns()
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(answer) for answer in answers] == [StoreUnavailable] * 4
    assert all(isinstance(cause(answer), sqlite3.IntegrityError) for answer in answers)
    assert await run_ids(store) == set()
    await store.file(delivery("run-3"))
    assert await run_ids(store) == {"run-3"}


async def test_a_transaction_that_ends_early_fails_the_whole_group(store: SQLiteStore) -> None:
    """An error that makes SQLite roll everything back is told to all, with its own cause."""

    def abort(db: sqlite3.Connection) -> None:
        db.execute("INSERT OR ROLLBACK INTO resolutions VALUES ('e', 'x'), ('e', 'x')")

    async with Plug(store):
        calls = [
            asyncio.create_task(call)
            for call in (store.file(delivery("run-1")), store._writer.do(abort), store.file(delivery("run-2")))
        ]
        await settled_turns()
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    assert all(isinstance(cause(answer), sqlite3.IntegrityError) for answer in answers)
    assert await run_ids(store) == set()


async def test_a_deep_queue_refuses_at_once(store: SQLiteStore) -> None:
    """Beyond the limit a call raises without waiting; what was queued is served."""
    async with Plug(store):
        calls = [asyncio.create_task(store.file(delivery(f"run-{n}"))) for n in range(300)]
        await settled_turns()
        with pytest.raises(StoreUnavailable, match="try again later"):
            await store.file(delivery("one too many"))
    await asyncio.gather(*calls)

    assert await run_ids(store) == {f"run-{n}" for n in range(300)}


async def test_a_cancelled_caller_cuts_nothing_in_half(store: SQLiteStore) -> None:
    """The operation is carried out whole though nobody waits for it, and its neighbours are answered."""
    async with Plug(store):
        calls = [asyncio.create_task(store.file(delivery(f"run-{n}"))) for n in range(10)]
        await settled_turns()
        for call in calls[:5]:
            call.cancel()
        await settled_turns()
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True] * 5 + [False] * 5
    assert await run_ids(store) == {f"run-{n}" for n in range(10)}


async def test_a_cancelled_save_of_an_ended_run_gives_up_its_claim(store: SQLiteStore) -> None:
    """The claim goes with the commit, so a run that was put on hold comes back to somebody."""
    await store.file(delivery("run-1"))
    (run,) = [entry.run for entry in await store.claim(1)]
    async with Plug(store):
        held = Run(**{**vars(run), "state": RunState.HELD})
        call = asyncio.create_task(store.save(held))
        await settled_turns()
        call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await store.file(delivery("run-2"))

    assert [entry.run.id for entry in await store.claim(5)] == ["run-1", "run-2"]


async def test_a_cancelled_claim_has_claimed_nothing(store: SQLiteStore) -> None:
    """Runs that nobody was handed are free for the next worker."""
    await store.file(delivery("run-1"))
    call = asyncio.create_task(store.claim(1))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    assert [entry.run.id for entry in await store.claim(1)] == ["run-1"]


async def test_closing_carries_out_what_was_asked(tmp_path: Path) -> None:
    """Calls queued before the end are answered, later ones refused, and no thread stays."""
    before = set(threading.enumerate())
    store = await SQLiteStore.open(tmp_path / "journal.db", StandingClock())
    async with Plug(store):
        calls = [asyncio.create_task(store.file(delivery(f"run-{n}"))) for n in range(10)]
        await settled_turns()
        end = asyncio.create_task(store.close())
        await settled_turns()
    await asyncio.gather(*calls, end)

    ours = {thread.name for thread in set(threading.enumerate()) - before if "journal" in thread.name}
    assert ours == set()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.file(delivery("late"))
    again = await SQLiteStore.open(tmp_path / "journal.db", StandingClock())
    assert await run_ids(again) == {f"run-{n}" for n in range(10)}
    await again.close()


async def test_each_commit_is_told_with_its_seconds(tmp_path: Path) -> None:
    """On the event loop, before whoever waits is answered; a group is one commit, and what fails is none."""
    told: list[tuple[float, str]] = []

    def hear(seconds: float) -> None:
        told.append((seconds, threading.current_thread().name))

    store = await SQLiteStore.open(tmp_path / "journal.db", StandingClock(), told_commit=hear)
    try:
        async with Plug(store):
            group = [store._writer.submit(lambda db: db.total_changes) for _ in range(5)]
        await asyncio.gather(*group)
        await store._writer.do(lambda db: db.execute("PRAGMA query_only = ON").fetchall())
        with pytest.raises(StoreUnavailable):
            await store._writer.do(lambda db: db.execute("ROLLBACK").fetchall())
    finally:
        await store.close()

    assert told == [(0.0, threading.main_thread().name)] * 3


@pytest.mark.parametrize("size", [2, 100_000])
async def test_a_body_is_kept_as_it_came(store: SQLiteStore, size: int) -> None:
    """A long one is packed and says so; unpacked it is the same bytes."""
    body = bytes(range(256)) * (size // 256 + 1)
    await store.file(Delivery(NOON, body, "test"))

    ask = "SELECT is_packed, body FROM deliveries"
    is_packed, kept = await store._writer.do(lambda db: db.execute(ask).fetchone())
    assert (zlib.decompress(kept) if is_packed else kept) == body
    assert bool(is_packed) == (len(body) > 4096)
