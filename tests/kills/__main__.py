"""
`python -m tests.kills --kills N`: kill N lives of the service, and judge every trial.

In: how many, from which seed on, or one seed to replay. Out: progress, each broken promise with the command that
replays it, the kills of each point, and as the last line the sums. Ends with 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import itertools
import os
import selectors
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from tests.kills.nursery import warm
from tests.kills.points import POINTS
from tests.kills.running import Result, as_line, of_line, run_job

SLOTS = 8
"""Trials at a time in one process: a cure is watched for a second, and others work meanwhile."""
SAID_EVERY = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description="Real SIGKILLs at every journal point.")
    parser.add_argument("--kills", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--store", choices=("sqlite",), default="sqlite")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="replay this one trial, and tell all that arrived")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    parser.add_argument("--slots", type=int, default=SLOTS, help=f"trials at a time in each (default {SLOTS})")
    given = parser.parse_args(arguments)
    warm()
    if given.seed is not None:
        return replay(given.seed)
    tally = Tally(given.kills)
    for result in results(given.kills, given.first, given.jobs, given.slots):
        tally.add(result)
    return tally.sums()


def replay(seed: int) -> int:
    gathered: list[Result] = []
    run_job(iter([seed]), 1, 1, gathered.append)
    result = gathered[0]
    print(result.history)
    tell(result)
    print(f"seed={seed} points={result.points} kills={result.kills} missed={result.missed}")
    return 1 if result.broken else 0


def results(kills: int, first: int, jobs: int, slots: int) -> Iterator[Result]:
    """From all jobs, as they come."""
    pipes = [_job(kills // jobs + 1, first + job, jobs, slots) for job in range(jobs)]
    yield from _merged([os.fdopen(read, "rb") for _, read in pipes])
    for pid, _ in pipes:
        os.waitpid(pid, 0)


def _job(kills: int, first: int, step: int, slots: int) -> tuple[int, int]:
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        return pid, read
    os.close(read)
    code = 1
    try:
        run_job(itertools.count(first, step), kills, slots, lambda result: _all(write, as_line(result)))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _all(pipe: int, line: bytes) -> None:
    while line:
        line = line[os.write(pipe, line) :]


def _merged(pipes: list[BinaryIO]) -> Iterator[Result]:
    ready = selectors.DefaultSelector()
    for pipe in pipes:
        ready.register(pipe, selectors.EVENT_READ)
    while ready.get_map():
        for key, _ in ready.select():
            line = key.fileobj.readline()  # type: ignore[union-attr]
            if line:
                yield of_line(line)
            else:
                ready.unregister(key.fileobj)


def tell(result: Result) -> None:
    for broken in result.broken:
        print(f"  {broken}")
    if result.broken:
        print(f"  seed {result.seed} ({result.scene}): ordered {result.points}, killed {result.kills}")
        print(f"  replay: python -m tests.kills --seed {result.seed}", flush=True)


class Tally:
    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._began = self._said = time.monotonic()
        self._at: Counter[str] = Counter()
        self._later = self._trials = self._broken = 0
        self._missed: Counter[str] = Counter()

    def add(self, result: Result) -> None:
        self._trials += 1
        self._at.update(point for point, _ in result.kills)
        self._later += sum(life > 1 for _, life in result.kills)
        self._missed.update(result.missed)
        self._broken += len(result.broken)
        if result.broken:
            tell(result)
        if time.monotonic() - self._said > SAID_EVERY:
            self._said = time.monotonic()
            print(f"{self._at.total()} kills in {self._trials} trials, {self._pace():.1f}/s", flush=True)

    def _pace(self) -> float:
        return self._at.total() / (time.monotonic() - self._began)

    def sums(self) -> int:
        for point in POINTS:
            print(f"{self._at[point.name]:6} {point.name} (missed {self._missed[point.name]})")
        never = [point.name for point in POINTS if not self._at[point.name]]
        print(f"points never killed at: {', '.join(never) or 'none'}")
        seconds = time.monotonic() - self._began
        print(
            f"kills={self._at.total()} again={self._later} trials={self._trials} points={len(POINTS) - len(never)}"
            f"/{len(POINTS)} violations={self._broken} seconds={seconds:.0f} pace={self._pace():.1f}"
        )
        return 1 if self._broken else 0


if __name__ == "__main__":
    sys.exit(main())
