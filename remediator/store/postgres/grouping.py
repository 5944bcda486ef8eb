"""
What waits to be carried out, and how several of it share one transaction.

In: operations and who waits for them. Out: the words that begin their transaction, and an answer for each. An operation
that refuses takes none of its neighbours along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

from remediator.store.postgres.address import FOREIGN
from remediator.store.postgres.filing import BUCKETS, Prepared
from remediator.store.postgres.transaction import Transaction

T = TypeVar("T")
Operation = Callable[[Transaction], Awaitable[T]]
LOCKS = 1_918
"""The space of our advisory locks; in it are the buckets of episodes, and then these two."""
STARTS, SWITCHES = BUCKETS, BUCKETS + 1


@dataclass
class Ticket:
    """One queued operation and who waits for it."""

    operation: Operation[Any] | Prepared
    run_ids: tuple[str, ...] = ()
    """Runs whose rows it changes."""
    lock: int | None = None
    """What it must be alone in: all starts, or all switches."""
    answer: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    result: Any = None
    error: BaseException | None = None


class Broken(Exception):
    """An operation failed after it had written: the whole transaction goes."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Room:
    """
    One operation's own room in the group's transaction.

    Whatever it raises goes to the one who waits for it. An error of the database, one after the first write, or one in
    what is done for many together (without a ticket) has broken the transaction for all, and is passed on.
    """

    def __init__(self, tx: Transaction, ticket: Ticket | None = None) -> None:
        self._tx, self._ticket = tx, ticket

    def __enter__(self) -> None:
        self._tx.begin_operation()
        self._noted = len(self._tx.notes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, FOREIGN) or not isinstance(error, Exception):
            return False
        if self._ticket is None or self._tx.has_written:
            raise Broken(_tellable(error)) from error
        del self._tx.notes[self._noted :]
        self._ticket.error = _tellable(error)
        return True


def _tellable(error: Exception) -> Exception:
    if isinstance(error, StopIteration):
        # A future refuses this one exception.
        told = RuntimeError("an operation on the journal raised StopIteration")
        told.__cause__ = error
        return told
    return error


def begin(group: Sequence[Ticket]) -> str:
    """The transaction with its advisory locks, in one order for everybody. Only numbers are put together here."""
    exclusive = {ticket.lock for ticket in group if ticket.lock is not None}
    shared: set[int] = set()
    for ticket in group:
        if isinstance(ticket.operation, Prepared):
            shared |= ticket.operation.shared
            exclusive |= ticket.operation.exclusive
    locks = [
        f"SELECT pg_advisory_xact_lock{'' if number in exclusive else '_shared'}({LOCKS}, {number})"
        for number in sorted(shared | exclusive)
    ]
    return "; ".join(["BEGIN ISOLATION LEVEL READ COMMITTED", *locks])


def answer(group: Sequence[Ticket]) -> None:
    for ticket in group:
        if ticket.answer.done():
            continue
        if ticket.error is not None:
            ticket.answer.set_exception(ticket.error)
        else:
            ticket.answer.set_result(ticket.result)
