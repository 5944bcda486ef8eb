"""
The seams between rooms: what a room may ask of another without knowing it.

Each has a real implementation, a fake, and one suite in `tests/seams/` that both pass. Reading and writing are
different types: a probe, a guard or a locator is never given anything that can write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from remediator.model.brakes import BrakeState
from remediator.model.calls import BackupRecord, Door, LogText, ReadCall, Reply, WriteCall
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
from remediator.model.objects import Manifest, ObjectRef, ResourceType
from remediator.model.plans import Step
from remediator.model.reports import Report
from remediator.model.rules import Limit, Mode
from remediator.model.runs import Run, StepRecord, StepState
from remediator.model.verdicts import Permit, Verdict
from remediator.model.witness import Mark


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall time, timezone-aware UTC. For people, windows and stored times."""
        ...

    def monotonic(self) -> float:
        """Seconds that only go forward. For deadlines."""
        ...

    async def sleep(self, seconds: float) -> None: ...


Ids = Callable[[str], str]
"""A new unique id that starts with the given word: `ids("run")`."""

Observer = Callable[[Report], None]
"""Must not block; what it raises is logged and counted, and disturbs nobody."""


# --- the cluster -------------------------------------------------------------------------------------------


class ClusterView(Protocol):
    """
    Quorum reads of the API server: no `resourceVersion` is ever sent, so nothing stale is decided on.

    Raises NotFound, Forbidden, Temporary or Permanent. A list is whole or it raises.
    """

    async def get(self, ref: ObjectRef) -> Manifest:
        """The live object. With a uid in `ref`, another incarnation raises Conflict."""
        ...

    async def list(
        self, resource: ResourceType, namespace: str = "", *, labels: Mapping[str, str] | None = None
    ) -> Sequence[Manifest]: ...

    async def log(self, pod: ObjectRef, container: str, *, previous: bool, tail_lines: int = 200) -> LogText: ...


class Cluster(ClusterView, Protocol):
    """
    The view plus writes, bound to one permit. Raises PermitRefused outside it.

    Every write carries uid and resourceVersion. AnswerLost means it may have been applied.
    """

    async def patch(self, live: Manifest, ref: ObjectRef, change: Mapping[str, Any]) -> Manifest:
        """JSON merge patch against exactly the incarnation and version of `live`."""
        ...

    async def delete(self, live: Manifest, ref: ObjectRef) -> None:
        """Delete exactly the incarnation and version of `live`; never forced, never a collection."""
        ...


# --- a system's own HTTP API -------------------------------------------------------------------------------


class EndpointView(Protocol):
    """Bounded reads of a system's own API. Raises Temporary when nobody answers, Permanent when refused."""

    async def ask(self, door: Door, call: ReadCall) -> Reply: ...

    def lines(self, door: Door, call: ReadCall, *, max_bytes: int) -> AsyncIterator[bytes]:
        """A long answer, line by line; more than `max_bytes` in all raises Permanent."""
        ...


class Endpoint(EndpointView, Protocol):
    """The view plus writes, bound to one permit whose step may touch `door.pod`."""

    async def send(self, door: Door, call: WriteCall) -> Reply: ...


class Backups(Protocol):
    """
    Files that a run must have before it destroys anything. Mode 0600, written whole or not at all.

    Raises Temporary when the disk refuses: a run waits for it no longer than for a cluster.
    """

    @property
    def is_configured(self) -> bool: ...

    async def save(self, run_id: str, name: str, chunks: AsyncIterator[bytes]) -> BackupRecord:
        """Write, flush to disk and rename into place; an interrupted save leaves nothing under `name`."""
        ...

    async def find(self, run_id: str, name: str) -> BackupRecord | None:
        """The saved file with the hash of what is on disk; None if there is none."""
        ...


@dataclass(frozen=True)
class ReadAccess:
    """All that locators, surveys, probes and the looking half of a verb ever receive."""

    cluster: ClusterView
    endpoints: EndpointView
    backups: Backups
    clock: Clock


