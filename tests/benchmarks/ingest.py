"""
How many alerts a second the service takes, beside a bare server that only parses them.

The same sender, the same bodies, the same machine, turn by turn: bare, then each mix, and again. What is told is the
middle of the rounds, and the ratio is the middle of the rounds' own ratios. The journal is on disk, every alert is an
episode of its own, and the cluster takes connections and says nothing, so that no run gets in the way.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.processes import Serving, bare_server, sent, service, silent_server
from tests.benchmarks.sender import Load

MIXES: Mapping[str, float] = {"": 0.1, "_unmatched": 0.0, "_matched": 1.0}
"""
What share of the alerts some rule wants, by the suffix of its figure.

The headline is a notification of which one alert in ten becomes a run. That is a dense one: Alertmanager sends what its
route selects, most rules of a cluster have no remedy, and an alert that it sends again makes no second run.
"""
COUNTS = {1: 2500, 100: 400}
"""Requests of a turn, by how many alerts are in each."""
CONNECTIONS = 16
ROUNDS = 3


@dataclass(frozen=True)
class Sides:
    bare_port: int
    serving: Serving


async def measure(folder: Path, say: Callable[[str], None]) -> dict[str, float]:
    """The figures of ingest, and what the fresh service process cost to start."""
    figures: dict[str, float] = {}
    async with (
        silent_server() as cluster,
        bare_server(folder) as bare,
        service(folder / "ingest", f"http://127.0.0.1:{cluster}") as serving,
    ):
        for size in (1, 100):
            figures |= await _both(Sides(bare, serving), size, say)
    return figures


async def _both(sides: Sides, size: int, say: Callable[[str], None]) -> dict[str, float]:
    bare: list[float] = []
    rates: dict[str, list[float]] = {suffix: [] for suffix in MIXES}
    for turn in range(ROUNDS):
        bare.append(await _rate(Load(sides.bare_port, "-", size, 0.1, COUNTS[size], CONNECTIONS)))
        for place, (suffix, share) in enumerate(MIXES.items()):
            first = ((size * ROUNDS + turn) * len(MIXES) + place) * 100_000
            load = Load(sides.serving.port, sides.serving.token, size, share, _count(size, share), CONNECTIONS, first)
            rates[suffix].append(await _rate(load))
        say(
            f"ingest, {size} a request, round {turn + 1} of {ROUNDS}: bare {bare[-1]:,.0f}/s, "
            + ", ".join(f"{MIXES[suffix]:.0%} matched {found[-1]:,.0f}/s" for suffix, found in rates.items())
        )
    figures = {f"bare_alerts_per_s_{size}": statistics.median(bare)}
    for suffix, found in rates.items():
        figures[f"ingest_alerts_per_s_{size}{suffix}"] = statistics.median(found)
        ratios = [service_rate / bare_rate for service_rate, bare_rate in zip(found, bare, strict=True)]
        figures[f"ingest_vs_bare_{size}{suffix}"] = statistics.median(ratios)
    return figures


def _count(size: int, share: float) -> int:
    """Fewer where each costs more, so that all turns take about as long."""
    return COUNTS[size] // (4 if share > 0.5 and size > 1 else 1)


async def _rate(load: Load) -> float:
    """Alerts a second. Raises when any request is not taken."""
    seconds, answers = await sent(load)
    if answers != {"202": load.count}:
        raise RuntimeError(f"of {load.count} requests not all were taken: {answers}")
    return load.count * load.size / seconds
