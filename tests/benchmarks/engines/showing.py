"""
The engines side by side, as a table that people read.

In: figures by name, and what could not be measured. Out: text. A ratio in brackets is ours over theirs on the same
database.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.benchmarks.engines.comparing import Compared
from tests.benchmarks.engines.sides import BESIDE

COLUMNS = {
    "sqlite": ("ours", "SQLite"),
    "postgres": ("ours", "PostgreSQL"),
    "dbos_sqlite": ("DBOS", "SQLite"),
    "dbos_postgres": ("DBOS", "PostgreSQL"),
    "procrastinate": ("procrastinate", "PostgreSQL"),
}
ROWS = {
    "enqueue_per_s": "durable enqueues/s, 32 callers",
    "enqueue_batch_per_s": "  in batches of 200",
    "enqueue_cpu_ms": "  CPU ms of one, 32 callers",
    "first_step_ms_p50": "ms from enqueue to first step, p50",
    "first_step_ms_p99": "  p99",
    "first_step_direct_ms_p50": "  without a queue, p50",
    "first_step_direct_ms_p99": "  without a queue, p99",
    "step_ms": "ms of one journalled step, alone",
    "step_cpu_ms": "  CPU ms",
    "step_together_ms": "  32 runs side by side",
    "step_together_cpu_ms": "  32 runs side by side, CPU ms",
    "claim_ms_behind_20000": "ms to claim 16 behind 20,000 held runs",
}
WIDTH = 18


def table(compared: Compared) -> str:
    wide = max(len(what) for what in ROWS.values())
    heads = [" " * wide + "".join(f"{names[line]:>{WIDTH}}" for names in COLUMNS.values()) for line in (0, 1)]
    lines = [f"{what:<{wide}}" + _cells(compared.figures, row) for row, what in ROWS.items()]
    return "\n".join([*heads, *lines, "in brackets: ours over theirs on the same database", *_left_out(compared)])


def _cells(figures: Mapping[str, float], row: str) -> str:
    return "".join(_cell(figures, row, side) for side in COLUMNS)


def _cell(figures: Mapping[str, float], row: str, side: str) -> str:
    figure = figures.get(f"{row}_{side}")
    if figure is None:
        return f"{'–':>{WIDTH}}"
    ratio = figures.get(f"{row}_{BESIDE.get(side)}_vs_{side.partition('_')[0]}")
    return f"{short(figure) + ('' if ratio is None else f' ({short(ratio)})'):>{WIDTH}}"


def short(figure: float) -> str:
    digits = 0 if figure >= 100 else 1 if figure >= 10 else 2 if figure >= 1 else 3
    return f"{figure:,.{digits}f}"


def _left_out(compared: Compared) -> list[str]:
    """A line for each reason, with everybody it keeps out."""
    whys: dict[str, list[str]] = {}
    for side, why in (compared.missing | compared.failed).items():
        whys.setdefault(why, []).append(" ".join(COLUMNS[side]))
    return [f"not measured: {', '.join(sides)}: {why}" for why, sides in whys.items()]
