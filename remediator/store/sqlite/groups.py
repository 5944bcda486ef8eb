"""
Carry out a group of operations in one transaction, and keep the journal's log and its reserve in order.

In: operations, each a function of the connection, in the writing thread. Out: on each ticket what it answered, or the
error it met; what it answered is on disk. One that raises takes none of its neighbours along. Once damage was met
nothing is written any more; on a full disk only what is vital is.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from remediator.model.errors import StoreUnavailable
from remediator.store.sqlite.checkpoints import AGAIN_SECONDS, Checkpoints
from remediator.store.sqlite.faults import ERRORS, Condition, is_damage, is_no_room
from remediator.store.sqlite.reserve import Reserve

T = TypeVar("T")
ROOM_SECONDS = 1.0
"""How often a disk that was full is asked for room."""
Operation = Callable[[sqlite3.Connection], T]


class Ticket:
    """One queued operation and who waits for it. A vital one may use what was set aside for a full disk."""

    def __init__(self, operation: Operation[Any], answer: asyncio.Future[Any], *, is_vital: bool) -> None:
        self.operation = operation
        self.answer = answer
        self.is_vital = is_vital
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def found_no_room(self) -> bool:
        return self.error is not None and is_no_room(self.error.__cause__)


class Groups:
    """Owns the writing connection. Belongs to one thread."""

    def __init__(self, db: sqlite3.Connection, condition: Condition, reserve: Reserve) -> None:
        self._db = db
        self.condition = condition
        self.reserve = reserve
        self._checkpoints = Checkpoints(db, condition.path)

    def carry_out(self, group: list[Ticket]) -> bool:
        """Whether there was a commit; without one nothing of the group is stored."""
        admitted = [ticket for ticket in group if self._is_admitted(ticket)]
        is_stored = self._commit(admitted)
        without_room = [ticket for ticket in admitted if ticket.found_no_room]
        if without_room:
            self.reserve.spend()
            is_stored |= self._commit([ticket for ticket in without_room if ticket.is_vital])
        return is_stored

    def _is_admitted(self, ticket: Ticket) -> bool:
        try:
            self.condition.check()
            self._check_room(ticket)
        except StoreUnavailable as error:
            ticket.error = error
        return ticket.error is None

    def _check_room(self, ticket: Ticket) -> None:
        if self.reserve.is_spent and not ticket.is_vital and not self.reserve.lay_by():
            raise StoreUnavailable(
                f"the disk of the journal {self.condition.path} is full: nothing new begins. "
                "Make room there; the service then goes on by itself."
            )

    def _commit(self, group: list[Ticket]) -> bool:
        if not group:
            return False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for ticket in group:
                ticket.error = None
                with _Savepoint(self._db, self.condition, ticket):
                    ticket.result = ticket.operation(self._db)
            self._db.execute("COMMIT")
        except ERRORS as error:
            self._undo()
            for ticket in group:
                ticket.error = ticket.error or self.condition.meet(error)
            return False
        return True

    def _undo(self) -> None:
        if not self._db.in_transaction:
            return
        try:
            self._db.execute("ROLLBACK")
        except ERRORS:
            # SQLite has rolled back already; the next BEGIN tells if the connection is still of use.
            return

    @property
    def patience(self) -> float | None:
        """Seconds after which `tidy` has something to do again, whether or not a group comes."""
        if self.condition.is_broken:
            return None
        if self._checkpoints.is_half_done:
            return AGAIN_SECONDS
        return ROOM_SECONDS if self.reserve.is_spent else None

    def tidy(self) -> None:
        """Between groups: put the log away when it is long, and lay by what was spent."""
        if self.condition.is_broken:
            return
        self.reserve.lay_by()
        if not self._checkpoints.is_due:
            return
        try:
            self._checkpoints.make()
        except ERRORS as error:
            self.condition.meet(error)

    def close(self) -> None:
        """Put everything into the one file, unless it is damaged: then nothing more is done to it."""
        try:
            if not self.condition.is_broken:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except ERRORS:
            # A checkpoint that fails loses nothing: the next open reads the same facts from the log.
            return
        finally:
            self._db.close()


class _Savepoint:
    """
    One operation's own room in the group's transaction.

    Whatever it raises undoes it alone and goes to the one who waits for it. Only an error that has ended the whole
    transaction, or that tells of damage, passes on, and then the group fails together.
    """

    def __init__(self, db: sqlite3.Connection, condition: Condition, ticket: Ticket) -> None:
        self._db = db
        self._condition = condition
        self._ticket = ticket

    def __enter__(self) -> None:
        self._db.execute("SAVEPOINT operation")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self._ticket.error = self._told(error)
            if not self._db.in_transaction or (isinstance(error, ERRORS) and is_damage(error)):
                return False
            self._db.execute("ROLLBACK TO operation")
        self._db.execute("RELEASE operation")
        return True

    def _told(self, error: BaseException) -> BaseException:
        if isinstance(error, ERRORS):
            return self._condition.meet(error)
        if isinstance(error, StopIteration):
            # A future refuses this one exception, and would leave the others of the group waiting for ever.
            told = RuntimeError("an operation on the journal raised StopIteration")
            told.__cause__ = error
            return told
        return error
