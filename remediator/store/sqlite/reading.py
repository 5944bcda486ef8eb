"""
Questions to the journal. In: a connection. Out: stored values. Never writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from remediator.model.errors import DamagedRecord
from remediator.model.ledger import FREEZE, RunFilter, StartRequest, Switch, Trace, Usage, arm_switch
from remediator.model.rules import Limit
from remediator.model.runs import Run, StepRecord
from remediator.store import rulings
from remediator.store.rows import (
    maybe_time,
    moment,
    plain,
    run_from_row,
    step_from,
    switch_from,
    trace_from,
)


def get(db: sqlite3.Connection, run_id: str) -> Run | None:
    row = db.execute("SELECT body, resolved_at FROM runs WHERE id = ?", (plain(run_id),)).fetchone()
    return run_from_row(*row) if row else None


def attempts(db: sqlite3.Connection, run_id: str, seq: int) -> Sequence[StepRecord]:
    """One step's, in order."""
    found = db.execute("SELECT body FROM steps WHERE run_id = ? AND seq = ? ORDER BY attempt", (plain(run_id), seq))
    return [step_from(body) for (body,) in found]


Damage = dict[str, str]
"""Ids of runs that cannot be read, with why."""


def due(db: sqlite3.Connection, now: datetime, limit: int) -> tuple[Sequence[Run], Damage]:
    """Live runs whose time has come, oldest first; one that cannot be read is set aside and stops no other."""
    # `+due_at` keeps SQLite on the index by age: by due time it would read and sort the whole backlog each time.
    found = db.execute(
        "SELECT id, body, resolved_at FROM runs WHERE is_live = 1 AND +due_at <= ? ORDER BY created_at, filed LIMIT ?",
        (moment(now), limit),
    )
    return _readable(found)


def _readable(rows: Iterable[Any]) -> tuple[list[Run], Damage]:
    runs, damage = [], {}
    for run_id, body, resolved_at in rows:
        try:
            runs.append(run_from_row(body, resolved_at))
        except DamagedRecord as error:
            damage[str(run_id)] = str(error)
    return runs, damage


def next_due(db: sqlite3.Connection, claimed: Collection[str], most: int) -> datetime | None:
    """Among the first `most` live runs by time, at least one of which is not claimed if any is free."""
    found = db.execute("SELECT id, due_at FROM runs WHERE is_live = 1 ORDER BY due_at LIMIT ?", (most,))
    return next((datetime.fromisoformat(at) for run_id, at in found if run_id not in claimed), None)


def listed(db: sqlite3.Connection, which: RunFilter) -> tuple[Sequence[Run], Damage]:
    """Newest first; runs that cannot be read are told apart."""
    where, values = ["1"], []
    if which.states:
        where.append(f"state IN ({', '.join('?' * len(which.states))})")
        values += [str(state) for state in which.states]
    if which.rule:
        where.append("rule = ?")
        values.append(plain(which.rule))
    # Only placeholders and the fixed texts above are put together here.
    query = (
        f"SELECT id, body, resolved_at FROM runs WHERE {' AND '.join(where)}"  # noqa: S608
        " ORDER BY created_at DESC, filed DESC LIMIT ?"
    )
    return _readable(db.execute(query, (*values, max(0, which.limit))))


def steps(db: sqlite3.Connection, run_id: str) -> Sequence[StepRecord]:
    """In order of step, then attempt."""
    found = db.execute("SELECT body FROM steps WHERE run_id = ? ORDER BY seq, attempt", (plain(run_id),))
    return [step_from(body) for (body,) in found]


def traces(db: sqlite3.Connection, run_id: str) -> Sequence[Trace]:
    found = db.execute("SELECT body FROM traces WHERE run_id = ? ORDER BY id", (plain(run_id),))
    return [trace_from(body) for (body,) in found]


def usage(db: sqlite3.Connection, request: StartRequest, clock_now: datetime) -> Usage:
    """What the limits are judged on. `now` never lies behind the newest start, so a set-back clock refills nothing."""
    key = plain(request.target_key)
    rule_scope, target_scope, global_scope = rulings.scopes(request)
    newest = _text(db, "SELECT max(at) FROM starts WHERE scope = ?", global_scope)
    return Usage(
        now=rulings.store_now(clock_now, maybe_time(newest)),
        rule_starts=_starts(db, rule_scope, request.run.id, request.per_rule, clock_now),
        target_starts=_starts(db, target_scope, request.run.id, request.per_target, clock_now),
        global_starts=_starts(db, global_scope, request.run.id, request.per_service, clock_now),
        last_finished=maybe_time(_text(db, "SELECT at FROM finished WHERE target_key = ?", key)),
        holder=_text(db, "SELECT run_id FROM target_locks WHERE target_key = ? AND run_id <> ?", key, request.run.id),
        frozen=is_on(db, FREEZE),
        armed=is_on(db, arm_switch(request.run.rule)),
    )


def _text(db: sqlite3.Connection, query: str, *values: str) -> str | None:
    row = db.execute(query, values).fetchone()
    return row[0] if row else None


def _starts(db: sqlite3.Connection, scope: str, own: str, limit: Limit, clock_now: datetime) -> tuple[datetime, ...]:
    """Starts of other runs: one that crashed right after its own start must not be held back by it."""
    since = moment(clock_now - limit.window)
    found = db.execute("SELECT at FROM starts WHERE scope = ? AND at > ? AND run_id <> ?", (plain(scope), since, own))
    return rulings.in_window((datetime.fromisoformat(at) for (at,) in found), limit, clock_now)


def locked_by(db: sqlite3.Connection, run_id: str) -> str | None:
    """The target whose lock this run has."""
    return _text(db, "SELECT target_key FROM target_locks WHERE run_id = ?", run_id)


def switch(db: sqlite3.Connection, name: str) -> Switch | None:
    """As it was thrown last, whatever its clock said."""
    body = _text(db, "SELECT body FROM switches WHERE name = ? ORDER BY id DESC LIMIT 1", plain(name))
    return switch_from(body) if body else None


def is_on(db: sqlite3.Connection, name: str) -> bool:
    found = switch(db, name)
    return found is not None and found.on


def switches(db: sqlite3.Connection) -> Sequence[Switch]:
    found = db.execute(
        "SELECT body FROM switches WHERE id IN (SELECT max(id) FROM switches GROUP BY name) ORDER BY name"
    )
    return [switch_from(body) for (body,) in found]
