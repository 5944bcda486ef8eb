"""
What is told to the store and what it tells: deliveries, candidates, starts, switches, traces.

Plain values; the store's promises are in `seams.RunStore`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from remediator.model.alerts import Alert
from remediator.model.rules import Limit
from remediator.model.runs import Run, RunState
from remediator.model.verdicts import Reason

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
class Usage:
    """What the store knows, inside the admitting transaction, about starting one run now."""

    now: datetime
    rule_starts: tuple[datetime, ...]
    """Starts of this rule within its window, oldest first; the asking run's own start is not among them."""
    target_starts: tuple[datetime, ...]
    global_starts: tuple[datetime, ...]
    last_finished: datetime | None
    """When the last run that wrote to this target ended."""
    holder: str | None
    """Another run that owns the target's lock."""
    frozen: bool
    armed: bool


@dataclass(frozen=True)
class StartRequest:
    run: Run
    target_key: str
    per_rule: Limit
    per_target: Limit
    per_service: Limit


@dataclass(frozen=True)
class Switch:
    """A durable, audited switch: who threw it, when and why."""

    name: str
    on: bool
    by: str
    why: str
    at: datetime


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
