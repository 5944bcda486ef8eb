"""The journal under a killed process, a full disk, a second process, a damaged file."""

# ruff: noqa: ASYNC240  what is on disk is looked at here between two calls, when nothing else runs

from __future__ import annotations

import asyncio
import fcntl
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remediator.model.alerts import Alert, AlertStatus
from remediator.model.errors import DamagedRecord, StoreUnavailable
from remediator.model.ledger import Candidate, Delivery, RunFilter
from remediator.model.runs import StepState
from remediator.store.rows import sealed, unsealed
from remediator.store.sqlite import SQLiteStore

NOON = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
HERE = Path(__file__).parent


class StandingClock:
    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


def delivery(run_id: str, body: bytes = b"{}") -> Delivery:
    firing = Alert(AlertStatus.FIRING, {"run": run_id}, {}, "2025-03-01T11:00:00Z", "")
    return Delivery(NOON, body, "test", (Candidate(run_id, "heal", "rev", firing),))


async def opened(path: Path) -> SQLiteStore:
    return await SQLiteStore.open(path, StandingClock())


async def filed(path: Path, *run_ids: str) -> None:
    """A journal with these runs, closed again."""
    store = await opened(path)
    for run_id in run_ids:
        await store.file(delivery(run_id))
    await store.close()


async def run_ids(store: SQLiteStore) -> set[str]:
    return {run.id for run in await store.list(RunFilter(limit=100_000))}


@contextmanager
def writing_process(path: Path, prefix: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(HERE / "killed_writer.py"), str(path), prefix]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged_before_kill(path: Path, prefix: str, lines: int) -> list[list[str]]:
    """What the process said until it was killed, at its `lines`-th word."""
    with writing_process(path, prefix) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said += process.stdout.readlines()
    assert all(said), "the process ended by itself"
    return [line.split() for line in said]


async def check_acknowledged(store: SQLiteStore, said: list[list[str]]) -> None:
    steps = {run_id: await store.steps(run_id) for run_id in {words[1] for words in said}}
    stored = await run_ids(store)
    for word, run_id, *seq in said:
        assert run_id in stored
        if word != "filed":
            states = {s.seq: s.state for s in steps[run_id]}
            assert states[int(seq[0])] in (
                (StepState.DONE,) if word == "settled" else (StepState.INTENT, StepState.DONE)
            )


async def check_consistent(store: SQLiteStore) -> None:
    """No half-written step: a run's cursor, touch and version tell of exactly the steps that are there."""
    for run in await store.list(RunFilter(limit=100_000)):
        steps = await store.steps(run.id)
        done = sum(s.state is StepState.DONE for s in steps)
        assert (run.cursor, run.touched, run.version) == (done, bool(steps), len(steps) + done)


