"""
What a claim costs when thousands of runs of one hot target are ahead of those that may go on.

In: a store's URL. Out: one JSON line with the milliseconds of claiming sixteen runs, the middle of several tries. One
run has the target; the others, all of them older than the sixteen, are held until it is free.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from remediator.clocks import SystemClock
from remediator.model.objects import STATEFUL_SET, ObjectRef
from remediator.model.runs import Run, RunState
from remediator.model.seams import RunStore
from remediator.model.verdicts import Reason
from tests.benchmarks.bodies import NAMESPACE, bodies
from tests.benchmarks.engines.measuring import cannot
from tests.benchmarks.engines.ours import Ours, allow, start_of
from tests.benchmarks.engines.stores import Missing, store_at

BLOCKED = 20_000
AT_ONCE = 200
CLAIMED = 16
TRIES = 15
HOT = ObjectRef(STATEFUL_SET, "hot", NAMESPACE, "uid-of-hot")


class Backlog:
    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._ours = Ours(store)
        self._clock = SystemClock()

    async def claim_ms(self) -> float:
        await self._lay(bodies(AT_ONCE, 1.0))
        await self._store.file(self._ours.job(next(bodies(CLAIMED, 1.0, first=BLOCKED + AT_ONCE))))
        return statistics.median([await self._claim_once() for _ in range(TRIES)])

    async def _lay(self, alerts: Iterator[bytes]) -> None:
        """One run that has the target, and the others held behind it."""
        await self._store.file(self._ours.job(next(alerts)))
        (holder, *others) = [entry.run for entry in await self._store.claim(AT_ONCE)]
        holder = await self._store.save(replace(holder, target=HOT))
        await self._store.start(start_of(holder, HOT), allow)
        await self._store.save(replace(holder, state=RunState.RUNNING, due_at=self._later()))
        await self._hold(others)
        for body in itertools.islice(alerts, BLOCKED // AT_ONCE):
            await self._store.file(self._ours.job(body))
            await self._hold([entry.run for entry in await self._store.claim(AT_ONCE)])

    async def _hold(self, runs: Sequence[Run]) -> None:
        async with asyncio.TaskGroup() as saves:
            for run in runs:
                held = replace(run, state=RunState.HELD, target=HOT, due_at=self._later(), reason=Reason.TARGET_BUSY)
                saves.create_task(self._store.save(held))

    async def _claim_once(self) -> float:
        began = time.perf_counter()
        runs = [entry.run for entry in await self._store.claim(CLAIMED)]
        took = time.perf_counter() - began
        if len(runs) != CLAIMED or any(run.state is not RunState.PENDING for run in runs):
            raise RuntimeError(f"the sixteen free runs were to be claimed, and these were: {runs}")
        for run in runs:
            await self._store.release(run.id)
        return 1000 * took

    def _later(self) -> datetime:
        return self._clock.now() + timedelta(hours=1)


async def main(url: str) -> None:
    try:
        async with store_at(url) as store:
            print(json.dumps({"figures": {"claim_ms_behind_20000": await Backlog(store).claim_ms()}}))
    except Missing as missing:
        cannot(str(missing))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