@dataclass(frozen=True)
class WriteAccess:
    """What a verb receives behind a fresh permit, and nothing else in the house does."""

    run_id: str
    cluster: Cluster
    endpoints: Endpoint
    backups: Backups
    clock: Clock


# --- the store ---------------------------------------------------------------------------------------------


class RunStore(Protocol):
    """
    The run journal. Every method is one transaction: it happened whole and durably, or it raises and did not.

    Each decision, refusal, write and switch leaves its record in the audit trail in the very same transaction.
    Raises StoreUnavailable; LostRun where `run.version` is no longer the stored one.
    """

    lease: timedelta | None
    """How long a claim lasts without a renewal, by the store's own clock; None: as long as the process."""

    async def file(self, delivery: Delivery) -> Sequence[Filed]:
        """Store a delivery, admit its candidates (one run for each rule and episode, ever), note resolutions."""
        ...

    async def claim(self, limit: int) -> Sequence[Claimed]:
        """
        Live runs that are due and that no worker has; each is this worker's until `release`, or its lease ends.

        Oldest first. A run that was in hand when its worker vanished is suspect: only one such run is handed out at a
        time, so that the one that breaks its worker is soon alone.
        """
        ...

    async def renew(self) -> Renewed:
        """Make every lease of this worker last its full time from now, in one statement."""
        ...

    async def release(self, run_id: str) -> None:
        """Give a claimed run back in order (drain, or its worker failed); harmless when it is not claimed."""
        ...

    async def due_in(self) -> timedelta | None:
        """How long until the next unclaimed live run is due, by the store's clock; negative when it already is."""
        ...

    async def save(self, run: Run, trace: Trace | None = None) -> Run:
        """
        Store `run` over the version it was read at; answers it with the new version.

        A final state frees the target's lock. A final, held or awaiting state also gives up the claim. A run that is
        put to wait although a signal for it is already there is due at once.
        """
        ...

    async def start(self, request: StartRequest, judge: Callable[[Usage], Verdict]) -> Verdict:
        """
        Ask `judge` inside one transaction; on Allow record the start in every scope and take the target's lock.

        Asked again for a run that has started it answers Allow and records nothing. Two starts that touch a scope in
        common are judged one after the other.
        """
        ...

    async def intend(self, run: Run, record: StepRecord) -> Run:
        """Commit a step's intent. A writing step marks the run touched."""
        ...

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
        """Commit the outcome of an intent; `done` moves the cursor past the step. A settled one stays as it is."""
        ...

    async def signal(self, signal: Signal) -> Signal:
        """
        Tell a run something; answers the first signal of that name and digest, which is this one or an earlier one.

        A run that waits is due at once. Raises LostRun where there is no such run, IllegalMove where it has ended.
        """
        ...

    async def signals(self, run_id: str) -> Sequence[Signal]:
        """In the order they were told."""
        ...

    async def get(self, run_id: str) -> Run | None: ...

    async def list(self, which: RunFilter) -> Sequence[Run]:
        """Newest first."""
        ...

    async def steps(self, run_id: str) -> Sequence[StepRecord]:
        """In order of step, then attempt."""
        ...

    async def traces(self, run_id: str) -> Sequence[Trace]: ...

    async def usage(self, request: StartRequest) -> Usage:
        """What `start` would see, without taking anything."""
        ...

    async def throw(self, switch: Switch) -> None:
        """Set a switch and keep the record of it for ever."""
        ...

    async def switch(self, name: str) -> Switch | None: ...

    async def switches(self) -> Sequence[Switch]:
        """The latest of each name."""
        ...

    async def note(self, note: AuditNote) -> None:
        """Record something in the audit trail by itself."""
        ...

    async def audit_head(self) -> AuditRecord | None:
        """The newest record; None while there is none."""
        ...

    async def audit(self, after: int, limit: int) -> Sequence[AuditRecord]:
        """Records whose `seq` is greater than `after`, in order."""
        ...

    async def audit_latest(self, kind: AuditKind) -> AuditRecord | None:
        """The newest record of that kind; None while there is none."""
        ...

    async def prune(self, deliveries_before: datetime) -> int:
        """Forget raw bodies older than that, never anything of a live run; answers how many."""
        ...

    async def ended(self, before: datetime, limit: int) -> Sequence[History]:
        """Runs that ended before that, oldest first, with all that is known of them."""
        ...

    async def forget(self, run_ids: Sequence[str]) -> int:
        """Forget runs that have ended; that their episodes had a run is remembered. Answers how many."""
        ...

    async def close(self) -> None: ...


