"""
A run's own transactions: save, start, intend, settle, signal.

In: a connection inside a transaction, and what the caller read earlier. Out: what is stored now, or LostRun or
IllegalMove and nothing changed. Decides nothing: limits are judged by the function it is handed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from remediator.model.ledger import Signal, StartRequest, Switch, Trace, Usage
from remediator.model.runs import Run, StepRecord, StepState
from remediator.model.verdicts import Allow, Verdict
from remediator.store import auditing, rulings
from remediator.store.rows import maybe_moment, moment, plain, run_text, signal_text, step_text, switch_text, trace_text
from remediator.store.sqlite import reading
from remediator.store.sqlite.trail import record


def save(db: sqlite3.Connection, run: Run, trace: Trace | None, now: datetime) -> Run:
    stored = rulings.check_version(run, reading.get(db, run.id))
    after = rulings.saved(run, stored)
    if rulings.wakes(after, reading.told(db, run.id)):
        after = replace(after, due_at=min(after.due_at, now))
    _store(db, after, got_on=rulings.gives_up_claim(after))
    if trace is not None:
        db.execute("INSERT INTO traces (run_id, body) VALUES (?, ?)", (run.id, trace_text(trace)))
        record(db, auditing.of_move(after, trace), now)
    if after.state.is_final and not stored.state.is_final:
        _let_go(db, after, now)
    return after


def _store(db: sqlite3.Connection, run: Run, *, got_on: bool) -> None:
    """`got_on`: it is no suspect any more, whatever its worker had it do before."""
    ended_at = (run.finished_at or run.due_at) if run.state.is_final else None
    db.execute(
        "UPDATE runs SET state = ?, is_live = ?, due_at = ?, version = ?, resolved_at = ?, ended_at = ?, body = ?,"
        " tries = iif(?, 0, tries) WHERE id = ?",
        (
            str(run.state),
            int(not run.state.is_final),
            moment(run.due_at),
            run.version,
            maybe_moment(run.resolved_at),
            maybe_moment(ended_at),
            run_text(run),
            got_on,
            run.id,
        ),
    )


def _let_go(db: sqlite3.Connection, run: Run, now: datetime) -> None:
    """Free the target, and remember when a run that wrote to it ended."""
    key = reading.locked_by(db, run.id) or (run.target.key if run.target else None)
    db.execute("DELETE FROM target_locks WHERE run_id = ?", (run.id,))
    if run.touched and key is not None:
        row = (plain(key), moment(run.finished_at or now))
        db.execute("INSERT INTO finishes (target_key, at) VALUES (?, ?)", row)


def start(db: sqlite3.Connection, request: StartRequest, judge: Callable[[Usage], Verdict], now: datetime) -> Verdict:
    stored = rulings.check_version(request.run, reading.get(db, request.run.id))
    if rulings.has_started(request, stored, reading.locked_by(db, stored.id)):
        return Allow()
    usage = reading.usage(db, request, now)
    verdict = judge(usage)
    if isinstance(verdict, Allow):
        rulings.check_free(request, usage)
        _record_start(db, request, usage.now)
    record(db, auditing.of_start(request, usage, verdict), now)
    return verdict


def _record_start(db: sqlite3.Connection, request: StartRequest, at: datetime) -> None:
    rows = [(plain(scope), moment(at), request.run.id) for scope in rulings.scopes(request)]
    db.executemany("INSERT INTO starts (scope, at, run_id) VALUES (?, ?, ?)", rows)
    lock = (plain(request.target_key), request.run.id)
    db.execute("INSERT INTO target_locks (target_key, run_id) VALUES (?, ?)", lock)


def intend(db: sqlite3.Connection, run: Run, step: StepRecord, now: datetime) -> Run:
    stored = rulings.check_version(run, reading.get(db, run.id))
    after = rulings.intended(run, step, stored, reading.attempts(db, run.id, step.seq))
    row = (step.run_id, step.seq, step.attempt, step_text(step))
    db.execute("INSERT INTO steps (run_id, seq, attempt, body) VALUES (?, ?, ?, ?)", row)
    _store(db, after, got_on=False)
    record(db, auditing.of_intent(step), now)
    return after


def settle(db: sqlite3.Connection, run: Run, outcome: StepRecord, now: datetime) -> Run:
    stored = rulings.check_version(run, reading.get(db, run.id))
    attempts = reading.attempts(db, run.id, outcome.seq)
    journalled = next((step for step in attempts if step.attempt == outcome.attempt), None)
    after, step = rulings.settled(run, outcome, stored, journalled)
    if after.version == stored.version:
        return stored
    row = (step_text(step), run.id, step.seq, step.attempt)
    db.execute("UPDATE steps SET body = ? WHERE run_id = ? AND seq = ? AND attempt = ?", row)
    _store(db, after, got_on=step.state is StepState.DONE)
    record(db, auditing.of_outcome(step), now)
    return after


def signal(db: sqlite3.Connection, signal: Signal, now: datetime) -> Signal:
    """The first of its name and digest, which wakes the run if it waits."""
    run = rulings.check_signal(signal, reading.get(db, signal.run_id))
    for earlier in reading.signals(db, run.id):
        if (earlier.name, earlier.digest) == (signal.name, signal.digest):
            return earlier
    row = (run.id, str(signal.name), plain(signal.digest), signal_text(signal))
    db.execute("INSERT INTO signals (run_id, name, digest, body) VALUES (?, ?, ?, ?)", row)
    if rulings.wakes(run, reading.told(db, run.id)):
        db.execute("UPDATE runs SET due_at = min(due_at, ?) WHERE id = ?", (moment(now), run.id))
    record(db, auditing.of_signal(signal), now)
    return signal


def throw(db: sqlite3.Connection, switch: Switch, now: datetime) -> None:
    db.execute("INSERT INTO switches (name, body) VALUES (?, ?)", (plain(switch.name), switch_text(switch)))
    record(db, auditing.of_switch(switch), now)
