"""
Questions to the journal. In: something that can be asked, a transaction or the readers. Out: stored values.

Never writes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import asyncpg

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
from remediator.model.runs import Run, StepRecord
from remediator.store import rulings
from remediator.store.postgres.transaction import column
from remediator.store.rows import (
    RunColumns,
    run_from_row,
    signal_from,
    step_from,
    switch_from,
    trace_from,
)

RUN = "body, version, due_at, resolved_at"
"""The columns that make a run."""


class Asked(Protocol):
    async def ask(self, query: str, *values: object) -> list[asyncpg.Record]: ...


def run_of(row: asyncpg.Record) -> Run:
    return run_from_row(row["body"], RunColumns(row["version"], row["due_at"], row["resolved_at"]))


async def get(db: Asked, run_id: str) -> Run | None:
    rows = await db.ask(f"SELECT {RUN} FROM runs WHERE id = $1", column(run_id))  # noqa: S608 - a fixed text
    return run_of(rows[0]) if rows else None


_LISTED = f"""
    SELECT id, {RUN} FROM runs
    WHERE ($1::text[] IS NULL OR state = ANY($1::text[])) AND ($2::text IS NULL OR rule = $2::text)
    ORDER BY created_at DESC, filed DESC LIMIT $3
"""  # noqa: S608 - a fixed text


async def listed(db: Asked, which: RunFilter) -> tuple[Sequence[Run], dict[str, str]]:
    """Newest first; runs that cannot be read are told apart, with why."""
    states = [str(state) for state in which.states] or None
    rule = column(which.rule) if which.rule else None
    return _readable(await db.ask(_LISTED, states, rule, max(0, which.limit)))


def _readable(rows: Iterable[asyncpg.Record]) -> tuple[list[Run], dict[str, str]]:
    runs, damage = [], {}
    for row in rows:
        try:
            runs.append(run_of(row))
        except DamagedRecord as error:
            damage[str(row["id"])] = str(error)
    return runs, damage


_DUE = """
    WITH stamp AS MATERIALIZED (SELECT coalesce($1::timestamptz, clock_timestamp()) AS now)
    SELECT least(
        (SELECT min(due_at) FROM runs WHERE is_live AND lease_until IS NULL),
        (SELECT min(lease_until) FROM runs WHERE is_live AND lease_until IS NOT NULL)
    ) - stamp.now AS due_in FROM stamp
"""


async def due_in(db: Asked, told_now: datetime | None) -> timedelta | None:
    """Until the next run is due that nobody has, or a lease ends."""
    (row,) = await db.ask(_DUE, told_now)
    found: timedelta | None = row["due_in"]
    return found


async def steps(db: Asked, run_id: str) -> Sequence[StepRecord]:
    """In order of step, then attempt."""
    found = await db.ask("SELECT body FROM steps WHERE run_id = $1 ORDER BY seq, attempt", column(run_id))
    return [step_from(row["body"]) for row in found]


async def traces(db: Asked, run_id: str) -> Sequence[Trace]:
    found = await db.ask("SELECT body FROM traces WHERE run_id = $1 ORDER BY id", column(run_id))
    return [trace_from(row["body"]) for row in found]


async def signals(db: Asked, run_id: str) -> Sequence[Signal]:
    found = await db.ask("SELECT body FROM signals WHERE run_id = $1 ORDER BY id", column(run_id))
    return [signal_from(row["body"]) for row in found]


# --- what a start is judged on -----------------------------------------------------------------------------

_USAGE = """
    WITH stamp AS MATERIALIZED (SELECT coalesce($1::timestamptz, clock_timestamp()) AS now)
    SELECT stamp.now,
        (SELECT max(at) FROM starts WHERE scope = $6) AS newest,
        ARRAY(SELECT at FROM starts WHERE scope = $3 AND run_id <> $2 AND at > stamp.now - $7::interval) AS by_rule,
        ARRAY(SELECT at FROM starts WHERE scope = $4 AND run_id <> $2 AND at > stamp.now - $8::interval) AS by_target,
        ARRAY(SELECT at FROM starts WHERE scope = $5 AND run_id <> $2 AND at > stamp.now - $9::interval) AS in_place,
        ARRAY(SELECT at FROM starts WHERE scope = $6 AND run_id <> $2 AND at > stamp.now - $10::interval) AS in_all,
        ARRAY(SELECT at FROM finishes WHERE target_key = $11) AS finishes,
        (SELECT run_id FROM target_locks WHERE target_key = $11 AND run_id <> $2) AS holder,
        (SELECT body FROM switches WHERE name = $12 ORDER BY id DESC LIMIT 1) AS freeze,
        (SELECT body FROM switches WHERE name = $13 ORDER BY id DESC LIMIT 1) AS arm
    FROM stamp