async def test_nothing_acknowledged_is_lost_to_a_kill(path: Path) -> None:
    """Killed twenty times at any moment, the journal has every acknowledged fact, each whole, and is sound."""
    dice = random.Random(20250301)
    said: list[list[str]] = []
    for life in range(20):
        said += acknowledged_before_kill(path, f"life{life}", dice.randint(1, 120))

    store = await opened(path)
    try:
        await check_acknowledged(store, said)
        await check_consistent(store)
    finally:
        await store.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_a_lost_tail_loses_only_the_tail(path: Path, tmp_path: Path) -> None:
    """With the log cut at any commit's page, as after a power loss, what remains is whole and in order."""
    acknowledged_before_kill(path, "life", 60)
    log = path.with_name("journal.db-wal").read_bytes()
    page, header, frame_header = int.from_bytes(log[8:12]), 32, 24
    frames = (len(log) - header) // (frame_header + page)
    kept = [0]
    for frame in range(0, frames + 1, max(1, frames // 40)):
        copy = tmp_path / f"cut-{frame}" / "journal.db"
        copy.parent.mkdir()
        copy.write_bytes(path.read_bytes())
        copy.with_name("journal.db-wal").write_bytes(log[: header + frame * (frame_header + page)])
        store = await opened(copy)
        try:
            await check_consistent(store)
            kept.append(sum(run.version + 1 for run in await store.list(RunFilter(limit=100_000))))
        finally:
            await store.close()

    assert kept == sorted(kept)
    assert kept[-1] > kept[0]


async def test_a_second_process_is_refused(path: Path) -> None:
    """While one process has the journal another is told so, with the path and what to do; afterwards it may."""
    with writing_process(path, "first") as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StoreUnavailable, match=r"another process has the journal .*journal\.db.*Stop it first"):
            await opened(path)

    store = await opened(path)
    await store.close()


async def test_a_full_disk_refuses_and_loses_nothing(path: Path) -> None:
    """The call that finds no room raises; with room again it goes on, and every acknowledged run is there."""
    command = [sys.executable, str(HERE / "full_disk.py"), str(path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    words = done.stdout.split()

    store = await opened(path)
    try:
        stored = await run_ids(store)
    finally:
        await store.close()
    at = words.index("refused")
    assert words[at + 1] in ("OperationalError", "DatabaseError")
    assert at > 2
    assert set(words[:at] + words[at + 2 :]) == stored


async def test_a_full_database_refuses_and_loses_nothing(path: Path) -> None:
    """At SQLite's own page limit the call raises, chained; with a higher limit it goes on."""
    large = random.Random(1).randbytes(1_000_000)
    store = await opened(path)
    try:
        await store.file(delivery("run-1"))
        await store._writer.do(lambda db: db.execute("PRAGMA max_page_count = 40").fetchall())
        with pytest.raises(StoreUnavailable, match="full") as told:
            await store.file(delivery("run-2", large))
        await store._writer.do(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchall())
        await store.file(delivery("run-3", large))

        assert isinstance(told.value.__cause__, sqlite3.OperationalError)
        assert await run_ids(store) == {"run-1", "run-3"}
    finally:
        await store.close()


async def test_a_foreign_lock_is_refused_after_a_bounded_wait(path: Path) -> None:
    """A stray SQLite shell that locks the file costs calls, never facts."""
    store = await opened(path)
    try:
        await store.file(delivery("run-1"))
        with closing(sqlite3.connect(path, isolation_level=None)) as stray:
            stray.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                await store.file(delivery("run-2"))
            stray.execute("ROLLBACK")
            await store.file(delivery("run-3"))

        assert await run_ids(store) == {"run-1", "run-3"}
    finally:
        await store.close()


async def test_the_raw_body_is_kept_as_it_came(path: Path) -> None:
    """Bytes that are not even text are on disk when the call returns."""
    body = bytes(range(256))
    store = await opened(path)
    try:
        await store.file(delivery("run-1", body))
        with closing(sqlite3.connect(path)) as db:
            found = db.execute("SELECT sender, body FROM deliveries").fetchall()
    finally:
        await store.close()

    assert found == [("test", body)]


async def test_every_commit_is_synced(path: Path) -> None:
    """The writing connection runs with WAL, synchronous=FULL and foreign keys."""
    store = await opened(path)
    try:
        settings = [
            await store._writer.do(lambda db, name=name: db.execute(f"PRAGMA {name}").fetchone()[0])  # type: ignore[misc]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    finally:
        await store.close()

    assert settings == ["wal", 2, 1]


async def test_readers_cannot_write(path: Path) -> None:
    """A question that tries to change something is refused by SQLite itself."""
    store = await opened(path)
    try:
        with pytest.raises(StoreUnavailable, match="readonly"):
            await store._readers.ask(lambda db: db.execute("DELETE FROM runs"))
    finally:
        await store.close()


async def test_only_the_owner_may_read_the_journal(path: Path) -> None:
    """Files are 0600, also one that was wider before; a directory that had to be made is 0700."""
    await filed(path, "run-1")
    path.chmod(0o644)
    store = await opened(path)
    try:
        await store.file(delivery("run-2"))
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (path.parent, *path.parent.iterdir())}
    finally:
        await store.close()

    files = ("journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock")
    assert modes == {"state": 0o700, **dict.fromkeys(files, 0o600)}


async def test_closing_leaves_one_whole_file(path: Path) -> None:
    """After the end everything is in the one file, so a copy of it is a backup."""
    await filed(path, "run-1")

    assert sorted(p.name for p in path.parent.iterdir()) == ["journal.db", "journal.db.lock"]


async def test_a_damaged_file_is_refused(path: Path) -> None:
    """A page of noise is found at the door, and the message says how to go on."""
    await filed(path, *(f"run-{n}" for n in range(50)))
    content = bytearray(path.read_bytes())
    content[4096:8192] = random.Random(1).randbytes(4096)
    path.write_bytes(content)

    with pytest.raises(StoreUnavailable, match="Restore it from a backup"):
        await opened(path)

    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "Restore it from a backup"), (b"not a database, only text " * 100, "not a journal of Remediator")],
)
async def test_a_file_that_is_no_journal_is_refused_and_left_alone(path: Path, content: bytes, said: str) -> None:
    """An emptied journal is damage, not a fresh start; a stranger's file is not touched."""
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(StoreUnavailable, match=said):
        await opened(path)

    assert path.read_bytes() == content


