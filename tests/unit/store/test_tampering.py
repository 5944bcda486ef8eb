"""A thousand records of a real journal's audit trail, and somebody who can write the file."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from remediator.model.ledger import AuditRecord, Head
from remediator.store import auditing
from remediator.store.sqlite import SQLiteStore
from remediator.store.sqlite.inspecting import Inspection, inspection, lenient
from remediator.store.verifying import Trail
from tests.unit.store.audited import Life, SteppingClock, attacked

RECORDS = 1000
RECORD = "seq, at, kind, body, hash"


Change = Callable[[sqlite3.Connection], object]


@dataclass
class Victim:
    """A journal that is attacked again and again, each time as it was at first."""

    db: sqlite3.Connection
    path: Path
    head: Head

    def flaws(self, change: Change, *heads: Head) -> list[str]:
        """The first one is enough."""
        self.db.execute("SAVEPOINT untouched")
        try:
            change(self.db)
            trail = Trail(heads)
            for page in Inspection(self.db, self.path).pages():
                for flaw in trail.hear(page):
                    return [flaw]
            return list(trail.end())
        finally:
            self.db.execute("ROLLBACK TO untouched")
            self.db.execute("RELEASE untouched")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred runs from alert to cure, ten records each, and the service stopped."""
    path = tmp_path_factory.mktemp("whole") / "journal.db"

    async def live() -> None:
        clock = SteppingClock()
        store = await SQLiteStore.open(path, clock)
        life = Life(store, clock)
        await asyncio.gather(*(life.whole(f"run-{n}") for n in range(RECORDS // 10)))
        await store.close()

    asyncio.run(live())
    return path


@pytest.fixture
def victim(whole: Path, tmp_path: Path) -> Iterator[Victim]:
    with inspection(whole) as journal:
        last = [record for page in journal.pages() for record in page][-1]
    assert last.seq == RECORDS
    path = tmp_path / "journal.db"
    shutil.copyfile(whole, path)
    with attacked(path) as db:
        db.text_factory = lenient
        yield Victim(db, path, Head(last.seq, last.hash))


def each(statement: str) -> Callable[[int], Change]:
    return lambda seq: lambda db: db.execute(statement, {"seq": seq})


def test_what_nobody_touched_is_good(victim: Victim) -> None:
    """So that a flaw means something."""
    assert victim.flaws(lambda db: None, victim.head) == []


CHANGES = {
    0: each("UPDATE audit SET body = replace(body, '\"', '\"\"') WHERE seq = :seq"),
    1: each("UPDATE audit SET at = '2026-11-20T12:00:00.000001+00:00' WHERE seq = :seq"),
    2: each("UPDATE audit SET kind = kind || 's' WHERE seq = :seq"),
    3: each("UPDATE audit SET hash = substr(hash, 2) || substr(hash, 1, 1) WHERE seq = :seq"),
    4: each("UPDATE audit SET seq = seq + 100000 WHERE seq = :seq"),
    5: each("UPDATE audit SET body = cast(x'ff00fe' AS TEXT) WHERE seq = :seq"),
}


def test_every_changed_record_is_found_and_named(victim: Victim) -> None:
    """Its text, its time, its kind, its hash, its number, or bytes that are no text: each of a thousand, one by one."""
    missed = []
    for seq in range(1, RECORDS + 1):
        found = victim.flaws(CHANGES[seq % len(CHANGES)](seq), victim.head)
        if not found or not any(f"record {n}" in found[0] for n in (seq, seq - 1, seq + 1)):
            missed.append((seq, found))
    assert missed == []


def test_every_removed_record_is_found(victim: Victim) -> None:
    """The place is named by its neighbours; the last one only because its head was told."""
    missed = []
    for seq in range(1, RECORDS + 1):
        (found,) = victim.flaws(each("DELETE FROM audit WHERE seq = :seq")(seq), victim.head)
        if f"record {seq}" not in found and f"record {seq + 1}" not in found:
            missed.append((seq, found))
    assert missed == []


def swap(seq: int) -> Change:
    other = seq % RECORDS + 1

    def change(db: sqlite3.Connection) -> None:
        for was, becomes in ((seq, -1), (other, seq), (-1, other)):
            db.execute("UPDATE audit SET seq = ? WHERE seq = ?", (becomes, was))

    return change


def test_every_record_in_another_place_is_found(victim: Victim) -> None:
    """Each changes places with the next, the last with the first."""
    assert [seq for seq in range(1, RECORDS + 1) if not victim.flaws(swap(seq), victim.head)] == []


def insert(seq: int) -> Change:
    """Somebody who knows how a chain is made puts one record after `seq` and moves the others on."""

    def change(db: sqlite3.Connection) -> None:
        before = AuditRecord(*db.execute(f"SELECT {RECORD} FROM audit WHERE seq = ?", (seq,)).fetchone())
        body = '{"name":"freeze","on":false,"by":"ada","why":"never happened"}'
        digest = auditing.digest(before.hash, seq + 1, before.at, "switch", body)
        db.execute("UPDATE audit SET seq = -seq - 1 WHERE seq > ?", (seq,))
        db.execute("UPDATE audit SET seq = -seq WHERE seq < 0")
        db.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?)", (seq + 1, before.at, "switch", body, digest))

    return change


def test_every_added_record_is_found(victim: Victim) -> None:
    """Well made as it is, the next one was not chained to it. At the end only a row that is missing tells."""
    missed = [seq for seq in range(1, RECORDS) if not victim.flaws(insert(seq), victim.head)]

    assert missed == []
    assert victim.flaws(insert(RECORDS), victim.head) == []


def test_every_cut_is_found_by_a_head_and_by_nothing_else_in_the_chain(victim: Victim) -> None:
    """What is left is a perfect chain: without a head that was told elsewhere nobody can know."""
    silent, told = [], []
    for seq in range(2, RECORDS + 1):
        cut = each("DELETE FROM audit WHERE seq >= :seq")(seq)
        silent += [seq] if victim.flaws(cut) == [] else []
        told += victim.flaws(cut, victim.head)
    assert len(silent) == RECORDS - 1
    assert told == [
        f"record {RECORDS} was told as head, and the trail ends at record {last}: {RECORDS - last} are cut off"
        for last in range(1, RECORDS)
    ]
    assert victim.flaws(each("DELETE FROM audit")(0)) == ["the trail has no record"]
