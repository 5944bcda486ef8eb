"""
The one thread that writes, with group commit.

In: operations, each a function of the connection. Out: what each answered, once its transaction is on disk. An
operation runs whole or not at all, whoever stops waiting for it; one that raises takes none of its neighbours along.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from remediator.model.errors import StoreUnavailable
from remediator.model.seams import Clock

T = TypeVar("T")
Told = Callable[[float], None]
"""Told, on the event loop, how many seconds each transaction took until it was on disk."""
Operation = Callable[[sqlite3.Connection], T]
QUEUE_LIMIT = 5_000


def unavailable(path: Path, error: sqlite3.Error) -> StoreUnavailable:
    """The house's error for one of SQLite's, chained to it."""
    told = StoreUnavailable(
        f"the journal {path} failed: {error} ({type(error).__name__}); nothing of this call is stored. "
        "Check free space, permissions and who else has the file open, then try again."
    )
    told.__cause__ = error
    return told


class Writer:
    """Owns the writing connection: it alone changes and checkpoints the file, and closes it in the end."""

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        queue_limit: int = QUEUE_LIMIT,
        *,
        clock: Clock,
        told_commit: Told | None = None,
    ) -> None:
        self._db = db
        self._path = path
        self._limit = queue_limit
        self._clock = clock
        self._told_commit = told_commit
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Ticket] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=f"journal {path.name}", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue `operation`; the answer comes after the commit. Raises StoreUnavailable when the queue is full."""
        ticket = _Ticket(operation, self._loop.create_future())
        with self._wake:
            if self._closing:
                raise StoreUnavailable(f"the journal {self._path} is closed")
            if len(self._queue) >= self._limit:
                raise StoreUnavailable(f"{self._limit} calls wait for the journal {self._path}; try again later")
            self._queue.append(ticket)
            self._wake.notify()
        return ticket.answer

    async def do(self, operation: Operation[T]) -> T:
        """`submit` and wait. Who is cancelled meanwhile stops waiting; the operation is carried out all the same."""
        return await asyncio.shield(self.submit(operation))

    async def close(self) -> None:
        """Carry out what is queued, checkpoint, close the connection and end the thread. May be called twice."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    # --- in the thread -------------------------------------------------------------------------------------

    def _work(self) -> None:
        while group := self._next_group():
            began = self._clock.monotonic()
            is_stored = self._commit(group)
            self._answer(group, self._clock.monotonic() - began if is_stored else None)
        self._close_connection()

    def _next_group(self) -> list[_Ticket]:
        """Everything queued, waiting for the first; empty once closing and drained."""
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._closing)
            group = list(self._queue)
            self._queue.clear()
            return group

    def _commit(self, group: list[_Ticket]) -> bool:
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

    def _answer(self, group: list[_Ticket], seconds: float | None) -> None:
        try:
            if self._told_commit is not None and seconds is not None:
                self._loop.call_soon_threadsafe(self._told_commit, seconds)
            self._loop.call_soon_threadsafe(_resolve, group)
        except RuntimeError:
            # The loop is closed: nobody waits any more, and what was committed stays committed.
            return

    def _close_connection(self) -> None:
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            # A checkpoint that fails loses nothing: the next open reads the same facts from the WAL.
            return
        finally:
            self._db.close()


class _Ticket:
    """One queued operation and who waits for it."""

    def __init__(self, operation: Operation[Any], answer: asyncio.Future[Any]) -> None:
        self.operation = operation
        self.answer = answer
        self.result: Any = None
        self.error: BaseException | None = None


class _Savepoint:
    """
    One operation's own room in the group's transaction.

    Whatever it raises undoes it alone and goes to the one who waits for it. Only an error that has ended the whole
    transaction passes on, and then the group fails together.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, ticket: _Ticket) -> None:
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


def _resolve(group: list[_Ticket]) -> None:
    for ticket in group:
        if ticket.answer.done():
            continue
        if ticket.error is not None:
            ticket.answer.set_exception(ticket.error)
        else:
            ticket.answer.set_result(ticket.result)
