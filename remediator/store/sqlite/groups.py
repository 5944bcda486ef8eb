"""
Carry out a group of operations in one transaction.

In: operations, each a function of the connection. Out: on each ticket what it answered, or the error it met; what it
answered is on disk. One that raises takes none of its neighbours along. Starts no thread and waits for nobody.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from remediator.model.errors import StoreUnavailable

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]


def unavailable(path: Path, error: sqlite3.Error) -> StoreUnavailable:
    """The house's error for one of SQLite's, chained to it."""
    told = StoreUnavailable(
        f"the journal {path} failed: {error} ({type(error).__name__}); nothing of this call is stored. "
        "Check free space, permissions and who else has the file open, then try again."
    )
    told.__cause__ = error
    return told


class Ticket:
    """One queued operation and who waits for it."""

    def __init__(self, operation: Operation[Any], answer: asyncio.Future[Any]) -> None:
        self.operation = operation
        self.answer = answer
        self.result: Any = None
        self.error: BaseException | None = None

    def resolve(self) -> None:
        """Tell whoever still waits, on their event loop."""
        if self.answer.done():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.result)


class Groups:
    """Owns the writing connection: it alone changes and checkpoints the file, and closes it in the end."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path

    def carry_out(self, group: list[Ticket]) -> bool:
        """Whether there was a commit; without one nothing of the group is stored."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for ticket in group:
                with _Savepoint(self._db, self._path, ticket):
                    ticket.result = ticket.operation(self._db)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            for ticket in group:
                ticket.error = ticket.error or unavailable(self._path, error)
            return False
        return True

    def _undo(self) -> None:
        if not self._db.in_transaction:
            return
        try:
            self._db.execute("ROLLBACK")
        except sqlite3.Error:
            # SQLite has rolled back already; the next BEGIN tells if the connection is still of use.
            return

    def close(self) -> None:
        """Put everything into the one file."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            # A checkpoint that fails loses nothing: the next open reads the same facts from the WAL.
            return
        finally:
            self._db.close()


class _Savepoint:
    """
    One operation's own room in the group's transaction.

    Whatever it raises undoes it alone and goes to the one who waits for it. Only an error that has ended the whole
    transaction passes on, and then the group fails together.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, ticket: Ticket) -> None:
        self._db = db
        self._path = path
        self._ticket = ticket

    def __enter__(self) -> None:
        self._db.execute("SAVEPOINT operation")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self._ticket.error = self._told(error)
            if not self._db.in_transaction:
                return False
            self._db.execute("ROLLBACK TO operation")
        self._db.execute("RELEASE operation")
        return True

    def _told(self, error: BaseException) -> BaseException:
        if isinstance(error, sqlite3.Error):
            return unavailable(self._path, error)
        if isinstance(error, StopIteration):
            # A future refuses this one exception, and would leave the others of the group waiting for ever.
            told = RuntimeError("an operation on the journal raised StopIteration")
            told.__cause__ = error
            return told
        return error
