"""
Measure everything, print two tables, write `build/bench.json`. Exit code 1 when something failed; what is not installed
is left out and named.

Six minutes. Targets are shown beside the figures, and judged by whoever reads them: a figure belongs to its machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import ingest
from tests.benchmarks.engines import showing
from tests.benchmarks.engines.comparing import Compared, compare
from tests.benchmarks.first_write import RATE, first_write, percentile
from tests.benchmarks.inside import match_1000_vs_10_rules
from tests.benchmarks.processes import ROOT, idle, service, silent_server

ALERTS = 300
WHAT = {
    "ingest_alerts_per_s_1": "alerts/s taken, 1 a request, 10 % matched and admitted",
    "ingest_alerts_per_s_1_unmatched": "  none matched",
    "ingest_alerts_per_s_1_matched": "  all matched and admitted",
    "bare_alerts_per_s_1": "  a bare server that only parses them",
    "ingest_vs_bare_1": "  the service over the bare server",
    "ingest_alerts_per_s_100": "alerts/s taken, 100 a request, 10 % matched and admitted",
    "ingest_alerts_per_s_100_unmatched": "  none matched",
    "ingest_alerts_per_s_100_matched": "  all matched and admitted",
    "bare_alerts_per_s_100": "  a bare server that only parses them",
    "ingest_vs_bare_100": "  the service over the bare server (aim: 0.5 or more)",
    "ingest_vs_bare_100_unmatched": "    none matched",
    "ingest_vs_bare_100_matched": "    all matched and admitted",
    "first_write_ms_p50": f"ms from POST to first write, {RATE:g} alerts/s; a system that looks once",
    "first_write_ms_p99": "  99th percentile (aim: under 100)",
    "ready_seconds": "s from the start of the process to /readyz 200",
    "idle_pss_mib": "MiB (PSS) after 5 s without work",
    "match_1000_vs_10_rules": "cost of dispatch with 1000 rules over 10",
}
_began = time.monotonic()
_load = os.getloadavg()[0]


def say(text: str) -> None:
    """Progress, apart from the table."""
    print(f"[{time.monotonic() - _began:5.1f} s] {text}", file=sys.stderr, flush=True)


async def measure(folder: Path) -> dict[str, float]:
    figures: dict[str, float] = {}
    say("matching, inside one process")
    figures["match_1000_vs_10_rules"] = match_1000_vs_10_rules()
    say("starting the service, twice: the first time compiles it")
    async with silent_server() as cluster:
        async with service(folder / "compile", f"http://127.0.0.1:{cluster}"):
            pass
        async with service(folder / "idle", f"http://127.0.0.1:{cluster}") as serving:
            figures["ready_seconds"] = serving.ready_seconds
            figures["idle_pss_mib"] = await idle(serving)
    say(f"first writes: {ALERTS} alerts at {RATE:g}/s")
    waited = await first_write(folder / "first-write", ALERTS)
    figures["first_write_ms_p50"], figures["first_write_ms_p99"] = percentile(waited, 50), percentile(waited, 99)
    return figures | await ingest.measure(folder, say)


def table(figures: dict[str, float]) -> str:
    lines = [f"{figures[name]:>12,.{_digits(figures[name])}f}  {what}" for name, what in WHAT.items()]
    machine = f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
    load = f"load {_load:.1f} before and {os.getloadavg()[0]:.1f} after"
    return "\n".join([*lines, f"{machine}; {load}: with others at work, believe the ratios only"])


def _digits(figure: float) -> int:
    return 0 if figure >= 1000 else 1 if figure >= 10 else 3


async def everything(folder: Path) -> tuple[dict[str, float], Compared]:
    figures = await measure(folder)
    say("the journal beside other engines")
    return figures, await compare(folder, say)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="remediator-bench-") as folder:
        figures, compared = asyncio.run(everything(Path(folder)))
    written = ROOT / "build" / "bench.json"
    written.parent.mkdir(exist_ok=True)
    written.write_text(json.dumps(as_written(figures | compared.figures, compared), indent=2) + "\n")
    print(table(figures))
    print(f"\n{showing.table(compared)}")
    say(f"written to {written.relative_to(ROOT)}")
    return 1 if compared.failed else 0


def as_written(figures: dict[str, float], compared: Compared) -> dict[str, object]:
    """Every figure by name, what is missing by the side it is missing for, and how busy the machine was."""
    rounded: dict[str, object] = {name: round(figures[name], 4) for name in sorted(figures)}
    load = {"load_before": round(_load, 2), "load_after": round(os.getloadavg()[0], 2)}
    return rounded | load | {"not_measured": compared.missing | compared.failed}


if __name__ == "__main__":
    sys.exit(main())
