"""
A hurt journal: bits flipped, logs cut, pages lost. It opens as it was, or as some commit left it, or not at all.

`REMEDIATOR_FLIPS=1000` flips that many bits in each of the three places; without it, a few seconds' worth.
"""

# ruff: noqa: ASYNC240  what is on disk is looked at here between two calls, when nothing else runs

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remediator.model.errors import StoreDamaged, StoreUnavailable
from remediator.model.ledger import Delivery, RunFilter, Signal, SignalName, Switch
from remediator.model.runs import RunState
from remediator.store.sqlite import SalvagedStore, SQLiteStore
from remediator.store.sqlite.soundness import look
from remediator.store.sqlite.wal import _begin, _sum, laid_over
from tests.unit.store import hurt
from tests.unit.store.hurt import NOON, StandingClock, Written, flip, offsets, tables

FLIPS = int(os.environ.get("REMEDIATOR_FLIPS", "100"))
SEED = int(os.environ.get("REMEDIATOR_FLIP_SEED", "20250301"))
PAGE, HEADER, FRAME = 4096, 32, 24 + 4096
"""Bytes of a page, of a log's header, and of a frame with its page."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Written, Written]:
    """As a crash left it, part of the history in the log; and after an orderly end."""
    return asyncio.run(hurt.write(tmp_path_factory.mktemp("journal")))


@pytest.fixture
def crashed(made: tuple[Written, Written]) -> Written:
    return made[0]


@pytest.fixture
def ended(made: tuple[Written, Written]) -> Written:
    return made[1]


async def outcome(written: Written, journal: Path) -> str:
    """What opening a hurt journal comes to. A refused one is left as it was, and nothing of its history is invented."""
    before = contents(journal)
    opened = await opening(journal)
    if isinstance(opened, StoreUnavailable):
        assert str(journal) in str(opened)
        if isinstance(opened, StoreDamaged):
            assert "Restore it from a backup" in str(opened)
            store = await SalvagedStore.open(journal, opened)
            await check_history(written, store)
            await store.close()
        assert contents(journal) == before
        return "damaged" if isinstance(opened, StoreDamaged) else "not ours, or too new"
    try:
        return written.judge(await opened._readers.ask(tables))
    finally:
        await opened.close()


async def opening(journal: Path) -> SQLiteStore | StoreUnavailable:
    try:
        return await SQLiteStore.open(journal, StandingClock())
    except StoreUnavailable as refusal:
        return refusal


def contents(journal: Path) -> dict[str, bytes]:
    """Of the file and of its log; an empty log is none."""
    found = {name: journal.with_name(name) for name in (journal.name, f"{journal.name}-wal")}
    return {name: path.read_bytes() for name, path in found.items() if path.exists() and path.stat().st_size}


@asynccontextmanager
async def salvaged(journal: Path) -> AsyncIterator[SalvagedStore]:
    with pytest.raises(StoreDamaged) as refusal:
        await SQLiteStore.open(journal, StandingClock())
    store = await SalvagedStore.open(journal, refusal.value)
    try:
        yield store
    finally:
        await store.close()


async def check_history(written: Written, store: SalvagedStore) -> None:
    """Every run and every step that is shown is as some commit left it."""
    for run in await store.list(RunFilter(limit=1000)):
        assert {repr(run), repr(replace(run, resolved_at=None))} & written.runs
        for step in await store.steps(run.id):
            assert repr(step) in written.steps


# --- single bits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["the file", "the file of a crashed service", "the log"])
async def test_a_flipped_bit_is_found_or_changes_nothing(
    made: tuple[Written, Written], tmp_path: Path, where: str
) -> None:
    """At any place: the whole history, or what an earlier commit left, or a refusal with the remedy; never another."""
    written = made[1] if where == "the file" else made[0]
    name = "journal.db-wal" if where == "the log" else "journal.db"
    size = written.path.with_name(name).stat().st_size
    came_to: Counter[str] = Counter()
    for number, (offset, bit) in enumerate(offsets(SEED, size, FLIPS)):
        journal = written.copy(tmp_path / str(number))
        flip(journal.with_name(name), offset, bit)
        became = await outcome(written, journal)
        assert became != "WRONG", f"bit {bit} of byte {offset}"
        came_to[became] += 1
        hurt.remove(journal)

    print(f"{FLIPS} flips in {where}: {dict(came_to)}")
    assert came_to["damaged"] > 0


async def test_every_bit_of_the_files_own_header_is_found_or_changes_nothing(ended: Written, tmp_path: Path) -> None:
    """The first hundred bytes say how all others are read."""
    came_to: Counter[str] = Counter()
    for place in range(800):
        journal = ended.copy(tmp_path / str(place))
        flip(journal, place // 8, place % 8)
        came_to[await outcome(ended, journal)] += 1
        hurt.remove(journal)

    assert came_to["WRONG"] == 0
    assert came_to.keys() == {"whole", "damaged", "not ours, or too new"}


# --- cut logs ----------------------------------------------------------------------------------------------


def cuts(size: int) -> Iterator[int]:
    """The beginning, every frame's end, and a place inside every frame."""
    yield from (0, 1, HEADER - 1)
    dice = random.Random(SEED)
    for end in range(HEADER, size + 1, FRAME):
        yield end
        yield end + dice.randrange(1, FRAME)


