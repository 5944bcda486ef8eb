"""
The real journal on SQLite without its threads: what it is asked is done at once, on the loop of the simulation.

In: a path. Out: a `SQLiteStore` whose code is the service's own, from the opening of the file to each transaction;
only who carries it out is not. A process that is gone leaves the file as it is: what a disk would hold then is taken
aside before SQLite could tidy up.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from remediator.model.errors import StoreUnavailable
from remediator.model.seams import Clock
from remediator.store.sqlite import SQLiteStore
from remediator.store.sqlite.custody import Custody
from remediator.store.sqlite.faults import ERRORS, Condition
from remediator.store.sqlite.groups import Groups, Operation, Ticket
from remediator.store.sqlite.opening import OpenJournal, open_journal
from remediator.store.sqlite.reserve import Reserve
from remediator.store.sqlite.soundness import look

T = TypeVar("T")


class InlineWriter:
    def __init__(self, groups: Groups, path: Path) -> None:
        self._groups, self._path = groups, path
        self.is_open = True

    def submit(self, operation: Operation[T], *, is_vital: bool = False) -> asyncio.Future[T]:
        if not self.is_open:
            raise StoreUnavailable(f"the journal {self._path} is closed")
        ticket = Ticket(operation, asyncio.get_running_loop().create_future(), is_vital=is_vital)
        self._groups.carry_out([ticket])
        if ticket.error is not None:
            ticket.answer.set_exception(ticket.error)
        else:
            ticket.answer.set_result(ticket.result)
        self._groups.tidy()
        return ticket.answer

    async def do(self, operation: Operation[T], *, is_vital: bool = False) -> T:
        return await self.submit(operation, is_vital=is_vital)

    async def close(self) -> None:
        if self.is_open:
            self._groups.close()
        self.is_open = False


class InlineReader:
    def __init__(self, path: Path, condition: Condition) -> None:
        self._condition = condition
        self.db = look(path)

    async def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        try:
            self.db.execute("BEGIN")
            return question(self.db)
        except ERRORS as error:
            raise self._condition.meet(error) from error
        finally:
            if self.db.in_transaction:
                self.db.rollback()

    async def close(self) -> None:
        self.db.close()


class Lives:
    """One file that one process after the other opens."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._number = 0
        self.path = folder / "journal-0.db"
        self._opened: OpenJournal | None = None
        self._hands: tuple[InlineWriter, InlineReader] | None = None

    def open(self) -> SQLiteStore:
        """As the next process does."""
        self.vanish()
        opened, condition = open_journal(self.path), Condition(self.path)
        groups = Groups(opened.db, condition, Reserve(self.path, 0))
        reader, writer = InlineReader(self.path, condition), InlineWriter(groups, self.path)
        self._opened, self._hands = opened, (writer, reader)
        return SQLiteStore(self._clock, Custody(opened, reader, groups), writer)

    def look(self, question: str) -> list[Any]:
        """From outside, whether or not a process has it open."""
        if self._hands is not None:
            return self._hands[1].db.execute(question).fetchall()
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as db:
            return db.execute(question).fetchall()

    def vanish(self) -> None:
        """The process is gone: its files stay as they are, and its connections and its lock are no more."""
        if self._opened is None or self._hands is None:
            return
        left, self._number = self.path, self._number + 1
        self.path = self._folder / f"journal-{self._number}.db"
        for ending in ("", "-wal"):
            if (was := left.with_name(left.name + ending)).exists():
                shutil.copyfile(was, self.path.with_name(self.path.name + ending))
        writer, reader = self._hands
        writer.is_open = False
        reader.db.close()
        self._opened.db.close()
        self._opened.unlock()
        self._opened = self._hands = None
