"""
Questions to the journal. In: a connection. Out: stored values. Never writes.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from remediator.model.errors import DamagedRecord
from remediator.model.ledger import (
    FREEZE,
    AuditKind,
    AuditRecord,
    History,
    RunFilter,
    Signal,
    SignalName,
    StartRequest,
    Switch,
    Trace,
    Usage,
    arm_switch,
)
from remediator.model.rules import Limit
from remediator.model.runs import Run, StepRecord
from remediator.store import rulings
from remediator.store.rows import (
    RunColumns,
    maybe_time,
    moment,
    plain,
    run_from_row,
    signal_from,
    step_from,
    switch_from,
    trace_from,
)

RUN = "body, version, due_at, resolved_at"
"""The columns that make a run."""


def get(db: sqlite3.Connection, run_id: str) -> Run | None:
    row = db.execute(f"SELECT {RUN} FROM runs WHERE id = ?", (plain(run_id),)).fetchone()  # noqa: S608 - a fixed text
    return _run(*row) if row else None


def _run(body: str, version: int, due_at: str, resolved_at: str | None) -> Run:
    return run_from_row(body, RunColumns(version, datetime.fromisoformat(due_at), maybe_time(resolved_at)))


def attempts(db: sqlite3.Connection, run_id: str, seq: int) -> Sequence[StepRecord]:
    """One step's, in order."""
    found = db.execute("SELECT body FROM steps WHERE run_id = ? AND seq = ? ORDER BY attempt", (plain(run_id), seq))
    return [step_from(body) for (body,) in found]


Damage = dict[str, str]
"""Ids of runs that cannot be read, with why."""


def waiting(db: sqlite3.Connection, now: datetime, claimed: Collection[str]) -> Iterator[tuple[str, int]]:
    """Ids of live runs that are due and free, oldest first, with the tries of each."""
    # `+due_at` keeps SQLite on the index by age: by due time it would read and sort the whole backlog each time.
    found = db.execute(
        "SELECT id, tries FROM runs WHERE is_live = 1 AND +due_at <= ? ORDER BY created_at, filed", (moment(now),)
    )
    return ((run_id, tries) for run_id, tries in found if run_id not in claimed)


def tries(db: sqlite3.Connection, run_id: str) -> int:
    row = db.execute("SELECT tries FROM runs WHERE id = ?", (run_id,)).fetchone()
    return int(row[0]) if row else 0


def _readable(rows: Iterable[Any]) -> tuple[list[Run], Damage]:
    runs, damage = [], {}
    for run_id, *columns in rows:
        try:
            runs.append(_run(*columns))
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
        f"SELECT id, {RUN} FROM runs WHERE {' AND '.join(where)}"  # noqa: S608
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
    newest = _text(db, "SELECT max(at) FROM starts WHERE scope = ?", rulings.GLOBAL_SCOPE)
    by_rule, by_target, by_namespace, in_all = (
        _starts(db, scope, request.run.id, limit, clock_now)
        for scope, limit in zip(rulings.scopes(request), rulings.limits(request), strict=True)
    )
    arming = switch(db, arm_switch(request.run.rule))
    return Usage(
        now=rulings.store_now(clock_now, maybe_time(newest)),
        rule_starts=by_rule,
        target_starts=by_target,
        namespace_starts=by_namespace,
        global_starts=in_all,
        finishes=_finishes(db, key, clock_now),
        holder=_text(db, "SELECT run_id FROM target_locks WHERE target_key = ? AND run_id <> ?", key, request.run.id),
        frozen=is_on(db, FREEZE),
        armed=arming is not None and arming.on,
        armed_revision=arming.revision if arming and arming.on else "",
    )


def _text(db: sqlite3.Connection, query: str, *values: str) -> str | None:
    row = db.execute(query, values).fetchone()
    return row[0] if row else None


def _starts(db: sqlite3.Connection, scope: str, own: str, limit: Limit, clock_now: datetime) -> tuple[datetime, ...]:
    """Starts of other runs: one that crashed right after its own start must not be held back by it."""
    since = moment(clock_now - limit.window)
    found = db.execute("SELECT at FROM starts WHERE scope = ? AND at > ? AND run_id <> ?", (plain(scope), since, own))
    return rulings.in_window((datetime.fromisoformat(at) for (at,) in found), limit, clock_now)


def _finishes(db: sqlite3.Connection, key: str, clock_now: datetime) -> tuple[datetime, ...]:
    found = db.execute("SELECT at FROM finishes WHERE target_key = ?", (key,))
    return rulings.recent((datetime.fromisoformat(at) for (at,) in found), clock_now)


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


# --- signals, the audit trail, what may be forgotten -------------------------------------------------------


def signals(db: sqlite3.Connection, run_id: str) -> Sequence[Signal]:
    found = db.execute("SELECT body FROM signals WHERE run_id = ? ORDER BY id", (plain(run_id),))
    return [signal_from(body) for (body,) in found]


def told(db: sqlite3.Connection, run_id: str) -> Sequence[tuple[SignalName, str]]:
    """Name and digest of each signal of a run."""
    found = db.execute("SELECT name, digest FROM signals WHERE run_id = ?", (run_id,))
    return [(SignalName(name), digest) for name, digest in found]


def cancelled(db: sqlite3.Connection, among: Collection[str]) -> frozenset[str]:
    """Those of these runs that somebody wants to end."""
    if not among:
        return frozenset()
    found = db.execute("SELECT run_id FROM signals WHERE name = ?", (str(SignalName.CANCEL),))
    return frozenset(run_id for (run_id,) in found if run_id in among)


def journal_id(db: sqlite3.Connection) -> str:
    """What tells this journal from every other."""
    return _text(db, "SELECT value FROM meta WHERE key = 'journal'") or ""


def audit_head(db: sqlite3.Connection) -> AuditRecord | None:
    row = db.execute("SELECT seq, at, kind, body, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return AuditRecord(*row) if row else None


def audit(db: sqlite3.Connection, after: int, limit: int) -> Sequence[AuditRecord]:
    found = db.execute(
        "SELECT seq, at, kind, body, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (after, max(0, limit))
    )
    return [AuditRecord(*row) for row in found]


def audit_latest(db: sqlite3.Connection, kind: AuditKind) -> AuditRecord | None:
    row = db.execute(
        "SELECT seq, at, kind, body, hash FROM audit WHERE kind = ? ORDER BY seq DESC LIMIT 1", (str(kind),)
    ).fetchone()
    return AuditRecord(*row) if row else None


def ended(db: sqlite3.Connection, before: datetime, limit: int) -> Sequence[History]:
    """Oldest first. One that cannot be read, in whole or in part, stays where it is."""
    found = db.execute(
        f"SELECT id, {RUN} FROM runs WHERE ended_at < ? AND is_live = 0 ORDER BY ended_at LIMIT ?",  # noqa: S608
        (moment(before), max(0, limit)),
    )
    histories = []
    for run in _readable(found)[0]:
        with contextlib.suppress(DamagedRecord):
            histories.append(history(db, run))
    return histories


def history(db: sqlite3.Connection, run: Run) -> History:
    """A run with all that belongs to it. Raises DamagedRecord."""
    return History(run, tuple(steps(db, run.id)), tuple(traces(db, run.id)), tuple(signals(db, run.id)))
