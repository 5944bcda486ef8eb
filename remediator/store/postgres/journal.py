"""
A run's own transactions: save, start, intend, settle, signal; and the switches.

In: a transaction in which the run's row is locked already, and what the caller read earlier. Out: what is stored now,
or LostRun or IllegalMove and nothing changed. Each asks in one statement, rules, and writes in one statement. Decides
nothing: limits are judged by the function it is handed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from remediator.model.ledger import Signal, SignalName, StartRequest, Switch, Trace, Usage
from remediator.model.runs import Run, StepRecord, StepState
from remediator.model.verdicts import Allow, Verdict
from remediator.store import auditing, rulings
from remediator.store.postgres import reading
from remediator.store.postgres.transaction import Transaction, column
from remediator.store.rows import run_text, signal_from, signal_text, step_from, step_text, switch_text, trace_text


class _Known(NamedTuple):
    """A run and what hangs on it."""

    run: Run | None
    locked: str | None
    """The target whose lock it has."""
    told: list[tuple[SignalName, str]]
    signals: list[str]
    attempts: list[str]
    """Of the step that was asked about, in order."""


_KNOWN = f"""
    SELECT {reading.RUN}, coalesce($2::timestamptz, clock_timestamp()) AS now,
        (SELECT target_key FROM target_locks WHERE run_id = $1) AS locked,
        ARRAY(SELECT name FROM signals WHERE run_id = $1 ORDER BY id) AS names,
        ARRAY(SELECT digest FROM signals WHERE run_id = $1 ORDER BY id) AS digests,
        ARRAY(SELECT body FROM signals WHERE run_id = $1 ORDER BY id) AS signals,
        ARRAY(SELECT body FROM steps WHERE run_id = $1 AND seq = $3 ORDER BY attempt) AS attempts
    FROM runs WHERE id = $1
"""  # noqa: S608 - a fixed text


async def _known(tx: Transaction, run_id: str, seq: int | None = None) -> _Known:
    row = await tx.ask_one(_KNOWN, column(run_id), tx.told_now, seq)
    if row is None:
        return _Known(None, None, [], [], [])
    tx.now = row["now"]
    told = reading.told(zip(row["names"], row["digests"], strict=True))
    return _Known(reading.run_of(row), row["locked"], told, row["signals"], row["attempts"])


_SAVE = """
    WITH saved AS (
        UPDATE runs SET state = $2, is_live = $3, due_at = $4, version = $5, resolved_at = $6, ended_at = $7, body = $8,
            tries = CASE WHEN $9 THEN 0 ELSE tries END,
            owner = CASE WHEN $10 THEN NULL ELSE owner END,
            lease_until = CASE WHEN $10 THEN NULL ELSE lease_until END
        WHERE id = $1
    ), traced AS (
        INSERT INTO traces (run_id, body) SELECT $1, $11::text WHERE $11 IS NOT NULL
    ), freed AS (
        DELETE FROM target_locks WHERE run_id = $1 AND $12
    ), finished AS (
        INSERT INTO finishes (target_key, at) SELECT $13::text, $14::timestamptz WHERE $13 IS NOT NULL
    ), intended AS (
        INSERT INTO steps (run_id, seq, attempt, body)
        SELECT $1, $15::integer, $16::integer, $17::text WHERE $15 IS NOT NULL
        ON CONFLICT (run_id, seq, attempt) DO UPDATE SET body = excluded.body
    )
    SELECT
