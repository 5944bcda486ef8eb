"""
`python -m tests.simulation --seeds N`: N seeds of the service as it is, then every planted bug.

In: how many seeds, or one seed or scene to replay, and perhaps a planted bug. Out: progress while it runs, each
violation with its seed, the first of them shrunk, and as the last line
`seeds=N violations=V planted=found/total seconds=S`. Ends with 1 when a promise was broken or a planted bug was not
found.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Sequence
from functools import partial

from tests.simulation.planted import PLANTED
from tests.simulation.running import Result, bug_of, find_planted, run_scene, run_seed, shrink_result
from tests.simulation.scenes import from_line
from tests.simulation.telling import line_of, tell, tell_found, tell_smaller

SEEDS_AT_ONCE, TASKS = 4, 25
"""How many seeds a worker is given at a time, and how often, before it ends."""
SHRUNK = 3
"""How many of the seeds that break a promise are shrunk unasked: the first of them."""
SAID_AT = 10
"""Per cent of the seeds between two lines of progress."""


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    if given.scene is not None:
        result = run_scene(from_line(given.scene), bug_of(given.planted).seams, keep=True)
        return replay(result, given)
    if given.seed is not None:
        return replay(run_seed(given.seed, planted=given.planted, keep=True), given)
    return many(range(given.first, given.first + given.seeds), given.jobs, planted=given.planted)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Seeded faults in virtual time.")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to run (default 100)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--seed", type=int, help="replay this one seed, and nothing else")
    parser.add_argument("--scene", help="replay this one scene, as a shrunk finding shows it")
    parser.add_argument("--shrink", action="store_true", help="look for a smaller scene that breaks the same promise")
    parser.add_argument("--planted", default="", choices=[bug.name for bug in PLANTED], help="with this bug in it")
    parser.add_argument("-v", "--verbose", action="store_true", help="of one seed or scene: everything that happened")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    return parser


def replay(result: Result, given: argparse.Namespace) -> int:
    """One simulation; the digest is the same each time."""
    if given.verbose:
        for entry in result.history:
            print(line_of(entry))
    tell_smaller(result, planted=given.planted) if given.scene else tell(result, planted=given.planted)
    if given.shrink and result.violations:
        tell_smaller(shrink_result(result, planted=given.planted), planted=given.planted)
    print(f"seed={result.seed} violations={len(result.violations)} trace={result.digest}")
    return 1 if result.violations else 0


def many(seeds: Sequence[int], jobs: int, *, planted: str = "") -> int:
    began = time.monotonic()
    bugs = [] if planted else [bug.name for bug in PLANTED]
    with multiprocessing.get_context("fork").Pool(max(1, jobs), _begin_worker, maxtasksperchild=TASKS) as pool:
        results = pool.imap_unordered(partial(run_seed, planted=planted), seeds, chunksize=SEEDS_AT_ONCE)
        broken = _watch(results, len(seeds), planted, began)
        for smaller in pool.imap(partial(shrink_result, planted=planted), broken[:SHRUNK]):
            tell_smaller(smaller, planted=planted)
        found = tell_found(pool.imap_unordered(find_planted, bugs))
    seconds, violations = time.monotonic() - began, sum(len(result.violations) for result in broken)
    print(f"seeds={len(seeds)} violations={violations} planted={found}/{len(bugs)} seconds={seconds:.1f}")
    return 1 if violations or found < len(bugs) else 0


def _begin_worker() -> None:
    """A worker never looks for garbage: before there is too much of it, another takes its place."""
    gc.freeze()
    gc.disable()


def _watch(results: Iterable[Result], total: int, planted: str, began: float) -> list[Result]:
    """Tell of each seed that breaks a promise, and answer all of them."""
    broken: list[Result] = []
    told = 0
    for done, result in enumerate(results, start=1):
        tell(result, planted=planted)
        if result.violations:
            broken.append(result)
        if done * 100 // total >= told + SAID_AT or done == total:
            told = done * 100 // total
            pace = done / (time.monotonic() - began)
            print(f"{told:3} %  {done} of {total} seeds, {len(broken)} broken, {pace:.1f} seeds/s", flush=True)
    return broken


if __name__ == "__main__":
    sys.exit(main())
