"""
`RunStore` on a PostgreSQL database that several replicas share.

In: the calls of the seam. Out: facts that are durable. Writes go through one connection with group commit, questions
through a few others, renewals through one of their own, so that neither delays them. It decides nothing; how each
transaction goes is in the modules beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from remediator.model.errors import ConfigError, StoreUnavailable
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
from remediator.model.runs import Run, StepRecord, StepState
from remediator.model.seams import Clock
from remediator.model.verdicts import Verdict
from remediator.store import rulings
from remediator.store.postgres import claiming, filing, forgetting, journal, reading
from remediator.store.postgres.address import FOREIGN, Address, unavailable
from remediator.store.postgres.connecting import Door, FailedOver, hang_up
from remediator.store.postgres.grouping import STARTS, SWITCHES, Ticket
from remediator.store.postgres.listening import Listener
from remediator.store.postgres.migrating import migrate
from remediator.store.postgres.readers import Readers
from remediator.store.postgres.transaction import Transaction
from remediator.store.postgres.writer import QUEUE_LIMIT, Told, Writer

LEASE = timedelta(seconds=8)
READERS = 3
MANY = 200
"""Candidates of one delivery; more are made ready in a thread, so that others are answered meanwhile."""


@dataclass(frozen=True)
class Sharing:
    """How this process shares the database with others."""

    worker: str
    """Its name; no other process, before or beside it, may have had it."""
    lease: timedelta = LEASE
    allow_async: bool = False
    """Whether standbys that may lack acknowledged commits are acceptable."""
    wake: Callable[[], None] = lambda: None
    """Called when another replica says that something may be due."""
    failed_over: FailedOver | None = None
    told_commit: Told | None = None
    queue_limit: int = QUEUE_LIMIT
    now: Callable[[], datetime] | None = None
    """For tests: the time that the store goes by; None: the database's clock."""


