"""
The end of every transaction: its links of the audit trail, and its number.

In: a group's notes. Out: one statement, mostly. The end of the chain is guessed from what this process wrote last;
where another replica has written since, its row is locked and read. Never changes or removes a record; the schema
would not let it.
"""

from __future__ import annotations

from collections.abc import Sequence

from remediator.model.ledger import AuditNote, AuditRecord
from remediator.store import auditing
from remediator.store.postgres.transaction import Transaction
from remediator.store.rows import moment

CHANNEL = "remediator_due"
_END = """
    WITH told AS (
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
            AS t (seq, at, kind, body, hash)
    ), head AS (
        UPDATE audit_head SET seq = $6, hash = $7 WHERE seq = $8 AND hash = $9 RETURNING seq
    ), links AS (
        INSERT INTO audit (seq, at, kind, body, hash)
        SELECT seq, at, kind, body, hash FROM told WHERE EXISTS (SELECT FROM head) ORDER BY seq
    ), mark AS (
        INSERT INTO writers (worker, number, seen_at) VALUES ($10, $11, clock_timestamp())
        ON CONFLICT (worker) DO UPDATE SET number = excluded.number, seen_at = excluded.seen_at
    )
    SELECT EXISTS (SELECT FROM head) AS is_chained, CASE WHEN $12 THEN pg_notify($13, '') END
"""
_MARK = """
    WITH mark AS (
        INSERT INTO writers (worker, number, seen_at) VALUES ($1, $2, clock_timestamp())
        ON CONFLICT (worker) DO UPDATE SET number = excluded.number, seen_at = excluded.seen_at
    )
    SELECT CASE WHEN $3 THEN pg_notify($4, '') END
"""
Head = tuple[int, str]
"""Number and hash of the newest record."""


async def end(tx: Transaction, number: int, guess: Head) -> Head:
    """Append what the group noted and mark its transaction; answers the new end of the chain."""
    if not tx.notes:
        await tx.write(_MARK, tx.worker, number, tx.makes_due, CHANNEL)
        return guess
    at = moment(tx.now or await tx.time())
    for head in (guess, None):
        known = head or await _locked_head(tx)
        links = _chained(known, at, tx.notes)
        last = links[-1]
        columns = zip(*((link.seq, link.at, link.kind, link.body, link.hash) for link in links), strict=True)
        told = await tx.write(
            _END, *map(list, columns), last.seq, last.hash, *known, tx.worker, number, tx.makes_due, CHANNEL
        )
        if told[0]["is_chained"]:
            break
    return last.seq, last.hash


async def _locked_head(tx: Transaction) -> Head:
    (row,) = await tx.ask("SELECT seq, hash FROM audit_head FOR UPDATE")
    return row["seq"], row["hash"]


def _chained(head: Head, at: str, notes: Sequence[AuditNote]) -> list[AuditRecord]:
    seq, hash_ = head
    previous = AuditRecord(seq, "", "", "", hash_) if seq else None
    links = []
    for note in notes:
        previous = auditing.chained(previous, at, note)
        links.append(previous)
    return links
