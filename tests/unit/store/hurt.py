"""
A journal with a known history, and ways to hurt a copy of it.

`written` files, works on and ends some runs, and remembers what every table held after each commit. Part of that
history is in the file itself, the rest in its log, as a crash leaves it.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

from remediator.model.alerts import Alert, AlertStatus
from remediator.model.errors import DamagedRecord
from remediator.model.ledger import Candidate, Delivery, Signal, SignalName, StartRequest, Switch, Trace
from remediator.model.objects import POD, ObjectRef
from remediator.model.plans import Effect
from remediator.model.rules import Limit
from remediator.model.runs import Run, RunState, StepRecord, StepState
from remediator.model.verdicts import Allow
from remediator.store.auditing import BEGINNING, digest
from remediator.store.rows import run_from, step_from, unsealed
from remediator.store.sqlite import SQLiteStore

NOON = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMIT = Limit(1000, HOUR)
SEALED = ("runs", "steps", "traces", "switches", "signals")
UNUSED = {
    "deliveries": ("body", "sender"),
    "runs": ("version", "tries", "due_at"),
    "steps": ("run_id", "seq", "attempt"),
}
"""
Columns that nothing decides on.

Bodies of deliveries are not read. A version is compared with itself alone, and
tries make a run a suspect at worst. When a live run is due, and which step of a live run a row is, must be right, and
is looked at apart; of an ended run nobody asks.
"""
LIVE = {
    "live runs": "SELECT id, due_at FROM runs WHERE is_live = 1",
    "steps of live runs": "SELECT run_id, seq, attempt FROM steps JOIN runs ON runs.id = run_id WHERE is_live = 1",
}

Row = tuple[Any, ...]
Tables = dict[str, list[Row]]
BROKEN = "what its checksum does not fit"


class StandingClock:
    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def tables(db: sqlite3.Connection) -> Tables:
    """What every table holds, row by row as a scan finds it; what does not fit its checksum is one word."""
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    held = {name: _rows(db, name) for name in names if not name.startswith("sqlite_")}
    held["audit"] = _links(held["audit"])
    held |= {what: sorted(db.execute(query)) for what, query in LIVE.items()}
    return held


def _rows(db: sqlite3.Connection, name: str) -> list[Row]:
    columns = [column for _, column, *_ in db.execute(f"PRAGMA table_info({name})")]
    columns = [column for column in columns if column not in UNUSED.get(name, ())]
    rows = db.execute(f"SELECT {', '.join(columns)} FROM {name} NOT INDEXED").fetchall()
    if name not in SEALED:
        return rows
    body = columns.index("body")
    return [row if _fits(name, row[body]) else (*row[:body], BROKEN, *row[body + 1 :]) for row in rows]


def _fits(name: str, body: str) -> bool:
    try:
        unsealed(name, body)
    except DamagedRecord:
        return False
    return True


def _links(rows: list[Row]) -> list[Row]:
    before, shown = BEGINNING, []
    for seq, at, kind, body, link in rows:
        shown.append((seq, at, kind, body, link) if link == digest(before, seq, at, kind, body) else (BROKEN,))
        before = link
    return shown


@dataclass(frozen=True)
class Written:
    """A journal as a crash left it, and what it held after each commit: the last is what it holds."""

    path: Path
    history: list[Tables]
    in_file: int
    """How many of the commits are in the file itself."""

    @cached_property
    def runs(self) -> set[str]:
        """Every run as any commit left it, as text."""
        return {repr(run_from(body)) for body in self._bodies("runs")}

    @cached_property
    def steps(self) -> set[str]:
        return {repr(step_from(body)) for body in self._bodies("steps")}

    def _bodies(self, table: str) -> set[str]:
        return {value for held in self.history for row in held[table] for value in row if str(value).startswith("{")}

    def judge(self, held: Tables) -> str:
        """Whether that is the whole history, what some commit left, or the whole with broken values marked as such."""
        if held == self.history[-1]:
            return "whole"
        if held in self.history[self.in_file - 1 :]:
            return "as some commit left it"
        is_same = all(_is_told(found, due) for found, due in _pairs(held, self.history[-1]))
        return "whole, and told what is broken" if is_same else "WRONG"

    def copy(self, folder: Path) -> Path:
        """The same journal elsewhere, with its log, to be hurt."""
        folder.mkdir(parents=True)
        for name in ("journal.db", "journal.db-wal"):
            if (found := self.path.with_name(name)).exists():
                shutil.copyfile(found, folder / name)
        return folder / "journal.db"


def _pairs(held: Tables, due: Tables) -> Iterator[tuple[Row, Row]]:
    for name in held.keys() | due.keys():
        yield from zip_longest(held.get(name, []), due.get(name, []), fillvalue=("no row",))


def _is_told(found: Row, due: Row) -> bool:
    return found == (BROKEN,) or found == tuple(
        BROKEN if value == BROKEN else other for value, other in zip_longest(found, due)
    )


async def write(folder: Path) -> tuple[Written, Written]:
    """As a crash left it, and the same after an orderly end: all in the one file."""
    live = folder / "live" / "journal.db"
    store = await SQLiteStore.open(live, StandingClock())
    history: list[Tables] = []

    async def remember(call: Awaitable[Any]) -> Any:
        answer = await call
        history.append(await store._readers.ask(tables))
        return answer

    try:
        for number in range(6):
            await _one_life(store, number, remember)
        await put_away(store)
        in_file = len(history)
        for number in range(6, 8):
            await _one_life(store, number, remember)
            await remember(store.forget([f"run-{number - 6}"]))
        await remember(store.claim(2))
        crashed = Written(live, history, in_file).copy(folder / "crashed")
    finally:
        await store.close()
    return Written(crashed, history, in_file), Written(live, history, len(history))


async def put_away(store: SQLiteStore) -> None:
    """The log goes into the file, as it does when it is long."""
    store.custody.groups._checkpoints._at = 0
    await store._writer.do(lambda _: None)
    await store._writer.do(lambda _: None)
    store.custody.groups._checkpoints._at = 1 << 30


async def _one_life(store: SQLiteStore, number: int, remember: Callable[[Awaitable[Any]], Awaitable[Any]]) -> None:
    alert = Alert(AlertStatus.FIRING, {"alertname": "Down", "n": str(number)}, {}, "2025-03-01T11:00:00Z", "")
    resolved = replace(alert, status=AlertStatus.RESOLVED)
    run_id = f"run-{number}"
    target = ObjectRef(POD, f"etcd-{number}", "milvus", f"uid-{number}")
    await remember(store.file(Delivery(NOON, b"{}" * 40, "10.0.0.1", (Candidate(run_id, "heal", "rev", alert),))))
    run: Run = replace(await found(store, run_id), target=target, detail="x" * 700)
    await remember(store.signal(Signal(run_id, SignalName.APPROVE, "plan", "ada", f"for {number}", NOON)))
    run = await found(store, run_id)
    run = await remember(store.save(run, Trace(NOON, "pending", "planned", "pending", "", f"seen {number}")))
    await remember(store.start(StartRequest(run, target.key, "milvus", LIMIT, LIMIT, LIMIT, LIMIT), lambda _: Allow()))
    run = await remember(store.save(replace(run, state=RunState.RUNNING, started_at=NOON)))
    for seq in range(2):
        step = StepRecord(run_id, seq, 1, "pod.delete", Effect.DESTRUCTIVE, StepState.INTENT, {}, NOON, NOON + HOUR)
        run = await remember(store.intend(run, step))
        if number % 4 == 3 and seq == 1:
            return  # still under way
        outcome = {"state": StepState.DONE, "by_probe": False, "changed": True, "detail": "gone", "at": NOON}
        run = await remember(store.settle(run, step, **outcome))
    await remember(store.file(Delivery(NOON, b"{}", "10.0.0.1", (), (resolved,))))
    run = await found(store, run_id)
    ended = Trace(NOON, "verifying", "cured", "succeeded", "cured", "")
    await remember(store.save(replace(run, state=RunState.SUCCEEDED, finished_at=NOON), ended))
    await remember(store.throw(Switch("freeze", number % 2 == 0, "ada", f"for {number}", NOON)))


async def found(store: SQLiteStore, run_id: str) -> Run:
    run = await store.get(run_id)
    assert run is not None
    return run


def flip(path: Path, offset: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


def offsets(seed: int, size: int, count: int) -> Sequence[tuple[int, int]]:
    """Where to flip which bit: drawn from the seed."""
    dice = random.Random(seed)
    return [(dice.randrange(size), dice.randrange(8)) for _ in range(count)]


def remove(journal: Path) -> None:
    """A thousand copies are many bytes."""
    shutil.rmtree(journal.parent)