"""


async def usage(db: Asked, request: StartRequest, told_now: datetime | None) -> Usage:
    """`now` never lies behind the newest start, so a clock that was set back refills nothing."""
    limits = rulings.limits(request)
    (row,) = await db.ask(
        _USAGE,
        told_now,
        request.run.id,
        *(column(scope) for scope in rulings.scopes(request)),
        *(limit.window for limit in limits),
        column(request.target_key),
        FREEZE,
        column(arm_switch(request.run.rule)),
    )
    freeze, arming = _thrown(row["freeze"]), _thrown(row["arm"])
    begun = (row["by_rule"], row["by_target"], row["in_place"], row["in_all"])
    by_rule, by_target, by_namespace, in_all = (
        rulings.in_window(starts, limit, row["now"]) for starts, limit in zip(begun, limits, strict=True)
    )
    return Usage(
        now=rulings.store_now(row["now"], row["newest"]),
        rule_starts=by_rule,
        target_starts=by_target,
        namespace_starts=by_namespace,
        global_starts=in_all,
        finishes=rulings.recent(row["finishes"], row["now"]),
        holder=row["holder"],
        frozen=freeze is not None and freeze.on,
        armed=arming is not None and arming.on,
        armed_revision=arming.revision if arming and arming.on else "",
    )


def _thrown(body: str | None) -> Switch | None:
    return switch_from(body) if body is not None else None


async def switch(db: Asked, name: str) -> Switch | None:
    """As it was thrown last, whatever its clock said."""
    found = await db.ask("SELECT body FROM switches WHERE name = $1 ORDER BY id DESC LIMIT 1", column(name))
    return switch_from(found[0]["body"]) if found else None


async def switches(db: Asked) -> Sequence[Switch]:
    found = await db.ask(
        'SELECT body FROM switches WHERE id IN (SELECT max(id) FROM switches GROUP BY name) ORDER BY name COLLATE "C"'
    )
    return [switch_from(row["body"]) for row in found]


# --- the audit trail, and what may be forgotten ------------------------------------------------------------


async def audit_head(db: Asked) -> AuditRecord | None:
    found = await db.ask("SELECT seq, at, kind, body, hash FROM audit ORDER BY seq DESC LIMIT 1")
    return AuditRecord(*found[0]) if found else None


async def audit(db: Asked, after: int, limit: int) -> Sequence[AuditRecord]:
    found = await db.ask(
        "SELECT seq, at, kind, body, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2", after, max(0, limit)
    )
    return [AuditRecord(*row) for row in found]


async def audit_latest(db: Asked, kind: AuditKind) -> AuditRecord | None:
    found = await db.ask(
        "SELECT seq, at, kind, body, hash FROM audit WHERE kind = $1 ORDER BY seq DESC LIMIT 1", str(kind)
    )
    return AuditRecord(*found[0]) if found else None


async def ended(db: Asked, before: datetime, limit: int) -> Sequence[History]:
    """Oldest first. One that cannot be read, in whole or in part, stays where it is."""
    found = await db.ask(
        f"SELECT id, {RUN} FROM runs WHERE ended_at < $1 AND NOT is_live ORDER BY ended_at LIMIT $2",  # noqa: S608
        before,
        max(0, limit),
    )
    histories = []
    for run in _readable(found)[0]:
        with contextlib.suppress(DamagedRecord):
            histories.append(await _history(db, run))
    return histories


async def _history(db: Asked, run: Run) -> History:
    known = tuple(await steps(db, run.id)), tuple(await traces(db, run.id)), tuple(await signals(db, run.id))
    return History(run, *known)


def told(rows: Iterable[tuple[str, str]]) -> list[tuple[SignalName, str]]:
    """Name and digest of each signal of a run."""
    return [(SignalName(name), digest) for name, digest in rows]
