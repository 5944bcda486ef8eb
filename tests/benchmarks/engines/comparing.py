"""
Every engine in turn, round after round.

In: a folder. Out: figures and ratios by name, and what could not be measured with why. A round asks each engine once,
one after the other, so that other work on the machine hits all alike. What is not installed is left out and named;
what fails loses only itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.engines import summing, turns
from tests.benchmarks.engines.postgres import Server, server
from tests.benchmarks.engines.sides import SIDES, THEIRS, Side
from tests.benchmarks.engines.stores import Missing
from tests.benchmarks.engines.turns import Turn

ROUNDS = 5
Say = Callable[[str], None]


@dataclass(frozen=True)
class Compared:
    figures: dict[str, float]
    missing: dict[str, str]
    """By side: what is not installed here."""
    failed: dict[str, str]
    """By side: what went wrong."""


async def compare(folder: Path, say: Say) -> Compared:
    try:
        async with server() as postgres:
            return await _Comparison(folder, postgres, say).made()
    except Missing as missing:
        comparison = _Comparison(folder, None, say)
        comparison.leave_out(str(missing), *(side for side in SIDES if side.database == "postgres"))
        return await comparison.made()


class _Comparison:
    def __init__(self, folder: Path, postgres: Server | None, say: Say) -> None:
        self._folder = folder
        self._postgres = postgres
        self._say = say
        self._told: dict[str, list[Turn]] = {side.name: [] for side in SIDES}
        self._backlog: dict[str, float] = {}
        self._missing: dict[str, str] = {}
        self._failed: dict[str, str] = {}

    def leave_out(self, why: str, *sides: Side) -> None:
        self._missing |= {side.name: why for side in sides if side.name not in self._missing}

    async def made(self) -> Compared:
        if not await turns.can_run_theirs(str(THEIRS)):
            why = "DBOS and procrastinate: `make bench` could not install them into .venv-bench"
            self.leave_out(why, *(side for side in SIDES if not side.is_ours))
        for number in range(1, ROUNDS + 1):
            for side in self._measured():
                self._note(side, await turns.take(side, await self._database(side, f"round_{number}")))
            self._say(f"engines, round {number} of {ROUNDS}: {self._progress()}")
        for side in self._measured():
            if side.is_ours:
                await self._claim_behind_a_backlog(side)
        figures = summing.figures(self._told) | summing.ratios(self._told) | self._backlog
        return Compared(figures, self._missing, self._failed)

    def _measured(self) -> list[Side]:
        return [side for side in SIDES if side.name not in self._missing | self._failed]

    async def _database(self, side: Side, occasion: str) -> str:
        """The URL of an empty one."""
        name = f"{side.name}_{occasion}"
        if self._postgres is not None and side.database == "postgres":
            return await self._postgres.empty_database(name)
        return f"sqlite:///{self._folder / name}.db"

    def _note(self, side: Side, turn: Turn) -> None:
        if turn.failed:
            self._failed[side.name] = turn.failed
        elif turn.missing:
            self.leave_out(turn.missing, side)
        else:
            self._told[side.name].append(turn)

    async def _claim_behind_a_backlog(self, side: Side) -> None:
        self._say(f"engines, claims behind a backlog: {side.name}")
        turn = await turns.take_backlog(side, await self._database(side, "backlog"))
        if turn.failed:
            self._failed[side.name] = turn.failed
        self._backlog |= {f"{name}_{side.name}": figure for name, figure in turn.figures.items()}

    def _progress(self) -> str:
        last = {side.name: self._told[side.name][-1] for side in self._measured()}
        return ", ".join(f"{name} {turn.figures['enqueue_per_s']:,.0f} enqueues/s" for name, turn in last.items())
