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
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from tests.kills.nursery import end_with_parent, warm
from tests.kills.planted import PLANTED
from tests.kills.points import POINTS, Plan, draw, poisoned
from tests.kills.running import Result, as_line, of_line, run_job

SLOTS = 8
"""Trials at a time in one process: a cure is watched for a second, and others work meanwhile."""
SAID_EVERY = 10.0
MOST_SEEDS = 8
"""Within which each planted bug is found."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description="Real SIGKILLs at every journal point.")
    parser.add_argument("--kills", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--store", choices=("sqlite",), default="sqlite")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="replay this one trial, and tell all that arrived")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    parser.add_argument("--slots", type=int, default=SLOTS, help=f"trials at a time in each (default {SLOTS})")
    parser.add_argument("--poison", action="store_true", help="one run that ends every life that takes it up")
    parser.add_argument("--planted", action="store_true", help="prove that planted bugs are seen, and nothing else")
    given = parser.parse_args(arguments)
    warm()
    if given.planted:
        return find_planted()
    if given.poison or given.seed is not None:
        return replay(poisoned() if given.poison else draw(given.seed))
    tally = Tally(given.kills)
    for result in results(given.kills, given.first, given.jobs, given.slots):
        tally.add(result)
    return tally.sums()


def replay(plan: Plan) -> int:
    gathered: list[Result] = []
    run_job(iter([plan]), 1, 1, gathered.append)
    result = gathered[0]
    print(result.history)
    tell(result)
    print(f"seed={plan.seed} scene={plan.scene} points={result.points} kills={result.kills} missed={result.missed}")
    return 1 if result.broken else 0


def find_planted() -> int:
    """Each bug in the service, one after the other, until the judge names the promise that it breaks."""
    found = 0
    for name, bug in PLANTED.items():
        gathered: list[Result] = []
        plans = (replace(draw(seed), planted=name) for seed in itertools.islice(bug.seeds(), MOST_SEEDS))
        run_job(plans, MOST_SEEDS, SLOTS, gathered.append)
        seen = [broken for result in gathered for broken in result.broken if broken.startswith(f"{bug.broken}: ")]
        found += bool(seen)
        print(f"planted {name}: {seen[0] if seen else 'not found'}", flush=True)
    print(f"planted={found}/{len(PLANTED)}")
    return 0 if found == len(PLANTED) else 1


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
    end_with_parent(signal.SIGTERM)
    code = 1
    try:
        plans = map(draw, itertools.count(first, step))
        run_job(plans, kills, slots, lambda result: _all(write, as_line(result)))
        code = 0
    except BaseException:  # noqa: BLE001 - a fork must not go on in the code of its parent
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
