"""
All that a journal in memory has, and what it asks of itself.

In: values that are already decided. Out: what is there. Several stores may share one ledger, as replicas share a
database; nothing here knows which of them asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from remediator.model.ledger import AuditNote, AuditRecord, Delivery, Signal, SignalName, Switch, Trace
from remediator.model.runs import Run, StepRecord
from remediator.store import auditing, rulings
from remediator.store.rows import moment

StepKey = tuple[str, int, int]


@dataclass
class Ledger:
    """All that a real journal would have on disk."""

    deliveries: dict[int, Delivery] = field(default_factory=dict)
    next_delivery: int = 1
    runs: dict[str, Run] = field(default_factory=dict)
    """In the order they were filed."""
    made_by: dict[str, int] = field(default_factory=dict)
    cases: dict[rulings.CaseKey, str] = field(default_factory=dict)
    resolutions: dict[str, datetime] = field(default_factory=dict)
    steps: dict[StepKey, StepRecord] = field(default_factory=dict)
    traces: dict[str, list[Trace]] = field(default_factory=dict)
    starts: dict[str, list[tuple[datetime, str]]] = field(default_factory=dict)
    """When, and which run."""
    locks: dict[str, str] = field(default_factory=dict)
    finishes: dict[str, list[datetime]] = field(default_factory=dict)
    switches: list[Switch] = field(default_factory=list)
    signals: dict[str, list[Signal]] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    leases: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """Whose a run is, and until when."""
    audit: list[AuditRecord] = field(default_factory=list)

    def record(self, note: AuditNote, now: datetime) -> None:
        """The next link of the audit trail."""
        self.audit.append(auditing.chained(self.audit[-1] if self.audit else None, moment(now), note))

    def told(self, run_id: str) -> list[tuple[SignalName, str]]:
        """Name and digest of each signal of a run."""
        return [(signal.name, signal.digest) for signal in self.signals.get(run_id, ())]

    def locked_by(self, run_id: str) -> str | None:
        """The target whose lock this run has."""
        return next((target for target, holder in self.locks.items() if holder == run_id), None)
