"""
The history of a journal that must not be built upon.

In: the questions of the API. Out: what can be read and proven of it; every change and every delivery is refused with
the reason. It opens nothing for writing, repairs nothing, and leaves the files as they were found, log included.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from remediator.model.errors import StoreDamaged
from remediator.model.ledger import AuditRecord, Delivery, RunFilter, Signal, Switch, Trace
from remediator.model.runs import Run, StepRecord
from remediator.store.rows import run_from
from remediator.store.sqlite import gleaning, reading
from remediator.store.sqlite.faults import ERRORS
from remediator.store.sqlite.opening import lock_journal
from remediator.store.sqlite.soundness import lenient, look
from remediator.store.sqlite.wal import laid_over

T = TypeVar("T")


@dataclass(frozen=True)
class _Entry:
    """What is remembered of a run that can be read."""

    filed: int
    age: tuple[str, int]
    rule: str
    state: str


@dataclass(frozen=True)
class _Catalogue:
    runs: dict[str, _Entry]
    switches: tuple[Switch, ...] | None
    """None: one that cannot be read may have been thrown later than those that can."""
    unreadable: int


MOST_IN_MEMORY = 256 * 1024 * 1024
NOTHING = _Catalogue({}, None, 1)


class SalvagedStore:
    """What is left of a journal. Made by `open`; `why` says what is wrong with it."""

    def __init__(self, path: Path, why: StoreDamaged, *, alone: bool) -> None:
        self.why = why
        self._alone = alone
        self._path = path
        self._lock = _lock(path) if alone else None
        self._db: sqlite3.Connection | None = None
        self._catalogue = NOTHING
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"salvage {path.name}")

    @classmethod
    async def open(cls, path: Path, why: StoreDamaged, *, alone: bool = True) -> SalvagedStore:
        """
        What can be read at `path`, if only nothing.

        `alone` keeps other processes out, where the directory lets it: raises StoreUnavailable where one is in.
        """
        store = cls(path, why, alone=alone)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(store.close)
            await store._ask(store._take_stock)
            undo.pop_all()
        return store

    @property
    def unreadable(self) -> int:
        """At least so many rows cannot be read."""
        return self._catalogue.unreadable

    # --- questions -----------------------------------------------------------------------------------------

    async def get(self, run_id: str) -> Run | None:
        entry = self._catalogue.runs.get(run_id)
        found = await self._ask(lambda: self._run(entry)) if entry else None
        if found is None and self.unreadable:
            raise StoreDamaged(f"run {run_id} cannot be read, or was never there: {self.why}")
        return found

    async def list(self, which: RunFilter) -> Sequence[Run]:
        """Newest first."""
        states = {str(state) for state in which.states}
        fitting = [
            entry
            for entry in self._catalogue.runs.values()
            if (not states or entry.state in states) and (not which.rule or entry.rule == which.rule)
        ]
        fitting.sort(key=lambda entry: entry.age, reverse=True)
        asked = fitting[: max(0, which.limit)]
        return await self._ask(lambda: [run for entry in asked if (run := self._run(entry)) is not None])

    async def steps(self, run_id: str) -> Sequence[StepRecord]:
        return await self._ask(lambda: gleaning.steps(self._db, run_id) if self._db else [])

    async def traces(self, run_id: str) -> Sequence[Trace]:
        return await self._ask(lambda: gleaning.traces(self._db, run_id) if self._db else [])

    async def signals(self, run_id: str) -> Sequence[Signal]:
        return await self._ask(lambda: gleaning.signals(self._db, run_id) if self._db else [])

    async def audit(self, after: int, limit: int) -> Sequence[AuditRecord]:
        """As far as it can be read; a verifier names what is missing."""
        return await self._ask(lambda: self._audit(after, limit))

    async def audit_head(self) -> AuditRecord | None:
        raise StoreDamaged(f"what cannot be read may have been the newest record: {self.why}")

    async def switches(self) -> Sequence[Switch]:
        if self._catalogue.switches is None:
            raise StoreDamaged(f"a record of the switches cannot be read, so how they stand is unknown: {self.why}")
        return self._catalogue.switches

    async def switch(self, name: str) -> Switch | None:
        return next((switch for switch in await self.switches() if switch.name == name), None)

    # --- what is refused -----------------------------------------------------------------------------------

    async def signal(self, signal: Signal) -> NoReturn:
        raise StoreDamaged(str(self.why))

    async def throw(self, switch: Switch) -> NoReturn:
        raise StoreDamaged(str(self.why))

    async def file(self, delivery: Delivery) -> NoReturn:
        raise StoreDamaged(str(self.why))

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        if self._db is not None:
            self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- in the thread -------------------------------------------------------------------------------------

    async def _ask(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)

    def _take_stock(self) -> None:
        self._db = _connection(self._path, alone=self._alone)
        if self._db is not None:
            self._catalogue = _catalogue(self._db)

    def _audit(self, after: int, limit: int) -> Sequence[AuditRecord]:
        try:
            return reading.audit(self._db, after, limit) if self._db else []
        except ERRORS as error:
            raise StoreDamaged(f"the audit trail cannot be read after record {after}: {error}") from error

    def _run(self, entry: _Entry) -> Run | None:
        return gleaning.run(self._db, entry.filed) if self._db else None


def _lock(path: Path) -> int | None:
    """None where the directory cannot be written: then nobody else can have the journal for writing either."""
    try:
        return lock_journal(path)
    except OSError:
        return None


def _connection(path: Path, *, alone: bool) -> sqlite3.Connection | None:
    """
    Its log included, if that can be read; None where not even the first page can.

    The file's own bytes are read only `alone`: to open and close a file takes from a process the locks that SQLite has
    on it.
    """
    for make in (look, _from_memory, _as_it_lies) if alone else (look,):
        with contextlib.ExitStack() as undo:
            try:
                if not path.stat().st_size:
                    return None
                db = make(path)
                undo.callback(db.close)
                # Despite its name it writes nothing: a table is read even where the text of another one is broken.
                db.execute("PRAGMA writable_schema = ON")
                db.execute("PRAGMA schema_version").fetchone()
            except (*ERRORS, OSError):
                continue
            undo.pop_all()
            return db
    return None


def _from_memory(path: Path) -> sqlite3.Connection:
    """Where SQLite cannot make a log's index: the log is laid over the file here."""
    if path.stat().st_size > MOST_IN_MEMORY:
        raise OSError(f"{path} is too large to be read into memory")
    image = laid_over(path)
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    db.text_factory = lenient
    db.deserialize(image)
    return db


def _as_it_lies(path: Path) -> sqlite3.Connection:
    return look(path, as_it_lies=True)


def _catalogue(db: sqlite3.Connection) -> _Catalogue:
    runs: dict[str, _Entry] = {}
    thrown: dict[gleaning.Key, str] = {}

    def enter(key: gleaning.Key, body: str) -> None:
        run, filed = run_from(body), key[0]
        runs[run.id] = _Entry(filed, (run.created_at.isoformat(), filed), run.rule, str(run.state))

    lost_switches = gleaning.glean(db, gleaning.SWITCHES, thrown.__setitem__)
    lost = [gleaning.glean(db, gleaning.RUNS, enter), lost_switches]
    lost += [gleaning.glean(db, shelf) for shelf in (gleaning.STEPS, gleaning.TRACES, gleaning.SIGNALS)]
    return _Catalogue(runs, None if lost_switches else tuple(gleaning.latest(thrown)), sum(lost))
