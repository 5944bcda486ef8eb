"""
One transaction of a group of operations, as each of them sees it.

In: statements. Out: rows, and what the group must record and tell when it commits. An operation asks first, then
rules, then writes: so one that refuses has nothing to undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from remediator.model.ledger import AuditNote
from remediator.store.postgres.connecting import Connection
from remediator.store.rows import plain


def column(text: str) -> str:
    """Text that a column accepts: no lone surrogate, and no NUL, which PostgreSQL's text cannot hold."""
    return plain(text).replace("\0", "\\0")


class Transaction:
    def __init__(self, connection: Connection, worker: str, told_now: datetime | None) -> None:
        self._connection = connection
        self.worker = worker
        self.told_now = told_now
        """What a test says; None: the database's clock. Statements take it as a parameter."""
        self.now = told_now
        """The time of the last statement that told it."""
        self.notes: list[AuditNote] = []
        self.makes_due = False
        """Something may be due now that other workers should hear of."""
        self.has_written = False
        """The operation in hand, so far."""
        self.is_changed = False
        """The whole group, so far."""

    def begin_operation(self) -> None:
        self.has_written = False

    async def ask(self, query: str, *values: object) -> list[asyncpg.Record]:
        return await self._connection.fetch(query, *values)

    async def ask_one(self, query: str, *values: object) -> asyncpg.Record | None:
        return await self._connection.fetchrow(query, *values)

    async def write(self, query: str, *values: object) -> list[asyncpg.Record]:
        self.has_written = self.is_changed = True
        return await self._connection.fetch(query, *values)

    async def time(self) -> datetime:
        """The store's time now, where no statement has told it anyway."""
        told: datetime = self.told_now or await self._connection.fetchval("SELECT clock_timestamp()")
        self.now = told
        return told

    async def lock_runs(self, run_ids: Sequence[str], episodes: Sequence[str] = ()) -> None:
        """
        All that the group will change, in one order for everybody.

        In a statement of its own, because what depends on a row must be read after its lock was got: a statement that
        has waited for a row sees that row as it is now, and everything else as it was before.
        """
        if run_ids or episodes:
            await self._connection.fetch(
                "SELECT id FROM runs WHERE id = ANY($1::text[]) OR episode = ANY($2::text[])"
                " ORDER BY id FOR NO KEY UPDATE",
                [column(run_id) for run_id in run_ids],
                list(episodes),
            )
