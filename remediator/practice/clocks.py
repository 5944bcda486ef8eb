"""
A clock that does not know the wall, for simulations without sockets.

Out: a `Clock` that never goes backwards and never waits.
"""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

CALM_ROUNDS = 40
"""Turns of the event loop after which everything that could happen now has happened."""


class LeapingClock:
    """
    Stands still while anything happens, then leaps to the next moment somebody sleeps for.

    For simulations without sockets: it does not wait for the network, and the same simulation always runs the same.
    """

    def __init__(self, start: datetime = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0
        self._calm = 0
        self._is_ticking = False

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        waking: asyncio.Future[None] = loop.create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._passed + max(seconds, 0), self._order, waking))
        self._calm = 0
        if not self._is_ticking:
            self._is_ticking = True
            loop.call_soon(self._tick)
        await waking

    def _tick(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers:
            self._is_ticking = False
            return
        self._calm += 1
        if self._calm >= CALM_ROUNDS:
            self._leap()
        asyncio.get_running_loop().call_soon(self._tick)

    def _leap(self) -> None:
        self._calm = 0
        self._passed = self._sleepers[0][0]
        while self._sleepers and self._sleepers[0][0] <= self._passed:
            _, _, waking = heapq.heappop(self._sleepers)
            if not waking.done():
                waking.set_result(None)
