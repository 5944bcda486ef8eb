"""
Who is measured: the engines, their databases, and how much each is asked.

In: nothing. Out: names that end the figures' names in `build/bench.json`, and which of ours stands beside which of
theirs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tests.benchmarks.engines.measuring import Amounts
from tests.benchmarks.processes import ROOT

THEIRS = ROOT / ".venv-bench" / "bin" / "python"
"""An environment of their own, made by `make bench`."""


@dataclass(frozen=True)
class Side:
    """One engine on one database."""

    name: str
    module: str
    database: str
    amounts: Amounts

    @property
    def is_ours(self) -> bool:
        return self.module == "ours"

    @property
    def python(self) -> str:
        return sys.executable if self.is_ours else str(THEIRS)


_OURS, _DBOS = Amounts(4000, 15, 40, 300, 25), Amounts(1000, 4, 40, 200, 10)
SIDES = (
    Side("sqlite", "ours", "sqlite", _OURS),
    Side("postgres", "ours", "postgres", _OURS),
    Side("dbos_sqlite", "with_dbos", "sqlite", _DBOS),
    Side("dbos_postgres", "with_dbos", "postgres", _DBOS),
    Side("procrastinate", "with_procrastinate", "postgres", Amounts(1000, 6, 40, 0, 0)),
)
BESIDE = {"dbos_sqlite": "sqlite", "dbos_postgres": "postgres", "procrastinate": "postgres"}
"""Ours that each of theirs is compared with: the one on the same database."""
