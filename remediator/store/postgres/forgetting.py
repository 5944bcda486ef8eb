"""
What the journal forgets: raw bodies, and in the end runs.

In: a transaction. Never forgets anything of a live run, that an episode had a run, or a record of the audit trail.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from remediator.store import auditing
from remediator.store.postgres.transaction import Transaction, column

START_MEMORY = timedelta(days=366)
"""No limit and no cooldown looks back further."""
WRITER_MEMORY = timedelta(days=1)
"""Nobody asks for so long what became of a transaction."""
_PRUNE = """
    DELETE FROM deliveries WHERE received_at < $1
    AND NOT EXISTS (SELECT FROM runs WHERE runs.delivery = deliveries.id AND runs.is_live) RETURNING id
"""


async def prune(tx: Transaction, before: datetime) -> int:
    """A delivery that made a run stays as long as the run lives. What it was stays in the audit trail, by its hash."""
    now = await tx.time()
    await tx.write("DELETE FROM writers WHERE seen_at < $1 AND worker <> $2", now - WRITER_MEMORY, tx.worker)
    return len(await tx.write(_PRUNE, before))


_FORGET = """
    WITH over AS (SELECT id, episode, rule FROM runs WHERE id = ANY($1::text[])),
    kept AS (INSERT INTO past_cases (episode, rule, run_id) SELECT episode, rule, id FROM over),
    s AS (DELETE FROM steps WHERE run_id = ANY($1::text[])),
    t AS (DELETE FROM traces WHERE run_id = ANY($1::text[])),
    g AS (DELETE FROM signals WHERE run_id = ANY($1::text[]))
    SELECT
"""


async def forget(tx: Transaction, run_ids: Sequence[str]) -> int:
    """Only runs that have ended; their rows are locked already."""
    rows = await tx.ask(
        "SELECT id FROM runs WHERE id = ANY($1::text[]) AND NOT is_live ORDER BY id", [column(id_) for id_ in run_ids]
    )
    ended = [row["id"] for row in rows]
    now = await tx.time()
    if ended:
        await tx.write(_FORGET, ended)
        await tx.write("DELETE FROM runs WHERE id = ANY($1::text[])", ended)
        tx.notes.append(auditing.of_forgotten("runs", ended))
    for table in ("starts", "finishes"):
        await tx.write(f"DELETE FROM {table} WHERE at < $1", now - START_MEMORY)  # noqa: S608 - names from above
    return len(ended)
