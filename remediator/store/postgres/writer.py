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
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import asyncpg

from remediator.model.errors import StoreUnavailable
from remediator.model.seams import Clock
from remediator.store.postgres import trail
from remediator.store.postgres.address import FOREIGN, MAYBE_STORED, unavailable
from remediator.store.postgres.committing import InDoubt, OnOneServer, commit, was_committed
from remediator.store.postgres.connecting import Connection, Door, hang_up
from remediator.store.postgres.filing import Prepared, file_all
from remediator.store.postgres.grouping import Broken, Operation, Room, Ticket, answer, begin
from remediator.store.postgres.transaction import Transaction

T = TypeVar("T")
Told = Callable[[float], None]
"""Told how many seconds each transaction took until it was durable."""
QUEUE_LIMIT = 5_000
GROUP_LIMIT = 1_000
COLLIDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
LOST = (TimeoutError, OSError, asyncpg.ReadOnlySQLTransactionError)
"""After these the connection is of no use, whatever it says of itself."""
TRIES = 3


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
                answer(group)
                if is_stored and self._told_commit is not None:
                    self._told_commit(self._clock.monotonic() - began)
        finally:
            self._abandon([*group, *self._queue])
            await self._hang_up()

    def _abandon(self, waiting: Sequence[Ticket]) -> None:
        """Whoever still waits when the task ends before its time is told that nobody knows."""
        for ticket in waiting:
            ticket.error = StoreUnavailable(f"the journal {self._door.address.name} has ended; {MAYBE_STORED}")
        answer(waiting)

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
            await connection.execute(begin(group))
            await self._perform(tx, group)
            number, head = None, self._head
            if tx.is_changed or tx.notes:
                self._number = number = self._number + 1
                with Room(tx):
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
            with Room(tx):
                answers = await file_all(tx, [prepared for _, prepared in deliveries], run_ids)
            for (ticket, _), filed in zip(deliveries, answers, strict=True):
                ticket.result = filed
        else:
            await tx.lock_runs(run_ids)
        for ticket in group:
            if not isinstance(ticket.operation, Prepared):
                with Room(tx, ticket):
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


def _is_hopeless(group: Sequence[Ticket], undone: Undone) -> bool:
    """One by itself that failed by itself."""
    return len(group) == 1 and not isinstance(undone.cause, COLLIDED)
