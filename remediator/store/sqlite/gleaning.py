"""
Read what can still be read of a damaged journal.

In: a connection that cannot write. Out: values whose own checksums hold, and how many rows there are that cannot be
read. A scan ends at the first broken page, so a table is read from both ends, and what lies between is asked for row
by row, by the keys that an index still has. Nothing is guessed: what cannot be proven is left out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import Signal, Switch, Trace
from remediator.model.runs import Run, StepRecord
from remediator.store.rows import maybe_time, plain, run_from, signal_from, step_from, switch_from, trace_from
from remediator.store.sqlite.faults import ERRORS

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Shelf:
    """A table of sealed values: its key, indexes that hold every key again, and what reads and proves a row."""

    table: str
    key: tuple[str, ...]
    indexes: tuple[str, ...]
    read: Callable[[Key, str], object]

    def holds(self, key: Key, body: object) -> bool:
        try:
            return isinstance(body, str) and self.read(key, body) is not None
        except (StoreUnavailable, LookupError, TypeError, ValueError):
            return False


def _step(key: Key, body: str) -> StepRecord | None:
    step = step_from(body)
    return step if (plain(step.run_id), step.seq, step.attempt) == key else None


RUNS = Shelf("runs", ("filed",), ("runs_by_age", "runs_by_rule"), lambda _, body: run_from(body))
STEPS = Shelf("steps", ("run_id", "seq", "attempt"), (), _step)
TRACES = Shelf("traces", ("id",), ("traces_of_run",), lambda _, body: trace_from(body))
SIGNALS = Shelf("signals", ("id",), (), lambda _, body: signal_from(body))
SWITCHES = Shelf("switches", ("id",), ("switches_by_name",), lambda _, body: switch_from(body))


def glean(db: sqlite3.Connection, shelf: Shelf, keep: Callable[[Key, str], None] = lambda _key, _body: None) -> int:
    """Hand every row of the table that can be proven to `keep`; answers at least how many cannot."""
    whole: dict[Key, bool] = {}

    def prove(key: Key, body: object) -> None:
        if key not in whole:
            whole[key] = shelf.holds(key, body)
            if whole[key]:
                keep(key, str(body))

    is_all = _from_both_ends(db, shelf, prove)
    if not is_all:
        for key in {key for index in shelf.indexes for key in _keys(db, shelf, index)} - set(whole):
            prove(key, _one(db, shelf, key))
    unreadable = list(whole.values()).count(False)
    return unreadable if is_all else max(1, unreadable)


def _from_both_ends(
    db: sqlite3.Connection, shelf: Shelf, hand: Callable[[Key, object], None], where: str = "1", values: Key = ()
) -> bool:
    """What can be read from the beginning and, if that breaks off, from the end. Whether it did not break off."""
    for direction in ("ASC", "DESC"):
        order = ", ".join(f"{column} {direction}" for column in shelf.key)
        # Only names from the shelves above and fixed texts are put together here.
        query = f"SELECT {', '.join(shelf.key)}, body FROM {shelf.table} WHERE {where} ORDER BY {order}"  # noqa: S608
        try:
            for *key, body in db.execute(query, values):
                hand(tuple(key), body)
        except ERRORS:
            continue
        return direction == "ASC"
    return False


def _keys(db: sqlite3.Connection, shelf: Shelf, index: str) -> Iterator[Key]:
    try:
        yield from db.execute(f"SELECT {', '.join(shelf.key)} FROM {shelf.table} INDEXED BY {index}")  # noqa: S608
    except ERRORS:
        return


def _one(db: sqlite3.Connection, shelf: Shelf, key: Key) -> str | None:
    where = " AND ".join(f"{column} = ?" for column in shelf.key)
    try:
        row = db.execute(f"SELECT body FROM {shelf.table} WHERE {where}", key).fetchone()  # noqa: S608
    except ERRORS:
        return None
    return row[0] if row else None


# --- values ------------------------------------------------------------------------------------------------


def run(db: sqlite3.Connection, filed: int) -> Run | None:
    """The run in that row. Its resolution is told where the journal says it twice: its column has no checksum."""
    body = _one(db, RUNS, (filed,))
    if body is None or not RUNS.holds((filed,), body):
        return None
    found = run_from(body)
    if found.resolved_at is not None:
        return found
    query = (
        "SELECT resolutions.at FROM runs JOIN resolutions ON resolutions.episode = ?"
        " WHERE runs.filed = ? AND runs.resolved_at = resolutions.at"
    )
    try:
        row = db.execute(query, (plain(found.episode), filed)).fetchone()
        return replace(found, resolved_at=maybe_time(row[0])) if row else found
    except (*ERRORS, ValueError):
        return found


def steps(db: sqlite3.Connection, run_id: str) -> list[StepRecord]:
    """In order of step, then attempt."""
    rows = _of_run(db, STEPS, run_id)
    return [step_from(rows[key]) for key in sorted(rows)]


def traces(db: sqlite3.Connection, run_id: str) -> list[Trace]:
    rows = _of_run(db, TRACES, run_id)
    return [trace_from(rows[key]) for key in sorted(rows)]


def signals(db: sqlite3.Connection, run_id: str) -> list[Signal]:
    rows = _of_run(db, SIGNALS, run_id)
    found = (signal_from(rows[key]) for key in sorted(rows))
    return [signal for signal in found if signal.run_id == run_id]


def _of_run(db: sqlite3.Connection, shelf: Shelf, run_id: str) -> Mapping[Key, str]:
    found: dict[Key, str] = {}

    def prove(key: Key, body: object) -> None:
        if shelf.holds(key, body):
            found[key] = str(body)

    _from_both_ends(db, shelf, prove, "run_id = ?", (plain(run_id),))
    return found


def latest(thrown: Mapping[Key, str]) -> list[Switch]:
    """As each switch was thrown last."""
    by_name = {switch.name: switch for switch in (switch_from(thrown[key]) for key in sorted(thrown))}
    return [by_name[name] for name in sorted(by_name)]
