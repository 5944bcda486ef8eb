"""
Keep tasks owned, and reconcile by name when told to.

In: coroutines and keys. Out: each key handed to its controller, one at a time, never lost while it is being
worked on. It never polls: a loop sleeps until somebody asks, or until a timer of the injected clock is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from remediator.model.seams import Clock

Key = tuple[str, str]
"""Namespace and name."""


class TaskOwner:
    """Every task it started is ended when it closes; a task that failed makes `close` raise what it raised."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failures: list[BaseException] = []

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._note)
        return task

    def _note(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failures.append(failure)

    def raise_failure(self) -> None:
        """A control loop that died is a mistake of ours, and must be loud."""
        if self._failures:
            raise self._failures[0]

    async def close(self) -> None:
        while self._tasks:
            ending = list(self._tasks)
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
        self.raise_failure()


class WorkQueue:
    """Keys waiting to be reconciled. Asking twice before the work begins is asking once."""

    def __init__(self, clock: Clock, tasks: TaskOwner) -> None:
        self._clock = clock
        self._tasks = tasks
        self._waiting: dict[Key, None] = {}
        self._asked = asyncio.Event()

    def ask(self, key: Key) -> None:
        self._waiting[key] = None
        self._asked.set()

    def ask_after(self, seconds: float, key: Key) -> None:
        self._tasks.spawn(self._later(seconds, key), f"timer for {key}")

    async def _later(self, seconds: float, key: Key) -> None:
        await self._clock.sleep(seconds)
        self.ask(key)

    async def work(self, reconcile: Callable[[Key], Awaitable[None]]) -> None:
        """Reconcile for ever, in the order in which keys were first asked for."""
        while True:
            await self._asked.wait()
            if not self._waiting:
                self._asked.clear()
                continue
            key = next(iter(self._waiting))
            del self._waiting[key]
            await reconcile(key)
