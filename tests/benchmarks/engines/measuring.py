"""
The same four things, asked of every engine: enqueue singly, enqueue in batches, first step, cost of a step.

In: an engine behind `Engine`. Out: one JSON line with its figures. Standard library only, because this module runs in
the others' environment too. Whatever an engine needs besides its own work (jobs, prepared runs, a first lap to warm
up) is made before a clock runs.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

from tests.benchmarks.bodies import bodies

CALLERS = 32
BATCH = 200
RATE = 20.0
"""Jobs a second while the time to the first step is taken."""
PATIENCE = 60.0
"""Seconds all those jobs may take."""

J = TypeVar("J")
R = TypeVar("R")
Figures = dict[str, float]


class Engine(Protocol[J, R]):
    """What an engine is asked to do, each in the best way that its documentation offers."""

    started: dict[int, float]
    """By a job's number, `time.perf_counter()` when the function of its first step was called."""
    ways: Mapping[str, Callable[[int, J], Awaitable[None]]]
    """
    How a job is handed to a worker of this process that waits for work: given its number and the job, durable on
    return. The first way is "first_step_ms", through a queue.
    """

    def job(self, body: bytes) -> J:
        """What is enqueued for a notification: one job for each of its alerts, with that alert as its input."""
        ...

    async def enqueue_singly(self, jobs: Sequence[J], callers: int) -> None:
        """Each by itself, so many callers at a time; durable on return."""
        ...

    async def enqueue_batch(self, job: J) -> None:
        """All of them at once; durable on return."""
        ...

    async def ready(self, runs: int, steps: int) -> R:
        """So many runs that have started and wait for their first of so many steps."""
        ...

    async def carry_out(self, runs: R) -> None:
        """Journal every step of these runs, the runs side by side, a run's steps one after the other."""
        ...


@dataclass(frozen=True)
class Amounts:
    """How much each question is about; engines that are slower are asked for less, so that turns last alike."""

    singles: int
    batches: int
    firsts: int
    steps_alone: int
    steps_together: int
    """Of each of as many runs as there are callers. No steps at all: the engine has none."""


@dataclass(frozen=True)
class Lap:
    wall: float
    cpu: float
    """Of all threads of this process; a database server's own is not in it."""


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def timed(work: Awaitable[None]) -> Lap:
    wall, cpu = time.perf_counter(), time.process_time()
    await work
    return Lap(time.perf_counter() - wall, time.process_time() - cpu)


class Asked(Generic[J, R]):
    """The questions to one engine, in order."""

    def __init__(self, engine: Engine[J, R], amounts: Amounts) -> None:
        self._engine = engine
        self._amounts = amounts
        self._next = 0

    def _jobs(self, size: int, count: int) -> list[J]:
        """Jobs whose alerts no job had before."""
        made = [self._engine.job(body) for body in islice(bodies(size, 1.0, first=self._next), count)]
        self._next += size * count
        return made

    async def singly(self) -> Figures:
        await self._engine.enqueue_singly(self._jobs(1, 2 * CALLERS), CALLERS)
        lap = await timed(self._engine.enqueue_singly(self._jobs(1, self._amounts.singles), CALLERS))
        return {
            "enqueue_per_s": self._amounts.singles / lap.wall,
            "enqueue_cpu_ms": 1000 * lap.cpu / self._amounts.singles,
        }

    async def in_batches(self) -> Figures:
        await self._engine.enqueue_batch(self._jobs(BATCH, 1)[0])
        jobs = self._jobs(BATCH, self._amounts.batches)
        lap = await timed(self._enqueue_all(jobs))
        return {"enqueue_batch_per_s": BATCH * len(jobs) / lap.wall}

    async def _enqueue_all(self, batches: Sequence[J]) -> None:
        for batch in batches:
            await self._engine.enqueue_batch(batch)

    async def first_steps(self) -> dict[str, list[float]]:
        return {way: await self._first_steps(submit) for way, submit in self._engine.ways.items()}

    async def _first_steps(self, submit: Callable[[int, J], Awaitable[None]]) -> list[float]:
        """Milliseconds from asking to enqueue until the job's first step was called, in the order of asking."""
        jobs, sent = self._jobs(1, self._amounts.firsts), dict[int, float]()
        self._engine.started.clear()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as submits:
            for number, job in enumerate(jobs):
                await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
                sent[number] = time.perf_counter()
                submits.create_task(_awaited(submit(number, job)))
        async with asyncio.timeout(PATIENCE):
            while len(self._engine.started) < len(jobs):
                await asyncio.sleep(0.05)
        return [1000 * (self._engine.started[number] - at) for number, at in sorted(sent.items())]

    async def steps(self) -> Figures:
        alone = await self._steps(1, self._amounts.steps_alone)
        together = await self._steps(CALLERS, self._amounts.steps_together)
        return {
            "step_ms": 1000 * alone.wall / self._amounts.steps_alone,
            "step_cpu_ms": 1000 * alone.cpu / self._amounts.steps_alone,
            "step_together_ms": 1000 * together.wall / (CALLERS * self._amounts.steps_together),
            "step_together_cpu_ms": 1000 * together.cpu / (CALLERS * self._amounts.steps_together),
        }

    async def _steps(self, runs: int, steps: int) -> Lap:
        return await timed(self._engine.carry_out(await self._engine.ready(runs, steps)))


async def measure(engine: Engine[J, R], amounts: Amounts) -> None:
    """Ask everything once and print it."""
    asked = Asked(engine, amounts)
    waited = await asked.first_steps()
    figures = await asked.singly() | await asked.in_batches()
    if amounts.steps_alone:
        figures |= await asked.steps()
    print(json.dumps({"figures": figures, "waits": waited}), flush=True)


def cannot(why: str) -> None:
    """Say that this engine cannot be measured here."""
    print(json.dumps({"missing": why}), flush=True)
