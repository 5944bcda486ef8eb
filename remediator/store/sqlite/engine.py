"""
`RunStore` on one SQLite file.

In: the calls of the seam. Out: facts that are on disk. Writes go through one thread with group commit, questions
through connections that cannot write. It decides nothing; how each transaction goes is in the modules beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from remediator.model.ledger import (
    AuditNote,
    AuditRecord,
    Claimed,
    Delivery,
    Filed,
    History,
    Renewed,
    RunFilter,
    Signal,
    StartRequest,
    Switch,
    Trace,
    Usage,
)
from remediator.model.runs import Run, StepRecord, StepState
from remediator.model.seams import Clock
from remediator.model.verdicts import Verdict
from remediator.store import rulings
from remediator.store.sqlite import claiming, filing, forgetting, journal, reading, trail
from remediator.store.sqlite.groups import Groups, unavailable
from remediator.store.sqlite.hands import Reading, Writing
from remediator.store.sqlite.opening import OpenJournal, open_journal
from remediator.store.sqlite.readers import Readers
from remediator.store.sqlite.writer import QUEUE_LIMIT, Told, Writer


class SQLiteStore:
    """
    The run journal of one process. Made by `open`, with a thread that writes and others that read.

    Where nothing may run in a thread it is made of other hands.
    """

    lease: timedelta | None = None

    def __init__(self, clock: Clock, opened: OpenJournal, readers: Reading, writer: Writing) -> None:
        self._clock = clock
        self._opened = opened
        self._readers = readers
        self._writer = writer
        self._held: set[str] = set()
        """In memory on purpose: a journal has one process, so a restart gives every claim back."""
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
        writer = Writer(Groups(opened.db, path), path, queue_limit, clock=clock, told_commit=told_commit)
        return cls(clock, opened, readers, writer)

    async def file(self, delivery: Delivery) -> Sequence[Filed]:
        body = filing.keep(delivery.body)
        return await self._writer.do(lambda db: filing.file_delivery(db, delivery, body, self._clock.now()))

    # --- who has which run ---------------------------------------------------------------------------------

    async def claim(self, limit: int) -> Sequence[Claimed]:
        if limit <= 0:
            return ()
        async with self._claiming:
            held = frozenset(self._held)
            now = self._clock.now()
            claimed, damaged = await self._writer.do(lambda db: claiming.claim(db, now, held, limit))
            # No await from here on: who is cancelled while waiting has claimed nothing.
            self._held.update(entry.run.id for entry in claimed)
            self._set_aside(damaged)
            return claimed

    def _set_aside(self, damaged: Iterable[str]) -> None:
        """A run that cannot be read is nobody's until the next start."""
        for run_id in damaged:
            self._held.add(run_id)
            self.damaged[run_id] = f"run {run_id} of the journal cannot be read: restore it from a backup"

    async def renew(self) -> Renewed:
        """A journal of one process has no leases to renew; what was cancelled is news all the same."""
        held = frozenset(self._held)
        return Renewed(held, await self._readers.ask(lambda db: reading.cancelled(db, held)))

    async def release(self, run_id: str) -> None:
        if run_id not in self._held or run_id in self.damaged:
            return
        try:
            await self._writer.do(lambda db: claiming.give_back(db, run_id))
        finally:
            self._held.discard(run_id)

    async def due_in(self) -> timedelta | None:
        held = frozenset(self._held)
        due = await self._readers.ask(lambda db: reading.next_due(db, held, len(held) + 1))
        return None if due is None else due - self._clock.now()

    # --- one run's transactions ----------------------------------------------------------------------------

    async def save(self, run: Run, trace: Trace | None = None) -> Run:
        saved = self._writer.submit(lambda db: journal.save(db, run, trace, self._clock.now()))
        if rulings.gives_up_claim(run):
            # On the commit, not on the answer: a saver that is cancelled meanwhile must not keep the run for ever.
            saved.add_done_callback(lambda done: self._give_up_saved(run.id, done))
        return await asyncio.shield(saved)

    def _give_up_saved(self, run_id: str, saved: asyncio.Future[Run]) -> None:
        if not saved.cancelled() and saved.exception() is None:
            self._held.discard(run_id)

    async def start(self, request: StartRequest, judge: Callable[[Usage], Verdict]) -> Verdict:
        return await self._writer.do(lambda db: journal.start(db, request, judge, self._clock.now()))

    async def intend(self, run: Run, record: StepRecord) -> Run:
        return await self._writer.do(lambda db: journal.intend(db, run, record, self._clock.now()))

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
        return await self._writer.do(lambda db: journal.settle(db, run, outcome, self._clock.now()))

    async def signal(self, signal: Signal) -> Signal:
        return await self._writer.do(lambda db: journal.signal(db, signal, self._clock.now()))

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

    async def signals(self, run_id: str) -> Sequence[Signal]:
        return await self._readers.ask(lambda db: reading.signals(db, run_id))

    async def usage(self, request: StartRequest) -> Usage:
        return await self._readers.ask(lambda db: reading.usage(db, request, self._clock.now()))

    # --- switches and housekeeping -------------------------------------------------------------------------

    async def throw(self, switch: Switch) -> None:
        await self._writer.do(lambda db: journal.throw(db, switch, self._clock.now()))

    async def switch(self, name: str) -> Switch | None:
        return await self._readers.ask(lambda db: reading.switch(db, name))

    async def switches(self) -> Sequence[Switch]:
        return await self._readers.ask(reading.switches)

    async def prune(self, deliveries_before: datetime) -> int:
        return await self._writer.do(lambda db: forgetting.prune(db, deliveries_before))

    async def ended(self, before: datetime, limit: int) -> Sequence[History]:
        return await self._readers.ask(lambda db: reading.ended(db, before, limit))

    async def forget(self, run_ids: Sequence[str]) -> int:
        return await self._writer.do(lambda db: forgetting.forget(db, run_ids, self._clock.now()))

    # --- the audit trail -----------------------------------------------------------------------------------

    async def note(self, note: AuditNote) -> None:
        await self._writer.do(lambda db: trail.record(db, note, self._clock.now()))

    async def audit_head(self) -> AuditRecord | None:
        return await self._readers.ask(reading.audit_head)

    async def audit(self, after: int, limit: int) -> Sequence[AuditRecord]:
        return await self._readers.ask(lambda db: reading.audit(db, after, limit))

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
