"""
How long this worker's runs are still its own, by a clock that only goes forward.

In: claims, and the store's answers to renewals. Out: the moment each tenure ends, and word of those that are over. It
counts from before the question left, so it never believes in a lease for longer than the store does; where the store
cannot be asked, a tenure ends by itself, a margin early. It stops nothing: whoever drives the run is told.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable

from remediator.model.errors import LostRun, StoreUnavailable
from remediator.model.seams import Clock, RunStore

HEARTBEAT = 5.0
"""Seconds between two questions to a store without leases: what was cancelled is news there too."""


class Leases:
    """The tenure of every run in hand."""

    def __init__(
        self,
        store: RunStore,
        clock: Clock,
        *,
        margin: float,
        lost: Callable[[str], None],
        complain: Callable[[str, Exception], None],
    ) -> None:
        self._store, self._clock, self._margin = store, clock, margin
        self._lost, self._complain = lost, complain
        self._length = store.lease.total_seconds() if store.lease else math.inf
        self._ends: dict[str, float] = {}
        self._cancelled: frozenset[str] = frozenset()

    def taken(self, run_ids: Iterable[str], asked_at: float) -> None:
        """`asked_at`: what the monotonic clock said before the claim left."""
        self._ends |= dict.fromkeys(run_ids, asked_at + self._length)

    def given_back(self, run_id: str) -> None:
        self._ends.pop(run_id, None)

    async def ends(self, run_id: str, *, needed: float) -> float:
        if self._left(run_id) < needed:
            await self._renew()
        if self._left(run_id) < needed:
            raise LostRun(f"run {run_id} is not ours for another {needed:g} s; another worker may have it")
        return self._ends[run_id]

    def _left(self, run_id: str) -> float:
        return self._ends.get(run_id, -math.inf) - self._clock.monotonic()

    def is_cancelled(self, run_id: str) -> bool:
        return run_id in self._cancelled

    async def keep(self) -> None:
        """Renew for ever, long before anything ends."""
        pause = min(HEARTBEAT, self._length / 3)
        while True:
            await self._clock.sleep(pause)
            if self._ends:
                await self._renew()

    async def _renew(self) -> None:
        asked, known = self._clock.monotonic(), set(self._ends)
        try:
            async with asyncio.timeout(min(HEARTBEAT, self._length / 3)):
                renewed = await self._store.renew()
        except (StoreUnavailable, TimeoutError) as error:
            self._complain("leases cannot be renewed", error)
            self._end(run_id for run_id in known if self._left(run_id) < self._margin)
            return
        # A run that was claimed since the question left is not in the answer, and ours all the same.
        self._ends |= {run_id: asked + self._length for run_id in known & renewed.held if run_id in self._ends}
        self._cancelled = renewed.cancelled
        self._end(known - renewed.held)

    def _end(self, run_ids: Iterable[str]) -> None:
        for run_id in list(run_ids):
            if self._ends.pop(run_id, None) is not None:
                self._lost(run_id)
