"""
procrastinate, on PostgreSQL, as its documentation has it.

In: a database's URL and how much to ask. Out: the figures of `measuring`. Its best ways are used: asynchronous tasks on
one event loop, `batch_defer_async` for a batch, a worker that is told of new jobs by LISTEN and NOTIFY. It journals
jobs and no steps within them, so it has no figure for a step.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from procrastinate import App, PsycopgConnector

from tests.benchmarks.engines.measuring import Amounts, measure

Job = list[dict[str, Any]]
CONNECTIONS = 10
"""More were slower."""
CONCURRENCY = 16
"""Jobs at a time, as many as the service's."""


class WithProcrastinate:
    def __init__(self, app: App) -> None:
        self.started: dict[int, float] = {}
        self._unwatched = app.task(self._nothing, name="unwatched", queue="unwatched")
        self._watched = app.task(self._first_step, name="watched", queue="watched")
        self.ways = {"first_step_ms": self._defer}

    async def _nothing(self, alert: dict[str, Any]) -> None:
        return

    async def _first_step(self, number: int, alert: dict[str, Any]) -> None:
        self.started[number] = time.perf_counter()

    def job(self, body: bytes) -> Job:
        alerts: Job = json.loads(body)["alerts"]
        return alerts

    async def enqueue_singly(self, jobs: Sequence[Job], callers: int) -> None:
        waiting = iter(jobs)

        async def caller() -> None:
            for job in waiting:
                await self._unwatched.defer_async(alert=job[0])

        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(caller())

    async def enqueue_batch(self, job: Job) -> None:
        await self._unwatched.batch_defer_async(*({"alert": alert} for alert in job))

    async def _defer(self, number: int, job: Job) -> None:
        await self._watched.defer_async(number=number, alert=job[0])

    async def ready(self, runs: int, steps: int) -> None:
        raise NotImplementedError("procrastinate has no steps")

    async def carry_out(self, runs: None) -> None:
        raise NotImplementedError("procrastinate has no steps")


async def main(url: str, amounts: Amounts) -> None:
    app = App(connector=PsycopgConnector(conninfo=url, min_size=CONNECTIONS, max_size=CONNECTIONS))
    engine = WithProcrastinate(app)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        working = asyncio.create_task(
            app.run_worker_async(queues=["watched"], concurrency=CONCURRENCY, install_signal_handlers=False)
        )
        await asyncio.sleep(0.5)
        await measure(engine, amounts)
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Amounts(**json.loads(sys.argv[2]))))
