"""
`RunStore` on one SQLite file.

In: the calls of the seam. Out: facts that are on disk. Writes go through one thread with group commit, questions
through connections that cannot write. It decides nothing; how each transaction goes is in the modules beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from remediator.model.ledger import Delivery, Filed, RunFilter, StartRequest, Switch, Trace, Usage
from remediator.model.runs import Run, StepRecord, StepState
from remediator.model.seams import Clock
from remediator.model.verdicts import Verdict
from remediator.store import rulings
from remediator.store.claims import Claims
from remediator.store.sqlite import filing, journal, reading
from remediator.store.sqlite.opening import OpenJournal, open_journal
from remediator.store.sqlite.readers import Readers
from remediator.store.sqlite.writer import QUEUE_LIMIT, Told, Writer, unavailable


class SQLiteStore:
    """The run journal of one process. Made by `open`."""

    def __init__(self, clock: Clock, opened: OpenJournal, readers: Readers, writer: Writer) -> None:
        self._clock = clock
        self._opened = opened
        self._readers = readers
        self._writer = writer
        self._claims = Claims()
        self._claiming = asyncio.Lock()
        self._closing: asyncio.Future[None] | None = None
        self.damaged: dict[str, str] = {}
        """Runs that cannot be read, with why: they are set aside, and somebody must be told."""

    @classmethod
    async def open(
        cls, path: Path, clock: Clock, *, queue_limit: int = QUEUE_LIMIT, told_commit: Told | None = None
    ) -> SQLiteStore:
        """
        The journal at `path`, made if there is none. Every run that lives is claimable.

        `told_commit` is told, on the event loop, the seconds of each durable commit.

        Raises StoreUnavailable where another process has it, it is damaged, or a newer version wrote it.
        """
        opened, readers = await asyncio.to_thread(_open, path)
        writer = Writer(opened.db, path, queue_limit, clock=clock, told_commit=told_commit)
        return cls(clock, opened, readers, writer)

    async def file(self, delivery: Delivery) -> Sequence[Filed]:
        body = filing.keep(delivery.body)
        return await self._writer.do(lambda db: filing.file_delivery(db, delivery, body))

    # --- who has which run ---------------------------------------------------------------------------------

    async def claim(self, now: datetime, limit: int) -> Sequence[Run]:
        if limit <= 0:
            return ()
        async with self._claiming:
            self._claims.look()
            most = limit + len(self._claims)
            found, damage = await self._readers.ask(lambda db: reading.due(db, now, most))
            # No await from here on: who is cancelled while waiting has claimed nothing.
            self.damaged |= {run_id: why for run_id, why in damage.items() if self._claims.set_aside(run_id)}
            return self._claims.take(found, limit)

    async def release(self, run_id: str) -> None:
        self._claims.give_up(run_id)

    async def next_due(self) -> datetime | None:
        claimed = self._claims.ids()
        return await self._readers.ask(lambda db: reading.next_due(db, claimed, len(claimed) + 1))

    # --- one run's transactions ----------------------------------------------------------------------------

    async def save(self, run: Run, trace: Trace | None = None) -> Run:
        saved = self._writer.submit(lambda db: journal.save(db, run, trace, self._clock.now()))
        if rulings.gives_up_claim(run):
            # On the commit, not on the answer: a saver that is cancelled meanwhile must not keep the run for ever.
            saved.add_done_callback(lambda done: self._give_up_saved(run.id, done))
        return await asyncio.shield(saved)

    def _give_up_saved(self, run_id: str, saved: asyncio.Future[Run]) -> None:
        if not saved.cancelled() and saved.exception() is None:
            self._claims.give_up(run_id)

    async def start(self, request: StartRequest, judge: Callable[[Usage], Verdict]) -> Verdict:
        return await self._writer.do(lambda db: journal.start(db, request, judge, self._clock.now()))

    async def intend(self, run: Run, record: StepRecord) -> Run:
        return await self._writer.do(lambda db: journal.intend(db, run, record))

    async def settle(
        self,
        run: Run,
        record: StepRecord,
        *,
        state: StepState,
        by_probe: bool,
        changed: bool,
        detail: str,
        at: datetime,
    ) -> Run:
        outcome = rulings.outcome_of(record, state=state, by_probe=by_probe, changed=changed, detail=detail, at=at)
        return await self._writer.do(lambda db: journal.settle(db, run, outcome))

    # --- questions -----------------------------------------------------------------------------------------

    async def get(self, run_id: str) -> Run | None:
        return await self._readers.ask(lambda db: reading.get(db, run_id))

    async def list(self, which: RunFilter) -> Sequence[Run]:
        found, damage = await self._readers.ask(lambda db: reading.listed(db, which))
        self.damaged |= damage
        return found

    async def steps(self, run_id: str) -> Sequence[StepRecord]:
        return await self._readers.ask(lambda db: reading.steps(db, run_id))

    async def traces(self, run_id: str) -> Sequence[Trace]:
        return await self._readers.ask(lambda db: reading.traces(db, run_id))

    async def usage(self, request: StartRequest) -> Usage:
        return await self._readers.ask(lambda db: reading.usage(db, request, self._clock.now()))

    # --- switches and housekeeping -------------------------------------------------------------------------

    async def throw(self, switch: Switch) -> None:
        await self._writer.do(lambda db: journal.throw(db, switch))

    async def switch(self, name: str) -> Switch | None:
        return await self._readers.ask(lambda db: reading.switch(db, name))

    async def switches(self) -> Sequence[Switch]:
        return await self._readers.ask(reading.switches)

    async def prune(self, deliveries_before: datetime) -> int:
        return await self._writer.do(lambda db: filing.prune(db, deliveries_before))

    async def close(self) -> None:
        """Carry out what was asked, put everything into the one file, let the next process in. Twice is once."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        # Readers first: the last connection to close is then the writer's, the only one that may checkpoint.
        await self._readers.close()
        await self._writer.close()
        self._opened.unlock()


def _open(path: Path) -> tuple[OpenJournal, Readers]:
    opened = open_journal(path)
    readers = Readers(path)
    with contextlib.ExitStack() as undo:
        undo.callback(opened.unlock)
        undo.callback(opened.db.close)
        try:
            readers.connect()
        except sqlite3.Error as error:
            raise unavailable(path, error) from error
        undo.pop_all()
    return opened, readers
