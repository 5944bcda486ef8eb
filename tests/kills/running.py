"""
Run trials until enough lives were killed.

In: how many, and from which seed on. Out: for each trial the kills, what was missed and every broken promise. One
process with its own nursery and several places, so that while one trial waits another one works.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.kills.judge import judge
from tests.kills.nursery import Midwife, found
from tests.kills.points import Plan
from tests.kills.trial import Slot, Trial, slot, told

MEMORY = Path("/dev/shm")
"""SIGKILL takes nothing from the kernel, so a disk in memory loses no less than a real one, and waits for nothing."""


@dataclass(frozen=True)
class Result:
    """What came of one trial."""

    seed: int
    scene: str
    kills: list[tuple[str, int]]
    missed: list[str]
    broken: list[str]
    seconds: float
    points: list[str] = field(default_factory=list)
    history: str = ""


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    where = MEMORY if os.access(MEMORY, os.W_OK) else None
    made = Path(tempfile.mkdtemp(prefix="remediator-kills-", dir=where))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def run_job(plans: Iterator[Plan], kills: int, slots: int, tell: Callable[[Result], None]) -> None:
    """Blocks until so many lives were killed, or there are no more plans. Before there is any event loop here."""
    asked, heard, pid = found()
    try:
        with folder() as home:
            asyncio.run(_run(Job(home, plans, kills, tell), slots, asked, heard))
    finally:
        asked.close()
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


class Job:
    def __init__(self, home: Path, plans: Iterator[Plan], kills: int, tell: Callable[[Result], None]) -> None:
        self.home, self._plans, self._kills, self._tell = home, plans, kills, tell

    async def work(self, here: Slot) -> None:
        while self._kills > 0:
            plan = next(self._plans, None)
            if plan is None:
                return
            result = await run_trial(plan, here)
            self._kills -= len(result.kills)
            self._tell(result)


async def _run(job: Job, slots: int, asked: socket.socket, heard: int) -> None:
    made = Midwife(asked, heard)
    try:
        async with contextlib.AsyncExitStack() as stack:
            places = [await stack.enter_async_context(slot(made, job.home / str(n))) for n in range(slots)]
            async with asyncio.TaskGroup() as workers:
                for place in places:
                    workers.create_task(job.work(place))
    finally:
        made.close()


async def run_trial(plan: Plan, here: Slot) -> Result:
    trial = Trial(plan, here)
    try:
        seen = await trial.run()
    finally:
        here.world = None
    broken = judge(seen)
    history = told(seen) if broken else ""
    trial.forget()
    points = [order.point for order in plan.orders]
    return Result(plan.seed, plan.scene, seen.kills, seen.missed, broken, seen.seconds, points, history)


def as_line(result: Result) -> bytes:
    return json.dumps(asdict(result)).encode() + b"\n"


def of_line(line: bytes) -> Result:
    read = json.loads(line)
    return Result(**{**read, "kills": [tuple(kill) for kill in read["kills"]]})
