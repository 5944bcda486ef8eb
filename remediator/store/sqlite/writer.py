"""
The one thread that writes, with group commit.

In: operations, each a function of the connection. Out: what each answered, once its transaction is on disk. An
operation runs whole or not at all, whoever stops waiting for it; one that raises takes none of its neighbours along.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from remediator.model.errors import StoreUnavailable
from remediator.model.seams import Clock
from remediator.store.sqlite.groups import Groups, Operation, Ticket

T = TypeVar("T")
Told = Callable[[float], None]
"""Told, on the event loop, how many seconds each transaction took until it was on disk."""
QUEUE_LIMIT = 5_000


class Writer:
    """Runs the thread that alone changes the file."""

    def __init__(
        self,
        groups: Groups,
        path: Path,
        queue_limit: int = QUEUE_LIMIT,
        *,
        clock: Clock,
        told_commit: Told | None = None,
    ) -> None:
        self._groups = groups
        self._path = path
        self._limit = queue_limit
        self._clock = clock
        self._told_commit = told_commit
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Ticket] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=f"journal {path.name}", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue `operation`; the answer comes after the commit. Raises StoreUnavailable when the queue is full."""
        ticket = Ticket(operation, self._loop.create_future())
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
            is_stored = self._groups.carry_out(group)
            self._answer(group, self._clock.monotonic() - began if is_stored else None)
        self._groups.close()

    def _next_group(self) -> list[Ticket]:
        """Everything queued, waiting for the first; empty once closing and drained."""
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._closing)
            group = list(self._queue)
            self._queue.clear()
            return group

    def _answer(self, group: list[Ticket], seconds: float | None) -> None:
        try:
            if self._told_commit is not None and seconds is not None:
                self._loop.call_soon_threadsafe(self._told_commit, seconds)
            self._loop.call_soon_threadsafe(_resolve, group)
        except RuntimeError:
            # The loop is closed: nobody waits any more, and what was committed stays committed.
            return


def _resolve(group: list[Ticket]) -> None:
    for ticket in group:
        ticket.resolve()