async def test_a_log_cut_anywhere_leaves_what_some_commit_left(crashed: Written, tmp_path: Path) -> None:
    """Ends of frames and middles of frames: a beginning of the history, never a mixture; a torn header is refused."""
    size = crashed.path.with_name("journal.db-wal").stat().st_size
    came_to: Counter[str] = Counter()
    for number, cut in enumerate(cuts(size)):
        journal = crashed.copy(tmp_path / str(number))
        os.truncate(journal.with_name("journal.db-wal"), min(cut, size))
        came_to[await outcome(crashed, journal)] += 1
        hurt.remove(journal)

    print(f"{sum(came_to.values())} cuts: {dict(came_to)}")
    assert came_to.keys() == {"whole", "as some commit left it", "damaged"}
    assert came_to["damaged"] == 2


async def test_a_broken_frame_in_the_middle_of_the_log_is_damage(crashed: Written, tmp_path: Path) -> None:
    """SQLite would take it for a power loss and forget all that was committed behind it, without a word."""
    journal = crashed.copy(tmp_path / "journal")
    flip(journal.with_name("journal.db-wal"), HEADER + 3 * FRAME + 500, 1)

    with pytest.raises(StoreDamaged, match=r"frame 4 of \d+ in its log is broken"):
        await SQLiteStore.open(journal, StandingClock())
    with closing(sqlite3.connect(journal)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_log_is_emptied_as_soon_as_it_is_in_the_file(tmp_path: Path) -> None:
    """What is in the file stands in no log any more, so no cut of a log can bring back an old page."""
    journal = tmp_path / "journal.db"
    log = journal.with_name("journal.db-wal")
    store = await SQLiteStore.open(journal, StandingClock())
    try:
        sizes = []
        for _ in range(40):
            await store.file(Delivery(NOON, random.Random(1).randbytes(500_000), "test"))
            await store._writer.do(lambda _: None)  # whatever the one before left to be tidied is tidied by now
            sizes.append(log.stat().st_size)
    finally:
        await store.close()

    assert 0 in sizes
    assert max(sizes) < 6_000_000


async def test_a_reader_delays_the_emptying_and_no_more(tmp_path: Path) -> None:
    """While somebody reads an old page the log stands, commits go on, and afterwards it is emptied by itself."""
    journal = tmp_path / "journal.db"
    log = journal.with_name("journal.db-wal")
    store = await SQLiteStore.open(journal, StandingClock())
    try:
        with closing(sqlite3.connect(journal, isolation_level=None)) as stray:
            stray.execute("BEGIN")
            stray.execute("SELECT count(*) FROM runs").fetchone()
            for _ in range(12):
                await store.file(Delivery(NOON, random.Random(1).randbytes(500_000), "test"))
            held = log.stat().st_size
        async with asyncio.timeout(30):
            while log.stat().st_size:
                await asyncio.sleep(0.01)
    finally:
        await store.close()

    assert held > 4_000_000


# --- lost pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
async def test_history_is_shown_but_for_what_stood_on_a_lost_page(ended: Written, tmp_path: Path, fill: bytes) -> None:
    """One page after the other is lost: what is shown is true, and what is missing is counted."""
    every = {run.id for run in await runs_of(ended, tmp_path)}
    pages = ended.path.stat().st_size // PAGE
    came_to: Counter[str] = Counter()
    for page in range(1, pages):
        journal = ended.copy(tmp_path / str(page))
        with journal.open("r+b") as file:
            file.seek(page * PAGE)
            file.write(fill * PAGE)
        if (became := await outcome(ended, journal)) != "damaged":
            came_to[became] += 1
            continue
        async with salvaged(journal) as store:
            shown = {run.id for run in await store.list(RunFilter(limit=1000))}
            assert shown == every or store.unreadable >= (len(every - shown) if shown else 1)
            came_to["every run shown" if shown == every else "some shown" if shown else "none shown"] += 1

    print(f"{pages - 1} lost pages: {dict(came_to)}")
    assert came_to.keys() <= {"whole", "every run shown", "some shown", "none shown"}
    assert came_to["every run shown"] > came_to["some shown"] + came_to["none shown"] > 0


async def runs_of(written: Written, tmp_path: Path) -> list[Any]:
    store = await SQLiteStore.open(written.copy(tmp_path / "whole"), StandingClock())
    try:
        return list(await store.list(RunFilter(limit=1000)))
    finally:
        await store.close()


async def test_nothing_can_be_read_of_an_emptied_file_and_that_is_said(tmp_path: Path) -> None:
    """No first page, no history; and what is not known is not denied."""
    journal = tmp_path / "journal.db"
    journal.write_bytes(b"")

    async with salvaged(journal) as store:
        assert (list(await store.list(RunFilter())), store.unreadable) == ([], 1)
        for question in (store.get("run-1"), store.switches()):
            with pytest.raises(StoreDamaged, match="it is empty; it was cut off"):
                await question
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.db", "journal.db.lock"]


async def test_history_has_what_is_only_in_the_log(crashed: Written, tmp_path: Path) -> None:
    """A page of the file is lost, and the newest runs stand in the log: they are shown, whole."""
    journal = crashed.copy(tmp_path / "journal")
    flip(journal.with_name("journal.db-wal"), journal.with_name("journal.db-wal").stat().st_size - FRAME * 20, 1)

    async with salvaged(journal) as store:
        newest = (await store.list(RunFilter((RunState.SUCCEEDED,), limit=1)))[0]
        assert newest.id == "run-6"
        assert [step.seq for step in await store.steps(newest.id)] == [0, 1]
        assert [trace.after for trace in await store.traces(newest.id)] == ["pending", "succeeded"]
        assert [signal.why for signal in await store.signals(newest.id)] == ["for 6"]


async def test_a_switch_that_cannot_be_read_is_not_replaced_by_an_older_one(ended: Written, tmp_path: Path) -> None:
    """Whether all is frozen is unknown then, and not what it was before."""
    journal = ended.copy(tmp_path / "journal")
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("UPDATE switches SET body = replace(body, 'ada', 'eve') WHERE id = (SELECT max(id) FROM switches)")
        db.execute("UPDATE runs SET delivery = NULL")
        db.execute("PRAGMA user_version = 2")

    async with salvaged(journal) as store:
        with pytest.raises(StoreDamaged, match="how they stand is unknown"):
            await store.switches()


async def test_what_would_change_anything_is_refused(ended: Written, tmp_path: Path) -> None:
    """With the reason, and the file as it was."""
    journal = ended.copy(tmp_path / "journal")
    flip(journal, 20, 3)
    before = contents(journal)

    async with salvaged(journal) as store:
        for call in (
            store.throw(Switch("freeze", True, "ada", "now", NOON)),
            store.file(Delivery(NOON, b"{}", "test")),
            store.signal(Signal("run-1", SignalName.CANCEL, "", "ada", "now", NOON)),
        ):
            with pytest.raises(StoreDamaged, match=r"journal\.db is damaged"):
                await call
    assert contents(journal) == before


async def test_history_is_shown_by_one_process_alone(ended: Written, tmp_path: Path) -> None:
    """Whoever comes second is told so, and whoever comes later may."""
    journal = ended.copy(tmp_path / "journal")
    flip(journal, 20, 3)

    async with salvaged(journal) as store:
        with pytest.raises(StoreUnavailable, match="another process has the journal"):
            await SalvagedStore.open(journal, store.why)
    async with salvaged(journal):
        pass


async def test_a_log_is_laid_over_its_file_as_sqlite_does(crashed: Written, tmp_path: Path) -> None:
    """Whole, cut anywhere, or with a broken frame: the image in memory holds what a reader of both files would see."""
    size = crashed.path.with_name("journal.db-wal").stat().st_size
    dice = random.Random(SEED)
    for number, cut in enumerate([size, *(dice.randrange(HEADER, size) for _ in range(20))]):
        journal = crashed.copy(tmp_path / str(number))
        os.truncate(journal.with_name("journal.db-wal"), cut)
        with closing(sqlite3.connect(":memory:")) as db:
            db.deserialize(laid_over(journal))
            in_memory = tables(db)
        with closing(look(journal)) as db:
            assert in_memory == tables(db)


# --- disks -------------------------------------------------------------------------------------------------


def on_a_small_disk(what: str, tmp_path: Path) -> dict[str, Any]:
    """What a process saw that has a disk of 12 MB to itself; skipped where nobody may mount one."""
    command = ["unshare", "-rm", sys.executable, str(Path(__file__).with_name("small_disk.py")), what, str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*command[:2], "true"], check=False).returncode:
        pytest.skip("needs `unshare -rm`, to mount a small disk for one process")
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    said: dict[str, Any] = json.loads(done.stdout)
    return said


