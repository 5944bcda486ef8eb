"""
What a person reads of a simulation: how far it is, what was broken, and how to see it again.

In: results. Out: lines on the standard output. The command that replays a finding stands below it, ready to be pasted.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any

from tests.simulation.running import MOST_SEEDS, Result
from tests.simulation.scenes import as_line

COMMAND = "python -m tests.simulation"


def tell(result: Result, *, planted: str = "") -> None:
    """What the seed broke, if anything."""
    if result.violations:
        _tell_broken(f"seed {result.seed}", result)
        print(f"  replay: {COMMAND} --seed {result.seed}{_with(planted)} -v", flush=True)


def tell_smaller(result: Result, *, planted: str = "") -> None:
    """A scene that was shrunk. What follows `--scene` can be kept in test_regressions.py."""
    _tell_broken(f"seed {result.seed}, shrunk", result)
    print(f"  replay: {COMMAND} --scene {shlex.quote(as_line(result.scene))}{_with(planted)} -v", flush=True)


def _tell_broken(what: str, result: Result) -> None:
    faults = "; ".join(map(str, result.scene.faults)) or "none"
    print(f"{what} ({result.scene.cluster}; faults: {faults})")
    for violation in result.violations:
        print(f"  {violation}")


def _with(planted: str) -> str:
    return f" --planted {planted}" if planted else ""


def tell_found(results: Iterable[tuple[str, int | None, str]]) -> int:
    """Which planted bugs are found; answers how many."""
    found = 0
    for name, seed, seen in results:
        if seed is None:
            print(f"planted {name}: not found in {MOST_SEEDS} seeds")
        else:
            found += 1
            print(f"planted {name}: found at seed {seed}: {seen[:160]}", flush=True)
    return found


def line_of(entry: dict[str, Any]) -> str:
    """One entry of the history."""
    told = {k: v for k, v in entry.items() if k not in ("n", "t", "what", "before", "truth", "args")}
    return f"{entry['n']:5} {entry['t']:10.3f} {entry['what']:<12} {json.dumps(told, default=str)}"
