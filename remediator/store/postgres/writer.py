"""
The one connection that writes, with group commit.

In: operations, each a function of the transaction. Out: what each answered, once its transaction is durable. Whatever
is queued together is one transaction. An operation that refuses takes none of its neighbours along; where the database
refuses, nothing of the group is stored and each is carried out by itself. Whose answer to COMMIT was lost is told what
the database knows of it, never a guess.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

import asyncpg

from remediator.model.errors import StoreUnavailable
from remediator.model.seams import Clock
from remediator.store.postgres import trail
from remediator.store.postgres.address import FOREIGN, MAYBE_STORED, unavailable
from remediator.store.postgres.committing import InDoubt, OnOneServer, commit, was_committed
from remediator.store.postgres.connecting import Connection, Door, hang_up
from remediator.store.postgres.filing import BUCKETS, Prepared, file_all
from remediator.store.postgres.transaction import Transaction

T = TypeVar("T")
Told = Callable[[float], None]
"""Told how many seconds each transaction took until it was durable."""
Operation = Callable[[Transaction], Awaitable[T]]
QUEUE_LIMIT = 5_000
GROUP_LIMIT = 1_000
LOCKS = 1_918
"""The space of our advisory locks; in it are the buckets of episodes, and then these two."""
STARTS, SWITCHES = BUCKETS, BUCKETS + 1
COLLIDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
LOST = (TimeoutError, OSError, asyncpg.ReadOnlySQLTransactionError)
"""After these the connection is of no use, whatever it says of itself."""
TRIES = 3


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


class Undone(Exception):
    """Nothing of a group is stored."""

    def __init__(self, cause: BaseException, *, is_lost: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.is_lost = is_lost
        """The connection went with it."""


class Writer:
    def __init__(
        self,
        door: Door,
        worker: str,
        clock: Clock,
        *,
        now: Callable[[], datetime] | None = None,
        queue_limit: int = QUEUE_LIMIT,
        told_commit: Told | None = None,
    ) -> None:
        self._door, self._worker, self._clock = door, worker, clock
        self._now = now
        self._limit = queue_limit
        self._told_commit = told_commit
        self._queue: deque[Ticket] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._connection: Connection | None = None
        self._number = 0
        """Of the last transaction."""
        self._head: trail.Head = (0, "")
        self._task = asyncio.create_task(self._work(), name=f"journal {door.address.name}")

    def submit(self, ticket: Ticket) -> asyncio.Future[Any]:
        """Queue an operation; the answer comes after the commit. Raises StoreUnavailable when the queue is full."""
        if self._closing or self._task.done():
            raise StoreUnavailable(f"the journal {self._door.address.name} is closed")
        if len(self._queue) >= self._limit:
            raise StoreUnavailable(f"{self._limit} calls wait for {self._door.address.name}; try again later")
        self._queue.append(ticket)
        self._wake.set()
        return ticket.answer

    async def do(self, operation: Operation[T], *run_ids: str, lock: int | None = None) -> T:
        """`submit` and wait. Who is cancelled meanwhile stops waiting; the operation is carried out all the same."""
        answer: T = await asyncio.shield(self.submit(Ticket(operation, run_ids, lock)))
        return answer

    async def close(self) -> None:
        """Carry out what is queued and end the connection."""
        self._closing = True
        self._wake.set()
        await asyncio.wait({self._task})

    # --- the task ------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        group: list[Ticket] = []
        try:
            while group := await self._next_group():
                began = self._clock.monotonic()
                is_stored = await self._carry_out(group)
                _answer(group)
                if is_stored and self._told_commit is not None:
                    self._told_commit(self._clock.monotonic() - began)
        finally:
            self._abandon([*group, *self._queue])
            await self._hang_up()

    def _abandon(self, waiting: Sequence[Ticket]) -> None:
        """Whoever still waits when the task ends before its time is told that nobody knows."""
        for ticket in waiting:
            ticket.error = StoreUnavailable(f"the journal {self._door.address.name} has ended; {MAYBE_STORED}")
        _answer(waiting)

    async def _next_group(self) -> list[Ticket]:
        """What is queued, waiting for the first; empty once closing and drained."""
        while not self._queue and not self._closing:
            self._wake.clear()
            await self._wake.wait()
        return [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_LIMIT))]

    async def _carry_out(self, group: list[Ticket]) -> bool:
        """Together, or each by itself; whether anything was committed."""
        undone = await self._try(group)
        if undone is not None and undone.is_lost:
            undone = await self._try(group)  # on a fresh connection
        if undone is None:
            return True
        if undone.is_lost or isinstance(undone.cause, asyncpg.LockNotAvailableError) or _is_hopeless(group, undone):
            self._refuse(group, undone.cause)
            return False
        for ticket in group:
            await self._carry_out_alone(ticket, undone.cause)
        return True

    async def _carry_out_alone(self, ticket: Ticket, why: BaseException) -> None:
        for _ in range(TRIES):
            undone = await self._try([ticket])
            if undone is None:
                return
            why = undone.cause
            if not (undone.is_lost or isinstance(why, COLLIDED)):
                break
        self._refuse([ticket], why)

    def _refuse(self, group: Sequence[Ticket], why: BaseException) -> None:
        for ticket in group:
            is_told = not isinstance(why, FOREIGN)
            ticket.error = why if is_told else unavailable(self._door.address, why)

    # --- one transaction -----------------------------------------------------------------------------------

    async def _try(self, group: Sequence[Ticket]) -> Undone | None:
        """One transaction; None: everybody has an answer. Otherwise nothing is stored."""
        for ticket in group:
            ticket.result = ticket.error = None
        try:
            await self._transact(group)
        except Undone as undone:
            return undone
        except InDoubt as doubt:
            return await self._resolve(group, doubt)
        except OnOneServer as alone:
            self._tell_unknown(group, alone)
        return None

    async def _transact(self, group: Sequence[Ticket]) -> None:
        connection = await self._connected()
        tx = Transaction(connection, self._worker, self._now() if self._now else None)
        try:
            await connection.execute(_begin(group))
            await self._perform(tx, group)
            number, head = None, self._head
            if tx.is_changed or tx.notes:
                self._number = number = self._number + 1
                with _Room(tx):
                    head = await trail.end(tx, number, head)
        except (*FOREIGN, Broken) as error:
            raise await self._undone(connection, error) from error
        await commit(connection, number)
        self._head = head

    async def _perform(self, tx: Transaction, group: Sequence[Ticket]) -> None:
        """Deliveries, then the rows of all runs in one order, then everything else: so replicas do not collide."""
        run_ids = sorted({run_id for ticket in group for run_id in ticket.run_ids})
        deliveries = [(ticket, ticket.operation) for ticket in group if isinstance(ticket.operation, Prepared)]
        if deliveries:
            with _Room(tx):
                answers = await file_all(tx, [prepared for _, prepared in deliveries], run_ids)
            for (ticket, _), answer in zip(deliveries, answers, strict=True):
                ticket.result = answer
        else:
            await tx.lock_runs(run_ids)
        for ticket in group:
            if not isinstance(ticket.operation, Prepared):
                with _Room(tx, ticket):
                    ticket.result = await ticket.operation(tx)

    async def _undone(self, connection: Connection, error: BaseException) -> Undone:
        """Make sure that nothing stays of the transaction, whatever the connection is still good for."""
        cause = error.cause if isinstance(error, Broken) else error
        try:
            if isinstance(cause, LOST) or connection.is_closed():
                raise ConnectionError
            await connection.execute("ROLLBACK")
        except FOREIGN:
            self._drop()
            return Undone(cause, is_lost=True)
        return Undone(cause, is_lost=False)

    async def _resolve(self, group: Sequence[Ticket], doubt: InDoubt) -> Undone | None:
        """Ask what became of a transaction whose answer was lost."""
        self._drop()
        if doubt.number is None:
            return None
        stored = await was_committed(self._door, self._worker, doubt.number)
        if stored is False:
            return Undone(doubt.cause, is_lost=True)
        if stored is None:
            self._tell_unknown(group, doubt.cause)
        return None

    def _tell_unknown(self, group: Sequence[Ticket], why: BaseException) -> None:
        """Whoever was refused by a ruling knows that much all the same."""
        for ticket in group:
            ticket.error = ticket.error or unavailable(self._door.address, why, MAYBE_STORED)

    # --- the connection ------------------------------------------------------------------------------------

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._door.is_current(self._connection):
            self._drop()
        if self._connection is None:
            try:
                self._connection = await self._door.connect()
            except StoreUnavailable as error:
                raise Undone(error, is_lost=True) from error
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _hang_up(self) -> None:
        if self._connection is not None:
            await hang_up(self._connection)


class Broken(Exception):
    """An operation failed after it had written: the whole transaction goes."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Room:
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


def _is_hopeless(group: Sequence[Ticket], undone: Undone) -> bool:
    """One by itself that failed by itself."""
    return len(group) == 1 and not isinstance(undone.cause, COLLIDED)


def _tellable(error: Exception) -> Exception:
    if isinstance(error, StopIteration):
        # A future refuses this one exception.
        told = RuntimeError("an operation on the journal raised StopIteration")
        told.__cause__ = error
        return told
    return error


def _begin(group: Sequence[Ticket]) -> str:
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


def _answer(group: Sequence[Ticket]) -> None:
    for ticket in group:
        if ticket.answer.done():
            continue
        if ticket.error is not None:
            ticket.answer.set_exception(ticket.error)
        else:
            ticket.answer.set_result(ticket.result)
