"""
DBOS Transact, on SQLite or PostgreSQL, as its documentation has it.

In: a database's URL and how much to ask. Out: the figures of `measuring`. Its cheapest ways are used: synchronous
workflows and steps, 32 threads of its client for single jobs, its client inside one transaction for a batch, and a
queue that is polled a hundred times as often as by default. The time to the first step is also taken without a queue,
which is quicker; nothing then bounds how many run.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy
from dbos import DBOS, DBOSClient

from tests.benchmarks.engines.measuring import CALLERS, Amounts, measure

Job = list[dict[str, Any]]
POLLED = 0.01
"""Seconds between two looks into the queue; the default is one second."""
NOTICED = 1.5
"""Seconds after which a new queue is certainly watched."""

started: dict[int, float] = {}
gate = threading.Event()
at_gate: list[int] = []


@DBOS.step()
def first_step(number: int) -> None:
    started[number] = time.perf_counter()


@DBOS.workflow()
def one_job(number: int, alert: dict[str, Any]) -> None:
    first_step(number)


@DBOS.step()
def step(seq: int) -> str:
    return "scaled"


@DBOS.workflow()
def many_steps(count: int) -> None:
    at_gate.append(1)
    gate.wait()
    for seq in range(count):
        step(seq)


class WithDBOS:
    started = started

    def __init__(self, url: str) -> None:
        self._callers = ThreadPoolExecutor(CALLERS)
        self._engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), pool_size=CALLERS)
        self._client = DBOSClient(system_database_engine=self._engine)
        self.ways = {"first_step_ms": self._through_queue, "first_step_direct_ms": self._directly}

    def job(self, body: bytes) -> Job:
        alerts: Job = json.loads(body)["alerts"]
        return alerts

    async def enqueue_singly(self, jobs: Sequence[Job], callers: int) -> None:
        def enqueue(job: Job) -> None:
            self._client.enqueue({"workflow_name": "one_job", "queue_name": "unwatched"}, 0, job[0])

        await asyncio.to_thread(lambda: list(self._callers.map(enqueue, jobs)))

    async def enqueue_batch(self, job: Job) -> None:
        await asyncio.to_thread(self._enqueue_in_one_transaction, job)

    def _enqueue_in_one_transaction(self, job: Job) -> None:
        with self._engine.begin() as transaction:
            for alert in job:
                self._client.enqueue_in_transaction(
                    transaction, {"workflow_name": "one_job", "queue_name": "unwatched"}, 0, alert
                )

    async def _through_queue(self, number: int, job: Job) -> None:
        await asyncio.to_thread(DBOS.enqueue_workflow, "watched", one_job, number, job[0])

    async def _directly(self, number: int, job: Job) -> None:
        await asyncio.to_thread(DBOS.start_workflow, one_job, number, job[0])

    async def ready(self, runs: int, steps: int) -> list[Any]:
        gate.clear()
        at_gate.clear()
        handles = [await asyncio.to_thread(DBOS.start_workflow, many_steps, steps) for _ in range(runs)]
        while len(at_gate) < runs:
            await asyncio.sleep(0.01)
        return handles

    async def carry_out(self, runs: list[Any]) -> None:
        gate.set()
        await asyncio.to_thread(lambda: [handle.get_result(polling_interval_sec=0.01) for handle in runs])


def _launch(url: str) -> None:
    if url.startswith("sqlite:"):
        # A write-ahead log suits many short transactions better than SQLite's default; it is as durable.
        with sqlite3.connect(url.removeprefix("sqlite:///")) as db:
            db.execute("PRAGMA journal_mode = WAL")
        db.close()
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "log_level": "ERROR",
            "sys_db_pool_size": CALLERS,
            "max_executor_threads": 2 * CALLERS,
        }
    )
    DBOS.launch()
    DBOS.register_queue("unwatched", polling_interval_sec=3600)
    DBOS.register_queue("watched", polling_interval_sec=POLLED)
    time.sleep(NOTICED)


if __name__ == "__main__":
    _launch(sys.argv[1])
    asyncio.run(measure(WithDBOS(sys.argv[1]), Amounts(**json.loads(sys.argv[2]))))
    os._exit(0)  # its threads are of no more use, and ending them in order takes seconds