class Witness(Protocol):
    """
    Remembers outside the journal how far it had come, so that an old copy of it can be told from it.

    One writer, who has the journal.
    """

    name: str
    """In words: `file /var/lib/remediator/journal.witness`."""

    async def read(self) -> Mark | None:
        """The last mark; None where there never was one. Raises StoreUnavailable or RemoteError, and never guesses."""
        ...

    async def write(self, mark: Mark) -> None:
        """Remember `mark` durably. Raises StoreUnavailable or RemoteError; then it may or may not."""
        ...


# --- guards ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """All that a guard may look at, gathered just before it is asked."""

    now: datetime
    run: Run
    mode: Mode
    rule_is_loaded: bool
    rule_revision: str
    """Of the rule as it is loaded now; \"\" when it is not."""
    namespaces: tuple[str, ...]
    cooldown: timedelta
    per_rule: Limit
    per_target: Limit
    per_namespace: Limit
    per_service: Limit
    protected_namespaces: tuple[str, ...]
    own: tuple[ObjectRef, ...]
    """Objects that keep this service alive."""
    step: Step | None
    """The step about to be sent, or None while planning."""
    touches: tuple[ObjectRef, ...]
    pauses: tuple[str, ...]
    """Objects among target and namespace that carry a person's pause."""
    pauses_known: bool
    """False when an object whose annotations must be read could not be."""
    target_uid: str
    """The uid the live target has now; \"\" when it is gone."""
    usage: Usage
    brakes: BrakeState
    """What binds among the ways to freeze that do not need the store."""
    evidence_age: timedelta
    evidence_max_age: timedelta
    cancelled: str
    """Who wants this run to end, and why; "" while nobody does."""
    asked_at: float
    """Monotonic seconds, before the first of these facts was read: a permit lasts from here."""


class Tenure(Protocol):
    """How long a run is still this worker's. Another worker may have it the moment it is over."""

    async def ends(self, run_id: str, *, needed: float) -> float:
        """
        Monotonic seconds at which it ends, renewed first where less than `needed` seconds are left.

        Raises LostRun where it is over already, or cannot be made to last that long.
        """
        ...

    def is_cancelled(self, run_id: str) -> bool:
        """Whether somebody was heard to want an end of it; what waits long asks this between two looks."""
        ...


class Brake(Protocol):
    """
    One way to stop every write that does not need the store.

    Looking changes nothing and never raises for what it finds: what cannot be read is `Unreadable`.
    """

    name: str
    """In words that a person can act on: `file /var/lib/remediator/FREEZE`."""
    every: float
    """Seconds between two looks when nobody is about to write."""

    async def look(self) -> BrakeState:
        """What it says just now, never what it said before."""
        ...


class Guard(Protocol):
    """May we act, now, here? A pure question about the facts; a guard that raises refuses."""

    name: str

    def __call__(self, facts: Facts) -> Verdict: ...


class Access(Protocol):
    """The two kinds of access, and the only way from a permit to something that can write."""

    def read(self) -> ReadAccess: ...

    def write(self, permit: Permit) -> WriteAccess: ...
