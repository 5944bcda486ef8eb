"""
The audit trail in the journal: one more link for each transaction, in that transaction.

In: a connection inside a transaction, and what is to be recorded. Never changes or removes a record; the schema would
not let it.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime

from remediator.model.ledger import AuditNote
from remediator.model.witness import Mark
from remediator.store import auditing, witnessing
from remediator.store.rows import moment
from remediator.store.sqlite import reading


def mark(db: sqlite3.Connection) -> Mark:
    """How far the journal has come, with what this transaction adds."""
    head = reading.audit_head(db)
    return Mark(reading.journal_id(db), head.seq if head else 0, head.hash if head else auditing.BEGINNING)


def objection(db: sqlite3.Connection, known: Mark) -> str:
    """Why this is not the journal that a witness knows, grown since; \"\" when it is."""
    same = next(iter(reading.audit(db, known.seq - 1, 1)), None) if known.seq else None
    return witnessing.objection(known, reading.journal_id(db), reading.audit_head(db), same)


def record(db: sqlite3.Connection, note: AuditNote, now: datetime) -> None:
    """The next link of the chain."""
    link = auditing.chained(reading.audit_head(db), moment(now), note)
    db.execute(
        "INSERT INTO audit (seq, at, kind, body, hash) VALUES (?, ?, ?, ?, ?)",
        (link.seq, link.at, link.kind, link.body, link.hash),
    )
