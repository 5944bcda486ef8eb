"""
Every engine in turn, round after round.

In: a folder. Out: figures and ratios by name, and what could not be measured with why. A round asks each engine once,
one after the other, so that other work on the machine hits all alike. What is not installed is left out and named;
what fails loses only itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.engines import summing, turns
from tests.benchmarks.engines.sides import SIDES, THEIRS, Side
from tests.benchmarks.engines.turns import Turn
from tests.postgres import programs
from tests.postgres.server import PostgresServer, server
from tests.postgres.template import made_template

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
        programs.folder()
    except RuntimeError as missing:
        comparison = _Comparison(folder, None, say)
        comparison.leave_out(str(missing), *(side for side in SIDES if side.database == "postgres"))
        return await comparison.made()
    with made_template() as template, server(template) as postgres:
        return await _Comparison(folder, postgres, say).made()


class _Comparison:
    def __init__(self, folder: Path, postgres: PostgresServer | None, say: Say) -> None:
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
                with self._database(side, f"round-{number}") as url:
                    self._note(side, await turns.take(side, url))
            self._say(f"engines, round {number} of {ROUNDS}: {self._progress()}")
        for side in self._measured():
            if side.is_ours:
                await self._claim_behind_a_backlog(side)
        figures = summing.figures(self._told) | summing.ratios(self._told) | self._backlog
        return Compared(figures, self._missing, self._failed)

    def _measured(self) -> list[Side]:
        return [side for side in SIDES if side.name not in self._missing | self._failed]

    @contextmanager
    def _database(self, side: Side, occasion: str) -> Iterator[str]:
        """The URL of an empty one."""
        if self._postgres is not None and side.database == "postgres":
            with self._postgres.database() as empty:
                yield empty.url
        else:
            yield f"sqlite:///{self._folder / side.name}-{occasion}.db"

    def _note(self, side: Side, turn: Turn) -> None:
        if turn.failed:
            self._failed[side.name] = turn.failed
        elif turn.missing:
            self.leave_out(turn.missing, side)
        else:
            self._told[side.name].append(turn)

    async def _claim_behind_a_backlog(self, side: Side) -> None:
        self._say(f"engines, claims behind a backlog: {side.name}")
        with self._database(side, "backlog") as url:
            turn = await turns.take_backlog(side, url)
        if turn.failed:
            self._failed[side.name] = turn.failed
        self._backlog |= {f"{name}_{side.name}": figure for name, figure in turn.figures.items()}

    def _progress(self) -> str:
        last = {side.name: self._told[side.name][-1] for side in self._measured()}
        return ", ".join(f"{name} {turn.figures['enqueue_per_s']:,.0f} enqueues/s" for name, turn in last.items())
