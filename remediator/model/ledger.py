"""
What is told to the store and what it tells: deliveries, claims, starts, signals, switches, traces, the audit trail.

Plain values; the store's promises are in `seams.RunStore`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from remediator.model.alerts import Alert
from remediator.model.rules import Limit
from remediator.model.runs import Run, RunState, StepRecord
from remediator.model.verdicts import Reason

BACK_OFF_MEMORY = timedelta(days=1)
"""How long a remediation of a target counts towards its next cooldown."""
FREEZE = "freeze"
"""The switch that stops every write."""


def arm_switch(rule: str) -> str:
    """The switch that lets a rule act as its mode says."""
    return f"arm:{rule}"


@dataclass(frozen=True)
class Candidate:
    """A firing alert that one rule matches: a run, unless this episode already had one."""

    run_id: str
    rule: str
    rule_revision: str
    alert: Alert


@dataclass(frozen=True)
class Delivery:
    """One webhook request, stored whole before it is acknowledged."""

    received_at: datetime
    body: bytes
    sender: str
    candidates: tuple[Candidate, ...] = ()
    resolved: tuple[Alert, ...] = ()
    """Resolved alerts that some rule matches."""
    skipped: Mapping[Reason, int] = field(default_factory=dict)
    """How many alerts gave no candidate, by why."""


@dataclass(frozen=True)
class Filed:
    """What became of one candidate: the run it has, and whether this delivery made it."""

    rule: str
    episode: str
    run_id: str | None
    """None: refused for `reason` without a run (the episode is already resolved)."""
    created: bool
    reason: Reason | None = None


@dataclass(frozen=True)
class Claimed:
    """A run that is now this worker's, as it is stored."""

    run: Run
    """Its version is the fence: claiming raised it, so whoever had the run before can store nothing more."""
    tries: int
    """How often it was claimed since it last got on or was given back in order, this time included."""


@dataclass(frozen=True)
class Renewed:
    """The answer to a renewal of every lease at once."""

    held: frozenset[str]
    """Runs that are still this worker's; any other one is not, whatever it believes."""
    cancelled: frozenset[str]
    """Those of them that somebody wants to end."""


@dataclass(frozen=True)
class Usage:
    """What the store knows, inside the admitting transaction, about starting one run now."""

    now: datetime
    rule_starts: tuple[datetime, ...]
    """Starts of this rule within its window, oldest first; the asking run's own start is not among them."""
    target_starts: tuple[datetime, ...]
    namespace_starts: tuple[datetime, ...]
    global_starts: tuple[datetime, ...]
    finishes: tuple[datetime, ...]
    """When runs that wrote to this target ended, oldest first, as far back as `BACK_OFF_MEMORY`; the newest always."""
    holder: str | None
    """Another run that owns the target's lock."""
    frozen: bool
    armed: bool
    """Whether the rule was armed last, and not disarmed."""
    armed_revision: str
    """The revision it was armed at; \"\" when it is not."""


@dataclass(frozen=True)
class StartRequest:
    run: Run
    target_key: str
    namespace: str
    per_rule: Limit
    per_target: Limit
    per_namespace: Limit
    per_service: Limit


class SignalName(StrEnum):
    """What a person can tell one run."""

    CANCEL = "cancel"
    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True)
class Signal:
    """Something a person told a run. The first of its name and digest stays; it is never changed or taken back."""

    run_id: str
    name: SignalName
    digest: str
    """The plan that is approved or denied; empty for a cancellation, which is about the run."""
    by: str
    why: str
    at: datetime


@dataclass(frozen=True)
class Switch:
    """A durable, audited switch: who threw it, when and why."""

    name: str
    on: bool
    by: str
    why: str
    at: datetime
    revision: str = ""
    """For an arming: the revision of the rule that was armed. It arms no other."""


def is_armed(thrown: Switch | None, revision: str) -> bool:
    """Whether the newest record of a rule's switch arms the rule at this revision."""
    return thrown is not None and thrown.on and thrown.revision == revision


@dataclass(frozen=True)
class RunFilter:
    states: tuple[RunState, ...] = ()
    rule: str = ""
    limit: int = 100


@dataclass(frozen=True)
class Trace:
    """One line of a run's history as stored: what it moved to, why, and when."""

    at: datetime
    before: str
    event: str
    after: str
    reason: str
    detail: str


# --- the audit trail ---------------------------------------------------------------------------------------


class AuditKind(StrEnum):
    """What a record of the audit trail is about."""

    DELIVERY = "delivery"
    MOVE = "move"
    START = "start"
    INTENT = "intent"
    OUTCOME = "outcome"
    SIGNAL = "signal"
    SWITCH = "switch"
    RULES = "rules"
    FORGOTTEN = "forgotten"
    ACCEPTED = "accepted"


@dataclass(frozen=True)
class AuditNote:
    """What is to be recorded, before it has its place in the chain."""

    kind: AuditKind
    body: Mapping[str, Any]
    """JSON values only."""


@dataclass(frozen=True)
class AuditRecord:
    """One link of the chain, exactly as stored. `hash` covers every other field and the hash before it."""

    seq: int
    """From 1, without a gap."""
    at: str
    kind: str
    body: str
    """JSON text."""
    hash: str


HEAD_TOLD = "audit head"
"""The line of the log that tells a head."""


@dataclass(frozen=True)
class Head:
    """A record that was told, outside the journal, to be the newest: the trail must have it for ever."""

    seq: int
    hash: str
    journal: str = ""
    """Whose trail it was, as `journal_of` names it; "" where that was not told."""


def journal_of(first: AuditRecord) -> str:
    """The name of a trail, by its first record: no two begin alike, and a restored one keeps it."""
    return first.hash[:16]


# --- keeping and forgetting --------------------------------------------------------------------------------


@dataclass(frozen=True)
class History:
    """Everything the journal has of one run that has ended."""

    run: Run
    steps: tuple[StepRecord, ...]
    traces: tuple[Trace, ...]
    signals: tuple[Signal, ...]
