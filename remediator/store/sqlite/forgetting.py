"""
What the journal forgets: raw bodies, and in the end runs.

In: a connection inside a transaction. Never forgets anything of a live run, that an episode had a run, or a record of
the audit trail.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from remediator.store import auditing
from remediator.store.rows import moment
from remediator.store.sqlite.trail import record

START_MEMORY = timedelta(days=366)
"""No limit and no cooldown looks back further."""
_HAS_ENDED = "SELECT 1 FROM runs WHERE id = ? AND is_live = 0"


def prune(db: sqlite3.Connection, before: datetime) -> int:
    """A delivery that made a run stays as long as the run lives. What it was stays in the audit trail, by its hash."""
    deleted = db.execute(
        "DELETE FROM deliveries WHERE received_at < ? AND NOT EXISTS"
        " (SELECT 1 FROM runs WHERE runs.delivery = deliveries.id AND runs.is_live = 1)",
        (moment(before),),
    )
    return deleted.rowcount


def forget(db: sqlite3.Connection, run_ids: Sequence[str], now: datetime) -> int:
    """Only runs that have ended."""
    ended = [(run_id,) for run_id in run_ids if db.execute(_HAS_ENDED, (run_id,)).fetchone()]
    past = "INSERT INTO past_cases (episode, rule, run_id) SELECT episode, rule, id FROM runs WHERE id = ?"
    db.executemany(past, ended)
    for table in ("steps", "traces", "signals"):
        db.executemany(f"DELETE FROM {table} WHERE run_id = ?", ended)  # noqa: S608 - names from the line above
    db.executemany("DELETE FROM runs WHERE id = ?", ended)
    for table in ("starts", "finishes"):
        db.execute(f"DELETE FROM {table} WHERE at < ?", (moment(now - START_MEMORY),))  # noqa: S608 - likewise
    if ended:
        record(db, auditing.of_forgotten("runs", [run_id for (run_id,) in ended]), now)
    return len(ended)
