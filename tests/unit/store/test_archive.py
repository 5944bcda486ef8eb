"""Runs that ended long ago leave the journal by way of a file, and are never lost between the two."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import History, RunFilter
from remediator.model.runs import RunEvent, RunState
from remediator.model.verdicts import Reason
from remediator.store.archive import CHUNK, Archive
from remediator.store.sqlite import SQLiteStore
from remediator.web.rendering import whole_run_json
from tests.unit.model.made import make_run
from tests.unit.store.audited import HOUR, LATER, NOON, Life, SteppingClock

ROOT = Path(__file__).parents[3]


def as_shown(history: History) -> dict[str, object]:
    return whole_run_json(history.run, history.steps, history.traces, history.signals)


@dataclass
class House:
    """A journal and its archive."""

    path: Path
    folder: Path
    store: SQLiteStore
    life: Life

    @property
    def archive(self) -> Archive:
        return Archive(self.folder, as_shown)

    def lines(self, month: str = "2026-11") -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / f"runs-{month}.jsonl").read_text().splitlines() if line]

    async def kept(self) -> set[str]:
        return {run.id for run in await self.store.list(RunFilter(limit=100_000))}

    async def killed(self, at: str) -> None:
        """Another process archives and dies; then this one has the journal again."""
        await self.store.close()
        script = Path(__file__).parent / "killed_archivist.py"
        command = [sys.executable, str(script), str(self.path), str(self.folder), at]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = await asyncio.to_thread(subprocess.run, command, env=environment, timeout=60, check=False)
        assert done.returncode == -9
        self.store = await SQLiteStore.open(self.path, SteppingClock(LATER))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    path, clock = tmp_path / "journal.db", SteppingClock()
    store = await SQLiteStore.open(path, clock)
    made = House(path, tmp_path / "archive", store, Life(store, clock))
    yield made
    await made.store.close()


async def test_a_run_is_in_the_archive_as_the_api_shows_it_and_no_longer_in_the_journal(house: House) -> None:
    """Plan, diagnosis, steps, history and signals, a line each, in a file that only the service's user may read."""
    await house.life.whole("old")
    shown = [as_shown(history) for history in await house.store.ended(LATER, 10)]
    await house.life.admitted("live")

    assert await house.archive.retire(house.store, LATER) == 1

    assert house.lines() == json.loads(json.dumps(shown))
    assert [step["verb"] for step in house.lines()[0]["steps"]] == ["pod.delete", "pod.delete"]
    assert await house.kept() == {"live"}
    assert stat.S_IMODE((house.folder / "runs-2026-11.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE(house.folder.stat().st_mode) == 0o700


async def test_what_is_not_old_enough_is_neither_archived_nor_forgotten(house: House) -> None:
    """And no file is made for nothing."""
    await house.life.whole("new")

    assert await house.archive.retire(house.store, NOON) == 0

    assert (await house.kept(), house.folder.exists()) == ({"new"}, False)


async def test_a_run_lies_in_the_month_it_ended_in(house: House) -> None:
    """Whatever the month is now."""
    for days in (0, 30, 60):
        house.life.clock.time = NOON + timedelta(days=days)
        await house.life.whole(f"after-{days}")

    await house.archive.retire(house.store, LATER)

    months = {month: [line["id"] for line in house.lines(month)] for month in ("2026-11", "2026-12", "2027-01")}
    assert months == {"2026-11": ["after-0"], "2026-12": ["after-30"], "2027-01": ["after-60"]}


async def test_more_runs_than_one_transaction_takes_are_all_archived(house: House) -> None:
    """Chunk after chunk, each on disk before it is forgotten."""
    for n in range(CHUNK + 1):
        await house.life.moved(await house.life.admitted(f"run-{n}"), RunEvent.REFUSED, Reason.RESOLVED)

    assert await house.archive.retire(house.store, LATER) == CHUNK + 1

    assert len(house.lines()) == CHUNK + 1
    assert await house.kept() == set()


async def test_a_process_that_dies_between_export_and_forgetting_loses_no_run(house: House) -> None:
    """It is exported twice, which costs a line, and forgotten once."""
    await house.life.whole("old")

    await house.killed("before")
    assert (await house.kept(), house.folder.exists()) == ({"old"}, False)
    await house.killed("between")
    assert (await house.kept(), len(house.lines())) == ({"old"}, 1)
    await house.archive.retire(house.store, LATER)

    first, second = house.lines()
    assert first == second
    assert await house.kept() == set()


@pytest.mark.parametrize("torn", [b'{"id": "torn', b"\xff", b'{"id": "whole but without its end of line"}'])
async def test_a_torn_line_costs_no_other(house: House, torn: bytes) -> None:
    """What an earlier crash left is ended, and the next run begins on a line of its own."""
    house.folder.mkdir()
    (house.folder / "runs-2026-11.jsonl").write_bytes(b'{"id": "before"}\n' + torn)
    await house.life.whole("old")

    await house.archive.retire(house.store, LATER)

    before, left, run, end = (house.folder / "runs-2026-11.jsonl").read_bytes().split(b"\n")
    assert (before, left, json.loads(run)["id"], end) == (b'{"id": "before"}', torn, "old", b"")


@pytest.mark.parametrize("obstacle", ["a file for a folder", "a folder for a file", "a link"])
async def test_what_cannot_be_archived_is_not_forgotten(house: House, obstacle: str) -> None:
    """The journal keeps it, the error says where it stuck, and nothing is written through a link."""
    await house.life.whole("old")
    name = house.folder / "runs-2026-11.jsonl"
    if obstacle == "a file for a folder":
        house.folder.write_text("")
    elif obstacle == "a folder for a file":
        name.mkdir(parents=True)
    else:
        house.folder.mkdir()
        name.symlink_to(house.folder.parent / "elsewhere")

    with pytest.raises(StoreUnavailable, match="until then the journal keeps them"):
        await house.archive.retire(house.store, LATER)

    assert await house.kept() == {"old"}
    assert not (house.folder.parent / "elsewhere").exists()


async def test_a_run_that_cannot_be_read_keeps_no_other_in_the_journal(house: House) -> None:
    """It stays where it is, for a person; the others go."""
    await house.life.whole("broken")
    await house.life.whole("old")
    await house.store.close()
    with closing(sqlite3.connect(house.path)) as db, db:
        db.execute("UPDATE steps SET body = body || ' ' WHERE run_id = 'broken' AND seq = 0")
    house.store = await SQLiteStore.open(house.path, SteppingClock(LATER))

    assert await house.archive.retire(house.store, LATER) == 1

    assert ([line["id"] for line in house.lines()], await house.kept()) == (["old"], {"broken"})


async def test_a_journal_that_forgets_nothing_is_not_exported_for_ever(tmp_path: Path) -> None:
    """Another replica was faster: one export more, and an end."""

    class Stubborn:
        async def ended(self, before: object, limit: int) -> Sequence[History]:
            return [History(run, (), (), ())]

        async def forget(self, run_ids: Sequence[str]) -> int:
            return 0

    run = replace(make_run(), state=RunState.REFUSED, finished_at=NOON + HOUR)

    assert await Archive(tmp_path, as_shown).retire(Stubborn(), LATER) == 0

    assert len((tmp_path / "runs-2026-11.jsonl").read_text().splitlines()) == 1