async def test_a_full_disk_takes_outcomes_and_a_freeze_and_nothing_new(tmp_path: Path) -> None:
    """What was set aside is given up for what was begun; with room again the service goes on by itself."""
    seen = await asyncio.to_thread(on_a_small_disk, "fill", tmp_path)

    assert "full" in seen.pop("file")
    assert "is full: nothing new begins" in seen.pop("file again")
    assert "is full: nothing new begins" in seen.pop("intend")
    assert seen == {
        "lacks room": True,
        "settle": "done",
        "freeze": "done",
        "file with room": "done",
        "runs": ["run-1", "run-3"],
        "step": ["done"],
        "frozen": [True],
    }


async def test_history_is_shown_from_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    """What a crash left in the log is shown too, though SQLite cannot make an index for it there."""
    seen = await asyncio.to_thread(on_a_small_disk, "protect", tmp_path)

    assert "journal.db cannot be written: [Errno 30] Read-only file system" in seen["refused"]
    assert seen["runs"] == ["run-1"]
    assert seen["freeze"] == f"StoreDamaged: {seen['refused']}"


@pytest.mark.parametrize("how", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_a_lock_of_somebody_else_costs_calls_and_is_no_damage(
    open_store: SQLiteStore, ended: Written, tmp_path: Path, how: str
) -> None:
    """Each call waits a second and is refused; when the lock is gone the next is served."""
    with closing(sqlite3.connect(open_store.custody.path, isolation_level=None)) as stray:
        stray.execute(how)
        with pytest.raises(StoreUnavailable, match="locked") as refusal:
            await open_store.file(Delivery(NOON, b"{}", "test"))
        assert not isinstance(refusal.value, StoreDamaged)
        assert len(await open_store.list(RunFilter(limit=1000))) > 3
        stray.execute("ROLLBACK")
    await open_store.file(Delivery(NOON, b"{}", "test"))
    assert not open_store.custody.is_broken


# --- damage that is met while it is open -------------------------------------------------------------------


@pytest.fixture
async def open_store(ended: Written, tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    store = await SQLiteStore.open(ended.copy(tmp_path / "journal"), StandingClock())
    yield store
    await store.close()


def lose_pages(journal: Path) -> None:
    """All but the first, under the feet of whoever has it open."""
    with journal.open("r+b") as file:
        size = journal.stat().st_size
        file.seek(PAGE)
        file.write(random.Random(1).randbytes(size - PAGE))


async def test_damage_met_by_a_question_stops_every_write(open_store: SQLiteStore) -> None:
    """The reader that meets it tells the writer; whoever waits for damage is told, and later calls say the same."""
    watching = asyncio.create_task(open_store.custody.until_broken())
    lose_pages(open_store.custody.path)
    lost = contents(open_store.custody.path)

    with pytest.raises(StoreDamaged, match="is damaged"):
        await open_store.list(RunFilter())
    told = await watching
    for call in (
        open_store.file(Delivery(NOON, b"{}", "test")),
        open_store.throw(Switch("freeze", True, "ada", "now", NOON)),
        open_store.claim(5),
    ):
        with pytest.raises(StoreDamaged) as refusal:
            await call
        assert str(refusal.value) == str(told)
    await open_store.close()

    assert contents(open_store.custody.path) == lost


async def test_damage_met_by_a_write_stores_nothing_of_its_group(open_store: SQLiteStore) -> None:
    """A page that is not what was written ends the transaction, for all who share it."""
    lose_pages(open_store.custody.path)

    answers = await asyncio.gather(
        open_store.file(Delivery(NOON, b"{}", "test")),
        open_store.claim(5),
        open_store.throw(Switch("freeze", True, "ada", "now", NOON)),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers] == [StoreDamaged] * 3


async def test_the_regular_check_finds_what_nobody_asked_for(open_store: SQLiteStore) -> None:
    """A page that no question has touched is found by the check, and then nothing is written any more."""
    lose_pages(open_store.custody.path)

    with pytest.raises(StoreDamaged):
        await open_store.custody.check()
    with pytest.raises(StoreDamaged):
        await open_store.file(Delivery(NOON, b"{}", "test"))


async def test_a_journal_that_is_replaced_under_the_service_is_not_written_on(
    open_store: SQLiteStore, ended: Written, tmp_path: Path
) -> None:
    """Somebody restores a backup without stopping it: what would be written is lost, so nothing is begun."""
    ended.copy(tmp_path / "restored").replace(open_store.custody.path)

    with pytest.raises(StoreDamaged, match="moved or replaced while the service had it open"):
        await open_store.throw(Switch("freeze", True, "ada", "now", NOON))
    with pytest.raises(StoreDamaged):
        await open_store.file(Delivery(NOON, b"{}", "test"))


async def test_the_frames_of_a_log_are_summed_as_sqlite_does(crashed: Written) -> None:
    """The checker's own sums agree with every sum in a log that SQLite wrote."""
    log = crashed.path.with_name("journal.db-wal").read_bytes()
    begun = _begin(log[:HEADER])
    assert begun is not None
    total = begun.total
    for start in range(HEADER, len(log), FRAME):
        frame = log[start : start + FRAME]
        total = _sum(begun.order, frame[:8] + frame[24:], total)
        assert struct.unpack(">II", frame[16:24]) == total
    assert begun.page == PAGE
