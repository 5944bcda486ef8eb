"""
Whether the journal may be built upon, and who answers questions about it.

In: the open journal, or what was salvaged of one that is damaged. Out: answers of whichever it is just now. The
damage of a running journal changes it from the one to the other, and nothing changes it back but a start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remediator.app.journal import Journal
from remediator.model.errors import StoreDamaged
from remediator.model.ledger import AuditRecord, RunFilter, Signal, Switch, Trace
from remediator.model.runs import Run, StepRecord
from remediator.store.sqlite import SalvagedStore
from remediator.store.sqlite.custody import Custody
from remediator.web.api import Caveat

FULL = "the disk of the journal is full: nothing new begins until there is room; the service then goes on by itself"


class Standing:
    """What the API may ask of the store, answered by the one there is."""

    def __init__(self, ledger: Journal | SalvagedStore, custody: Custody | None) -> None:
        self._ledger = ledger
        self.custody = custody
        """Of the journal's file; None where a database keeps it."""
        self.damage: StoreDamaged | None = ledger.why if isinstance(ledger, SalvagedStore) else None

    def condemn(self, damage: StoreDamaged) -> None:
        """From now on the service shows history only."""
        self.damage = damage

    def show(self, salvaged: SalvagedStore) -> None:
        self._ledger = salvaged

    @property
    def trouble(self) -> str:
        """What keeps the service from taking anything new; \"\" for nothing."""
        if self.damage is not None:
            return f"history only: {self.damage}"
        return FULL if self.lacks_room else ""

    @property
    def lacks_room(self) -> bool:
        return self.custody is not None and self.damage is None and self.custody.lacks_room

    @property
    def damaged(self) -> Mapping[str, str]:
        """Runs that cannot be read, with why."""
        return {} if isinstance(self._ledger, SalvagedStore) else self._ledger.damaged

    @property
    def unreadable(self) -> int:
        """At least so many rows of the journal cannot be read."""
        return self._ledger.unreadable if isinstance(self._ledger, SalvagedStore) else len(self._ledger.damaged)

    async def check(self) -> None:
        """Read the whole file once for damage. Raises StoreDamaged, and then nothing more is written."""
        if self.custody is not None:
            await self.custody.check()

    def caveat(self) -> Caveat | None:
        return None if self.damage is None else Caveat(str(self.damage), self.unreadable)

    # --- the ledger ----------------------------------------------------------------------------------------

    async def get(self, run_id: str) -> Run | None:
        return await self._ledger.get(run_id)

    async def list(self, which: RunFilter) -> Sequence[Run]:
        return await self._ledger.list(which)

    async def steps(self, run_id: str) -> Sequence[StepRecord]:
        return await self._ledger.steps(run_id)

    async def traces(self, run_id: str) -> Sequence[Trace]:
        return await self._ledger.traces(run_id)

    async def signals(self, run_id: str) -> Sequence[Signal]:
        return await self._ledger.signals(run_id)

    async def switches(self) -> Sequence[Switch]:
        return await self._ledger.switches()

    async def audit(self, after: int, limit: int) -> Sequence[AuditRecord]:
        return await self._ledger.audit(after, limit)

    async def audit_head(self) -> AuditRecord | None:
        return await self._ledger.audit_head()

    async def signal(self, signal: Signal) -> Signal:
        return await self._ledger.signal(signal)

    async def switch(self, name: str) -> Switch | None:
        return await self._ledger.switch(name)

    async def throw(self, switch: Switch) -> None:
        await self._ledger.throw(switch)

    async def close(self) -> None:
        await self._ledger.close()
