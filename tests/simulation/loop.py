"""
An event loop whose time is a number: it leaps to the next timer when nothing is ready.

In: a seed. Out: a loop, a clock and a source of ids that always behave the same for that seed, on any machine. It
opens no socket and starts no thread. What is ready at the same moment runs in an order drawn from the seed. A loop
in which nothing can ever happen again, or in which time no longer moves, raises instead of hanging.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
BOOTED = 1000.0
"""What the monotonic clock says at the start, so that nobody takes it for the wall's."""
SPINNING = 20_000
"""Turns of the loop at one moment after which something runs in circles."""


class Stuck(BaseException):
    """Nothing can happen any more, or everything happens at one moment for ever."""


class Life:
    """One process of the service: the tasks it started, and whether it still lives."""

    def __init__(self, number: int, machine: str = "") -> None:
        self.number, self.machine = number, machine
        self.is_over = False
        self.tasks: list[asyncio.Task[Any]] = []

    async def go_on(self) -> None:
        """Returns while the process lives. One that is gone does nothing more: it waits here until it is cleared."""
        if self.is_over:
            await asyncio.get_running_loop().create_future()


LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)
"""Whose task is running: one process of the service, or (None) the world around it."""


class Due:
    """
    Something that is to be called: what asyncio calls a handle, or a timer when it has a moment.

    Whatever it raises ends the simulation, where an ordinary loop would write it to a log.
    """

    __slots__ = ("_args", "_callback", "_context", "_is_cancelled", "_when")

    def __init__(self, when: float, callback: Any, args: tuple[Any, ...], context: contextvars.Context | None) -> None:
        self._when, self._callback, self._args = when, callback, args
        self._context = context if context is not None else contextvars.copy_context()
        self._is_cancelled = False

    def happen(self) -> None:
        if not self._is_cancelled:
            self._context.run(self._callback, *self._args)

    def cancel(self) -> None:
        self._is_cancelled = True
        self._callback, self._args = None, ()

    def cancelled(self) -> bool:
        return self._is_cancelled

    done = cancelled
    """As of a future: whether nothing comes of it any more."""

    def when(self) -> float:
        return self._when


class VirtualLoop(asyncio.BaseEventLoop):
    """Time is virtual; what is ready at one moment is dealt from the seed."""

    _ready: list[Due]
    _scheduled: list[tuple[float, int, Due | asyncio.Future[None]]]

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._ready, self._scheduled = [], []
        self._now = 0.0
        self._turns = 0
        self._timers = 0
        self.tasks: list[asyncio.Task[Any]] = []
        """Every task there was."""
        self._halted: dict[Life, list[Due]] = {}
        self._deal = random.Random(f"order {seed}")
        self.world_context = contextvars.copy_context()
        """In which the world's own tasks run, whoever caused them."""

    def time(self) -> float:
        return self._now

    # --- what is called by asyncio, without what a loop with sockets and threads must look after ---------------

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Due:
        due = Due(self._now, callback, args, context)
        self._ready.append(due)
        return due

    def call_at(self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Due:
        due = Due(when, callback, args, context)
        self._timers += 1
        heapq.heappush(self._scheduled, (when, self._timers, due))
        return due

    def call_later(self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Due:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: contextvars.Context | None = None
    ) -> asyncio.Task[Any]:
        task = super().create_task(coro, name=name, context=context)
        life = context.get(LIFE) if context is not None else LIFE.get()
        self.tasks.append(task)
        if life is not None:
            life.tasks.append(task)
        return task

    def in_world(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task of the world, which no end of the service's process reaches."""
        return self.create_task(coro, name=name, context=self.world_context.copy())

    def alarm(self, seconds: float) -> asyncio.Future[None]:
        """Comes true after so many seconds, with no callback in between."""
        alarm = self.create_future()
        self._timers += 1
        heapq.heappush(self._scheduled, (self._now + max(0.0, seconds), self._timers, alarm))
        return alarm

    # --- a process that is stopped, as by SIGSTOP --------------------------------------------------------------

    def halt(self, life: Life) -> None:
        """Nothing of this process runs until `wake`; time, and what it has sent, go on without it."""
        self._halted.setdefault(life, [])

    def wake(self, life: Life) -> None:
        """All that would have run meanwhile runs now."""
        self._ready += self._halted.pop(life, ())

    def _not_halted(self, dealt: list[Due]) -> list[Due]:
        going_on = []
        for due in dealt:
            life = due._context.get(LIFE)
            held = self._halted.get(life) if life is not None else None
            (going_on if held is None else held).append(due)
        return going_on

    # --- one turn ----------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        timers = self._scheduled
        # Cancelled timers are dropped first: otherwise the loop would leap to a moment at which nothing happens.
        while timers and timers[0][2].done():
            heapq.heappop(timers)
        self._turns += 1
        if not self._ready:
            self._leap()
        elif self._turns > SPINNING:
            raise Stuck(f"time stands still at {self._now:.3f}: something runs in circles")
        while timers and timers[0][0] <= self._now:
            self._is_due(heapq.heappop(timers)[2])
        dealt, self._ready = self._ready, []
        if len(dealt) > 1:
            self._deal.shuffle(dealt)
        if self._halted:
            dealt = self._not_halted(dealt)
        for due in dealt:
            due.happen()

    def _is_due(self, due: Due | asyncio.Future[None]) -> None:
        if isinstance(due, Due):
            self._ready.append(due)
        elif not due.done():
            due.set_result(None)

    def _leap(self) -> None:
        """To the next timer."""
        if not self._scheduled:
            raise Stuck("every task waits and no timer is set")
        if self._scheduled[0][0] > self._now:
            self._now, self._turns = self._scheduled[0][0], 0


class VirtualClock:
    """The loop's time as the service and the practice cluster ask for it. Each machine has its own."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.ahead = 0.0
        """Seconds by which its wall clock is ahead of the true time."""

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time() + self.ahead)

    def monotonic(self) -> float:
        return BOOTED + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await self._loop.alarm(seconds)


class CountedIds:
    """`run-000001`: unique in one simulation, and the same in every replay."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, word: str) -> str:
        self._count += 1
        return f"{word}-{self._count:06d}"


def run_in(loop: VirtualLoop, scenario: Coroutine[Any, Any, Any]) -> Any:
    """Run a scenario to its end on its own loop, and leave nothing behind."""
    try:
        return loop.run_until_complete(scenario)
    finally:
        left = [task for task in loop.tasks if not task.done()]
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
