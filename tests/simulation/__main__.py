"""
`python -m tests.simulation --seeds N`: N seeds of the service as it is, then every planted bug.

In: how many seeds, or one seed to replay. Out: progress while it runs, each violation with its seed, and as the last
line `seeds=N violations=V planted=found/total seconds=S`. Ends with 1 when a promise was broken or a planted bug was
not found.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from tests.simulation.planted import PLANTED
from tests.simulation.running import MOST_SEEDS, Result, find_planted, run_seed

SEEDS_AT_ONCE, TASKS = 4, 25
"""How many seeds a worker is given at a time, and how often, before it ends."""
SAID_AT = 10
"""Per cent of the seeds between two lines of progress."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Seeded faults in virtual time.")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to run (default 100)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--seed", type=int, help="replay this one seed, and nothing else")
    parser.add_argument("-v", "--verbose", action="store_true", help="with --seed: print everything that happened")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    given = parser.parse_args(arguments)
    if given.seed is not None:
        return replay(given.seed, verbose=given.verbose)
    return many(range(given.first, given.first + given.seeds), given.jobs)


def replay(seed: int, *, verbose: bool) -> int:
    """One seed; the digest is the same each time."""
    result = run_seed(seed, keep=True)
    if verbose:
        for entry in result.history:
            print(_line(entry))
    _tell(result)
    print(f"seed={seed} violations={len(result.violations)} trace={result.digest}")
    return 1 if result.violations else 0


def _line(entry: dict[str, Any]) -> str:
    told = {k: v for k, v in entry.items() if k not in ("n", "t", "what", "before", "truth", "args")}
    return f"{entry['n']:5} {entry['t']:10.3f} {entry['what']:<12} {json.dumps(told, default=str)}"


def many(seeds: Sequence[int], jobs: int) -> int:
    began = time.monotonic()
    with multiprocessing.get_context("fork").Pool(max(1, jobs), _begin_worker, maxtasksperchild=TASKS) as pool:
        results = pool.imap_unordered(run_seed, seeds, chunksize=SEEDS_AT_ONCE)
        violations = _count(results, len(seeds), began)
        found = _find(pool.imap_unordered(find_planted, [bug.name for bug in PLANTED]))
    seconds = time.monotonic() - began
    print(f"seeds={len(seeds)} violations={violations} planted={found}/{len(PLANTED)} seconds={seconds:.1f}")
    return 1 if violations or found < len(PLANTED) else 0


def _begin_worker() -> None:
    """A worker never looks for garbage: before there is too much of it, another takes its place."""
    gc.freeze()
    gc.disable()


def _count(results: Iterable[Result], total: int, began: float) -> int:
    violations, told = 0, 0
    for done, result in enumerate(results, start=1):
        violations += len(result.violations)
        _tell(result)
        if done * 100 // total >= told + SAID_AT or done == total:
            told = done * 100 // total
            pace = done / (time.monotonic() - began)
            print(f"{told:3} %  {done} of {total} seeds, {violations} violations, {pace:.1f} seeds/s", flush=True)
    return violations


def _tell(result: Result) -> None:
    if not result.violations:
        return
    faults = "; ".join(map(str, result.scene.faults)) or "none"
    print(f"seed {result.seed} ({result.scene.cluster}; faults: {faults})")
    for violation in result.violations:
        print(f"  {violation}")
    print(f"  replay: python -m tests.simulation --seed {result.seed} -v", flush=True)


def _find(results: Iterable[tuple[str, int | None, str]]) -> int:
    found = 0
    for name, seed, seen in results:
        if seed is None:
            print(f"planted {name}: not found in {MOST_SEEDS} seeds")
        else:
            found += 1
            print(f"planted {name}: found at seed {seed}: {seen[:160]}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
