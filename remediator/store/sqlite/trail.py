"""
The audit trail in the journal: one more link for each transaction, in that transaction.

In: a connection inside a transaction, and what is to be recorded. Never changes or removes a record; the schema would
not let it.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime

from remediator.model.ledger import AuditNote
from remediator.store import auditing
from remediator.store.rows import moment
from remediator.store.sqlite import reading


def record(db: sqlite3.Connection, note: AuditNote, now: datetime) -> None:
    """The next link of the chain."""
    link = auditing.chained(reading.audit_head(db), moment(now), note)
    db.execute(
        "INSERT INTO audit (seq, at, kind, body, hash) VALUES (?, ?, ?, ?, ?)",
        (link.seq, link.at, link.kind, link.body, link.hash),
    )
