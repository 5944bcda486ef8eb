"""
Who has which run: claims are rows with an owner and an end, by the database's clock.

In: a transaction, or for a renewal a connection of its own. Out: runs whose version was raised, so that whoever had
them before can store nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from remediator.model.errors import DamagedRecord
from remediator.model.ledger import Claimed, Renewed
from remediator.store import rulings
from remediator.store.postgres import reading
from remediator.store.postgres.transaction import Transaction

SET_ASIDE = timedelta(hours=1)
"""A run that cannot be read is nobody's for so long."""
_NOW = "(SELECT now FROM stamp)"
# In words that no index answers, so that the one by age is taken: by due time a whole backlog would be read and sorted.
_IS_FREE = f"is_live AND {_NOW} - due_at >= '0' AND coalesce({_NOW} - lease_until, '0') >= '0'"
_FREE = f"""
    WITH stamp AS MATERIALIZED (SELECT coalesce($1::timestamptz, clock_timestamp()) AS now),
    fresh AS (
        SELECT id, tries, created_at, filed FROM runs WHERE {_IS_FREE} AND tries = 0
        ORDER BY created_at, filed LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
    ), suspect AS (
        SELECT id, tries, created_at, filed FROM runs WHERE {_IS_FREE} AND tries > 0
            AND NOT EXISTS (SELECT FROM runs AS m WHERE m.owner = $2 AND m.lease_until > {_NOW} AND m.tries > 1)
        ORDER BY created_at, filed LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
    )
    SELECT stamp.now, id, tries FROM (TABLE fresh UNION ALL TABLE suspect) AS free CROSS JOIN stamp
    ORDER BY created_at, filed
"""  # noqa: S608 - fixed texts
_TAKE = f"""
    UPDATE runs SET owner = $2, lease_until = $3::timestamptz + $4::interval, tries = tries + 1, version = version + 1
    WHERE id = ANY($1::text[]) RETURNING id, tries, {reading.RUN}
"""  # noqa: S608 - fixed texts


async def claim(tx: Transaction, limit: int, lease: timedelta) -> tuple[list[Claimed], dict[str, str]]:
    """Runs that are now the asker's, and those that cannot be read, with why."""
    free = await tx.ask(_FREE, tx.told_now, tx.worker, limit)
    chosen = rulings.choose(((row["id"], row["tries"]) for row in free), limit, suspect_in_hand=False)
    if not chosen:
        return [], {}
    now = free[0]["now"]
    taken = {row["id"]: row for row in await tx.write(_TAKE, chosen, tx.worker, now, lease)}
    claimed, damaged = [], {}
    for run_id in chosen:
        try:
            claimed.append(Claimed(reading.run_of(taken[run_id]), taken[run_id]["tries"]))
        except DamagedRecord as error:
            damaged[run_id] = f"run {run_id} of the journal cannot be read: restore it from a backup ({error})"
    if damaged:
        await _set_aside(tx, list(damaged), now)
    return claimed, damaged


async def _set_aside(tx: Transaction, run_ids: Sequence[str], now: datetime) -> None:
    await tx.write(
        "UPDATE runs SET owner = NULL, tries = 0, lease_until = $2::timestamptz + $3::interval"
        " WHERE id = ANY($1::text[])",
        run_ids,
        now,
        SET_ASIDE,
    )


_RENEW = """
    WITH stamp AS MATERIALIZED (SELECT coalesce($1::timestamptz, clock_timestamp()) AS now),
    mine AS (
        SELECT id FROM runs CROSS JOIN stamp WHERE id = ANY($2::text[]) AND owner = $3 AND lease_until > stamp.now
        ORDER BY id FOR NO KEY UPDATE OF runs
    )
    UPDATE runs SET lease_until = stamp.now + $4::interval FROM mine, stamp WHERE runs.id = mine.id
    RETURNING runs.id, EXISTS (SELECT FROM signals WHERE run_id = runs.id AND name = 'cancel') AS is_cancelled
"""


async def renew(
    db: reading.Asked, run_ids: Sequence[str], worker: str, lease: timedelta, told_now: datetime | None
) -> Renewed:
    """Those of the runs that are still this worker's have their full time again."""
    rows = await db.ask(_RENEW, told_now, run_ids, worker, lease)
    cancelled = frozenset(row["id"] for row in rows if row["is_cancelled"])
    return Renewed(frozenset(row["id"] for row in rows), cancelled)


async def give_back(tx: Transaction, run_ids: Sequence[str]) -> None:
    """In order, so they are no suspects."""
    await tx.write(
        "UPDATE runs SET owner = NULL, lease_until = NULL, tries = 0 WHERE id = ANY($1::text[]) AND owner = $2",
        run_ids,
        tx.worker,
    )


async def let_go(tx: Transaction) -> None:
    """Whatever is in hand when the process ends is anybody's at once, and suspect."""
    await tx.write("UPDATE runs SET owner = NULL, lease_until = NULL WHERE owner = $1 AND is_live", tx.worker)
