"""
A run's own transactions: save, start, intend, settle.

In: a connection inside a transaction, and what the caller read earlier. Out: what is stored now, or LostRun or
IllegalMove and nothing changed. Decides nothing: limits are judged by the function it is handed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime

from remediator.model.ledger import StartRequest, Switch, Trace, Usage
from remediator.model.runs import Run, StepRecord
from remediator.model.verdicts import Allow, Verdict
from remediator.store import rulings
from remediator.store.rows import moment, plain, run_text, step_text, switch_text, trace_text
from remediator.store.sqlite import reading


def save(db: sqlite3.Connection, run: Run, trace: Trace | None, now: datetime) -> Run:
    stored = rulings.check_version(run, reading.get(db, run.id))
    after = rulings.saved(run, stored)
    _store(db, after)
    if trace is not None:
        db.execute("INSERT INTO traces (run_id, body) VALUES (?, ?)", (run.id, trace_text(trace)))
    if after.state.is_final and not stored.state.is_final:
        _let_go(db, after, now)
    return after


def _store(db: sqlite3.Connection, run: Run) -> None:
    db.execute(
        "UPDATE runs SET state = ?, is_live = ?, due_at = ?, version = ?, resolved_at = ?, body = ? WHERE id = ?",
        (
            str(run.state),
            int(not run.state.is_final),
            moment(run.due_at),
            run.version,
            moment(run.resolved_at) if run.resolved_at else None,
            run_text(run),
            run.id,
        ),
    )


def _let_go(db: sqlite3.Connection, run: Run, now: datetime) -> None:
    """Free the target, and remember when a run that wrote to it ended."""
    key = reading.locked_by(db, run.id) or (run.target.key if run.target else None)
    db.execute("DELETE FROM target_locks WHERE run_id = ?", (run.id,))
    if run.touched and key is not None:
        db.execute(
            "INSERT INTO finished (target_key, at) VALUES (?, ?)"
            " ON CONFLICT (target_key) DO UPDATE SET at = max(at, excluded.at)",
            (plain(key), moment(run.finished_at or now)),
        )


def start(db: sqlite3.Connection, request: StartRequest, judge: Callable[[Usage], Verdict], now: datetime) -> Verdict:
    stored = rulings.check_version(request.run, reading.get(db, request.run.id))
    if rulings.has_started(request, stored, reading.locked_by(db, stored.id)):
        return Allow()
    usage = reading.usage(db, request, now)
    verdict = judge(usage)
    if isinstance(verdict, Allow):
        rulings.check_free(request, usage)
        _record_start(db, request, usage.now)
    return verdict


def _record_start(db: sqlite3.Connection, request: StartRequest, at: datetime) -> None:
    rows = [(plain(scope), moment(at), request.run.id) for scope in rulings.scopes(request)]
    db.executemany("INSERT INTO starts (scope, at, run_id) VALUES (?, ?, ?)", rows)
    lock = (plain(request.target_key), request.run.id)
    db.execute("INSERT INTO target_locks (target_key, run_id) VALUES (?, ?)", lock)


def intend(db: sqlite3.Connection, run: Run, record: StepRecord) -> Run:
    stored = rulings.check_version(run, reading.get(db, run.id))
    after = rulings.intended(run, record, stored, reading.attempts(db, run.id, record.seq))
    row = (record.run_id, record.seq, record.attempt, step_text(record))
    db.execute("INSERT INTO steps (run_id, seq, attempt, body) VALUES (?, ?, ?, ?)", row)
    _store(db, after)
    return after


def settle(db: sqlite3.Connection, run: Run, outcome: StepRecord) -> Run:
    stored = rulings.check_version(run, reading.get(db, run.id))
    attempts = reading.attempts(db, run.id, outcome.seq)
    journalled = next((step for step in attempts if step.attempt == outcome.attempt), None)
    after, step = rulings.settled(run, outcome, stored, journalled)
    if after.version == stored.version:
        return stored
    row = (step_text(step), run.id, step.seq, step.attempt)
    db.execute("UPDATE steps SET body = ? WHERE run_id = ? AND seq = ? AND attempt = ?", row)
    _store(db, after)
    return after


def throw(db: sqlite3.Connection, switch: Switch) -> None:
    db.execute("INSERT INTO switches (name, body) VALUES (?, ?)", (plain(switch.name), switch_text(switch)))