async def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    """A SQLite file without our mark is somebody else's."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    content = path.read_bytes()

    with pytest.raises(StoreUnavailable, match="not a journal of Remediator"):
        await opened(path)

    assert path.read_bytes() == content


async def test_a_wal_without_its_journal_is_refused(path: Path) -> None:
    """Somebody removed the journal and left what belongs to it: that is not a fresh start."""
    path.parent.mkdir()
    path.with_name("journal.db-wal").write_bytes(b"frames")

    with pytest.raises(StoreUnavailable, match="-wal is there and it is not"):
        await opened(path)


async def test_a_creation_that_was_cut_short_is_done_again(path: Path) -> None:
    """What a killed first start left beside the journal is not in the way."""
    path.parent.mkdir()
    path.with_name("journal.db.new").write_bytes(b"half")

    await filed(path, "run-1")

    assert sorted(p.name for p in path.parent.iterdir()) == ["journal.db", "journal.db.lock"]


async def test_a_newer_schema_is_refused(path: Path) -> None:
    """An old version never guesses at what a newer one wrote, and lets go of the lock."""
    await filed(path, "run-1")
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")

    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="schema 99"):
            await opened(path)


@pytest.mark.parametrize("change", ["replace(body, '\"cursor\":0', '\"cursor\":1')", "substr(body, 1, 200)", "'{}'"])
async def test_a_changed_byte_in_a_run_is_found(path: Path, change: str) -> None:
    """SQLite's own check does not see it; the run's checksum does: it is set aside, and stops no other run."""
    await filed(path, "run-1")
    await filed(path, "run-2")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE runs SET body = {change} WHERE id = 'run-1'")
    store = await opened(path)
    try:
        assert [entry.run.id for entry in await store.claim(5)] == ["run-2"]
        assert [run.id for run in await store.list(RunFilter())] == ["run-2"]
        assert await store.due_in() is None
        assert list(store.damaged) == ["run-1"]
        assert "checksum" in store.damaged["run-1"]
        with pytest.raises(DamagedRecord):
            await store.get("run-1")
    finally:
        await store.close()


async def test_a_run_in_an_unknown_form_is_named(path: Path) -> None:
    """A value of a later version is not guessed at: the error shows it."""
    await filed(path, "run-1")
    with closing(sqlite3.connect(path)) as db, db:
        (body,) = db.execute("SELECT body FROM runs").fetchone()
        later = sealed({**unsealed("run", body), "state": "dreaming"})
        db.execute("UPDATE runs SET body = ?", (later,))
    store = await opened(path)
    try:
        with pytest.raises(StoreUnavailable, match=r"dreaming.*run-1"):
            await store.get("run-1")
    finally:
        await store.close()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The operating system's refusal comes out as the house's own."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StoreUnavailable, match="Make its directory writable"):
        await opened(tmp_path / "file" / "journal.db")


async def test_a_refused_open_leaves_the_lock_free(path: Path) -> None:
    """After a failed start the next one is not told that another process has the journal."""
    path.parent.mkdir()
    path.write_bytes(b"")
    with pytest.raises(StoreUnavailable):
        await opened(path)

    with path.with_name("journal.db.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
