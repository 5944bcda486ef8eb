"""
`RunStore` on one SQLite file.

In: the calls of the seam. Out: facts that are on disk. Writes go through one thread with group commit, questions
through connections that cannot write. It decides nothing; how each transaction goes is in the modules beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import (
    AuditKind,
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
from remediator.model.plans import Effect
from remediator.model.runs import Run, StepRecord, StepState
from remediator.model.seams import Clock, Witness
from remediator.model.verdicts import Verdict
from remediator.store import rulings
from remediator.store.sqlite import claiming, filing, forgetting, journal, reading, trail
from remediator.store.sqlite.custody import Custody
from remediator.store.sqlite.hands import Writing
from remediator.store.sqlite.writer import QUEUE_LIMIT, Told, Writer


class SQLiteStore:
    """
    The run journal of one process. Made by `open`, with a thread that writes and others that read.

    Where nothing may run in a thread it is made of other hands.
    """

    lease: timedelta | None = None

    def __init__(self, clock: Clock, custody: Custody, writer: Writing) -> None:
        self._clock = clock
        self.custody = custody
        self._readers = custody.readers
        self._writer = writer
        self._held: set[str] = set()
        """In memory on purpose: a journal has one process, so a restart gives every claim back."""
        self._claiming = asyncio.Lock()
        self._closing: asyncio.Future[None] | None = None
        self.damaged: dict[str, str] = {}
        """Runs that cannot be read, with why: they are set aside, and somebody must be told."""

    @classmethod
    async def open(
        cls,
        path: Path,
        clock: Clock,
        *,
        queue_limit: int = QUEUE_LIMIT,
        told_commit: Told | None = None,
        reserve: int = 0,
        witness: Witness | None = None,
    ) -> SQLiteStore:
        """
        The journal at `path`, made if there is none. Every run that lives is claimable.

        `told_commit` is told, on the event loop, the seconds of each durable commit. `reserve` bytes are set aside for
        what must be written on a full disk. `witness` knows of every intent to write before it is answered.

        Raises StoreDamaged where it is not what was written, is an old copy, or cannot be written, and StoreUnavailable
        where another process has it, it is not ours, or a newer version wrote it.
        """
        known = await witness.read() if witness else None
        custody = await Custody.open(path, reserve, known)
        store = cls(clock, custody, Writer(custody.groups, path, queue_limit, clock=clock, told_commit=told_commit))
        if witness is not None:
            try:
                await custody.witnessed_by(witness, known)
            except StoreUnavailable:
                await store.close()
                raise
        return store

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
        saved = self._writer.submit(
            lambda db: journal.save(db, run, trace, self._clock.now()), is_vital=run.touched or run.state.is_final
        )
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
        after, mark = await self._writer.do(
            lambda db: (journal.intend(db, run, record, self._clock.now()), trail.mark(db))
        )
        if record.effect is not Effect.NONE:
            # Before the answer, and so before the call: nothing has an effect that the witness knows nothing of.
            await self.custody.testify(mark)
        return after

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
        return await self._writer.do(lambda db: journal.settle(db, run, outcome, self._clock.now()), is_vital=True)

    async def signal(self, signal: Signal) -> Signal:
        return await self._writer.do(lambda db: journal.signal(db, signal, self._clock.now()), is_vital=True)

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
        await self._writer.do(lambda db: journal.throw(db, switch, self._clock.now()), is_vital=True)
        await self.custody.testify(await self.custody.mark())

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

    async def audit_latest(self, kind: AuditKind) -> AuditRecord | None:
        return await self._readers.ask(lambda db: reading.audit_latest(db, kind))

    async def close(self) -> None:
        """Carry out what was asked, put everything into the one file, let the next process in. Twice is once."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        # The last connection to be closed puts the log away, if it can write. The writer's does; on a damaged journal
        # a reader's is the last, and leaves everything as it was found.
        first, last = self._readers.close, self._writer.close
        if self.custody.is_broken:
            first, last = last, first
        await first()
        await last()
        self.custody.release()