class PostgresStore:
    """The run journal that replicas share. Made by `open`."""

    def __init__(self, door: Door, clock: Clock, sharing: Sharing) -> None:
        self.lease: timedelta | None = sharing.lease
        self.damaged: dict[str, str] = {}
        """Runs that cannot be read, with why: they are set aside, and somebody must be told."""
        self._lease = sharing.lease
        self._worker = sharing.worker
        self._now = sharing.now
        self._held: set[str] = set()
        """Claimed and not given back, as far as this process knows; only these are renewed."""
        self._claiming = asyncio.Lock()
        self._closing: asyncio.Future[None] | None = None
        self._readers = Readers(door, READERS)
        self._renewals = Readers(door, 1)
        self._writer = Writer(
            door,
            sharing.worker,
            clock,
            now=sharing.now,
            queue_limit=sharing.queue_limit,
            told_commit=sharing.told_commit,
        )
        self._listener = Listener(door, sharing.wake)

    @classmethod
    async def open(cls, address: Address, clock: Clock, sharing: Sharing) -> PostgresStore:
        """
        The journal in the database at `address`, its tables made if there are none.

        Raises StoreUnavailable where nobody answers, and ConfigError where what the database promises is not enough.
        """
        door = Door(address, failed_over=sharing.failed_over)
        connection = await door.connect()
        try:
            _refuse_lossy(door, allow_async=sharing.allow_async)
            await migrate(connection, address)
        except FOREIGN as error:
            raise unavailable(address, error) from error
        finally:
            await hang_up(connection)
        return cls(door, clock, sharing)

    def _told_now(self) -> datetime | None:
        return self._now() if self._now else None

    async def file(self, delivery: Delivery) -> Sequence[Filed]:
        is_large = len(delivery.candidates) > MANY
        prepared = await asyncio.to_thread(filing.prepare, delivery) if is_large else filing.prepare(delivery)
        filed: Sequence[Filed] = await asyncio.shield(self._writer.submit(Ticket(prepared)))
        return filed

    # --- who has which run ---------------------------------------------------------------------------------

    async def claim(self, limit: int) -> Sequence[Claimed]:
        if limit <= 0:
            return ()
        async with self._claiming:
            claiming_ = self._writer.submit(Ticket(lambda tx: claiming.claim(tx, limit, self._lease)))
            try:
                claimed, damaged = await asyncio.shield(claiming_)
            except asyncio.CancelledError:
                claiming_.add_done_callback(self._give_back_unheard)
                raise
            # No await from here on: who is cancelled while waiting has claimed nothing.
            self._held.update(entry.run.id for entry in claimed)
            self.damaged |= damaged
            return tuple(claimed)

    def _give_back_unheard(self, claimed: asyncio.Future[Any]) -> None:
        """Nobody took what was claimed; without this it would stay with us until its lease ends, and be suspect."""
        if claimed.cancelled() or claimed.exception() is not None or not claimed.result()[0]:
            return
        run_ids = [entry.run.id for entry in claimed.result()[0]]
        try:
            self._writer.submit(Ticket(lambda tx: claiming.give_back(tx, run_ids), tuple(run_ids)))
        except StoreUnavailable:
            return  # closed: then nobody's lease is kept

    async def renew(self) -> Renewed:
        asked = sorted(self._held)
        renewed = await claiming.renew(self._renewals, asked, self._worker, self._lease, self._told_now())
        self._held -= set(asked) - renewed.held
        return renewed

    async def release(self, run_id: str) -> None:
        if run_id not in self._held:
            return
        self._held.discard(run_id)
        await self._writer.do(lambda tx: claiming.give_back(tx, [run_id]), run_id)

    async def due_in(self) -> timedelta | None:
        return await reading.due_in(self._readers, self._told_now())

    # --- one run's transactions ----------------------------------------------------------------------------

    async def save(self, run: Run, trace: Trace | None = None) -> Run:
        saved = self._writer.submit(Ticket(lambda tx: journal.save(tx, run, trace), (run.id,)))
        if rulings.gives_up_claim(run):
            # On the commit, not on the answer: a saver that is cancelled meanwhile must not keep the run for ever.
            saved.add_done_callback(partial(self._give_up_saved, run.id))
        after: Run = await asyncio.shield(saved)
        return after

    def _give_up_saved(self, run_id: str, saved: asyncio.Future[Run]) -> None:
        if not saved.cancelled() and saved.exception() is None:
            self._held.discard(run_id)

    async def start(self, request: StartRequest, judge: Callable[[Usage], Verdict]) -> Verdict:
        return await self._writer.do(lambda tx: journal.start(tx, request, judge), request.run.id, lock=STARTS)

    async def intend(self, run: Run, record: StepRecord) -> Run:
        return await self._writer.do(lambda tx: journal.intend(tx, run, record), run.id)

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
        return await self._writer.do(lambda tx: journal.settle(tx, run, outcome), run.id)

    async def signal(self, signal: Signal) -> Signal:
        return await self._writer.do(lambda tx: journal.signal(tx, signal), signal.run_id)

    # --- questions -----------------------------------------------------------------------------------------

    async def get(self, run_id: str) -> Run | None:
        return await reading.get(self._readers, run_id)

    async def list(self, which: RunFilter) -> Sequence[Run]:
        found, damage = await reading.listed(self._readers, which)
        self.damaged |= damage
        return found

    async def steps(self, run_id: str) -> Sequence[StepRecord]:
        return await reading.steps(self._readers, run_id)

    async def traces(self, run_id: str) -> Sequence[Trace]:
        return await reading.traces(self._readers, run_id)

    async def signals(self, run_id: str) -> Sequence[Signal]:
        return await reading.signals(self._readers, run_id)

    async def usage(self, request: StartRequest) -> Usage:
        return await reading.usage(self._readers, request, self._told_now())

    # --- switches and housekeeping -------------------------------------------------------------------------

    async def throw(self, switch: Switch) -> None:
        await self._writer.do(lambda tx: journal.throw(tx, switch), lock=SWITCHES)

    async def switch(self, name: str) -> Switch | None:
        return await reading.switch(self._readers, name)

    async def switches(self) -> Sequence[Switch]:
        return await reading.switches(self._readers)

    async def prune(self, deliveries_before: datetime) -> int:
        return await self._writer.do(lambda tx: forgetting.prune(tx, deliveries_before))

    async def ended(self, before: datetime, limit: int) -> Sequence[History]:
        return await reading.ended(self._readers, before, limit)

    async def forget(self, run_ids: Sequence[str]) -> int:
        return await self._writer.do(lambda tx: forgetting.forget(tx, run_ids), *run_ids)

    # --- the audit trail -----------------------------------------------------------------------------------

    async def note(self, note: AuditNote) -> None:
        async def record(tx: Transaction) -> None:
            tx.notes.append(note)

        await self._writer.do(record)

    async def audit_head(self) -> AuditRecord | None:
        return await reading.audit_head(self._readers)

    async def audit(self, after: int, limit: int) -> Sequence[AuditRecord]:
        return await reading.audit(self._readers, after, limit)

    async def audit_latest(self, kind: AuditKind) -> AuditRecord | None:
        return await reading.audit_latest(self._readers, kind)

    async def close(self) -> None:
        """Carry out what was asked, let others have what is in hand, hang up. Twice is once."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._listener.close()
        leaving = [self._writer.submit(Ticket(claiming.let_go))] if self._held else []
        await self._writer.close()
        # Where the database is away, the leases end by themselves.
        await asyncio.gather(*leaving, return_exceptions=True)
        await self._readers.close()
        await self._renewals.close()


def _refuse_lossy(door: Door, *, allow_async: bool) -> None:
    server = door.server
    if server is None or server.is_synchronous or not server.standbys or allow_async:
        return
    raise ConfigError(
        f"the database {door.address.name} has {server.standbys} standby(s) and waits for none of them: after a "
        "failover acknowledged alerts and steps may be gone. Set synchronous_standby_names there, or accept that with "
        "store.postgres.allow_async: true."
    )