"""


async def _store(
    tx: Transaction,
    run: Run,
    *,
    got_on: bool,
    trace: Trace | None = None,
    ended_on: str | None = None,
    step: StepRecord | None = None,
) -> None:
    """
    All that one transaction changes of a run. `got_on`: it is no suspect any more.

    `ended_on`: the target whose lock it gives back; "" where it has none.
    """
    ended_at = (run.finished_at or run.due_at) if run.state.is_final else None
    is_remembered = bool(ended_on) and run.touched
    await tx.write(
        _SAVE,
        run.id,
        str(run.state),
        not run.state.is_final,
        run.due_at,
        run.version,
        run.resolved_at,
        ended_at,
        run_text(run),
        got_on,
        rulings.gives_up_claim(run),
        trace_text(trace) if trace else None,
        ended_on is not None,
        column(ended_on) if ended_on and is_remembered else None,
        run.finished_at or tx.now,
        *((step.seq, step.attempt, step_text(step)) if step else (None, None, None)),
    )


async def save(tx: Transaction, run: Run, trace: Trace | None) -> Run:
    known = await _known(tx, run.id)
    stored = rulings.check_version(run, known.run)
    after = rulings.saved(run, stored)
    if rulings.wakes(after, known.told) and tx.now is not None:
        after = replace(after, due_at=min(after.due_at, tx.now))
        tx.makes_due = True
    ends = after.state.is_final and not stored.state.is_final
    key = known.locked or (after.target.key if after.target else "")
    await _store(tx, after, got_on=rulings.gives_up_claim(after), trace=trace, ended_on=key if ends else None)
    if trace is not None:
        tx.notes.append(auditing.of_move(after, trace))
    return after


_START = """
    WITH begun AS (
        INSERT INTO starts (scope, at, run_id) SELECT scope, $2, $3 FROM unnest($1::text[]) AS s (scope)
    )
    INSERT INTO target_locks (target_key, run_id) VALUES ($4, $3)
"""


async def start(tx: Transaction, request: StartRequest, judge: Callable[[Usage], Verdict]) -> Verdict:
    """Under the lock of all starts, which the group took when it began."""
    known = await _known(tx, request.run.id)
    stored = rulings.check_version(request.run, known.run)
    held = request.target_key if known.locked == column(request.target_key) else known.locked
    if rulings.has_started(request, stored, held):
        return Allow()
    usage = await reading.usage(tx, request, tx.told_now)
    verdict = judge(usage)
    if isinstance(verdict, Allow):
        rulings.check_free(request, usage)
        scopes = [column(scope) for scope in rulings.scopes(request)]
        await tx.write(_START, scopes, usage.now, request.run.id, column(request.target_key))
    tx.notes.append(auditing.of_start(request, usage, verdict))
    return verdict


async def intend(tx: Transaction, run: Run, record: StepRecord) -> Run:
    known = await _known(tx, run.id, record.seq)
    stored = rulings.check_version(run, known.run)
    after = rulings.intended(run, record, stored, [step_from(body) for body in known.attempts])
    await _store(tx, after, got_on=False, step=record)
    tx.notes.append(auditing.of_intent(record))
    return after


async def settle(tx: Transaction, run: Run, outcome: StepRecord) -> Run:
    known = await _known(tx, run.id, outcome.seq)
    stored = rulings.check_version(run, known.run)
    attempts = [step_from(body) for body in known.attempts]
    journalled = next((step for step in attempts if step.attempt == outcome.attempt), None)
    after, step = rulings.settled(run, outcome, stored, journalled)
    if after.version == stored.version:
        return stored
    await _store(tx, after, got_on=step.state is StepState.DONE, step=step)
    tx.notes.append(auditing.of_outcome(step))
    return after


_SIGNAL = """
    WITH told AS (INSERT INTO signals (run_id, name, digest, body) VALUES ($1, $2, $3, $4))
    UPDATE runs SET due_at = least(due_at, $5) WHERE id = $1 AND $6
"""


async def signal(tx: Transaction, signal: Signal) -> Signal:
    """The first of its name and digest, which wakes the run if it waits."""
    known = await _known(tx, signal.run_id)
    run = rulings.check_signal(signal, known.run)
    for earlier in map(signal_from, known.signals):
        if (earlier.name, earlier.digest) == (signal.name, signal.digest):
            return earlier
    wakes = rulings.wakes(run, [*known.told, (signal.name, signal.digest)])
    row = (run.id, str(signal.name), column(signal.digest), signal_text(signal))
    await tx.write(_SIGNAL, *row, tx.now, wakes)
    tx.makes_due = tx.makes_due or wakes
    tx.notes.append(auditing.of_signal(signal))
    return signal


async def throw(tx: Transaction, switch: Switch) -> None:
    """Under the lock of all switches, so that the newest row is the one that was thrown last."""
    await tx.time()
    await tx.write("INSERT INTO switches (name, body) VALUES ($1, $2)", column(switch.name), switch_text(switch))
    tx.notes.append(auditing.of_switch(switch))
