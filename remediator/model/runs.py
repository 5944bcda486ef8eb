"""
The life of one run, as a table. A move that is not in the table raises and changes nothing.

Each state says who moves it on. `docs/explanation/run-states.md` is drawn from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from remediator.model.errors import IllegalMove
from remediator.model.evidence import Diagnosis
from remediator.model.objects import ObjectRef
from remediator.model.plans import Effect, Plan
from remediator.model.verdicts import Reason


class RunState(StrEnum):
    PENDING = "pending"
    """A worker moves it on: it locates, diagnoses, plans and asks the guards."""
    HELD = "held"
    """The clock moves it on: at `due_at` a worker takes it up again."""
    AWAITING_APPROVAL = "awaiting_approval"
    """A person moves it on, or the clock: a yes or a no to exactly this plan, or the time for an answer is up."""
    RUNNING = "running"
    """A worker moves it on, step by step. It owns the target's lock."""
    VERIFYING = "verifying"
    """A worker moves it on: the target is watched until it is well or time is up."""
    SUCCEEDED = "succeeded"
    """Final. The target is well, and this was verified."""
    REFUSED = "refused"
    """Final. Nothing was written, and the reason says why."""
    CANCELLED = "cancelled"
    """Final. Nothing was written, because nothing needs to be any more."""
    ESCALATED = "escalated"
    """Final for us: a person moves it on. Something was written or must be, and we may not go on."""

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({RunState.SUCCEEDED, RunState.REFUSED, RunState.CANCELLED, RunState.ESCALATED})
WAITING = frozenset({RunState.HELD, RunState.AWAITING_APPROVAL})
"""A run that waits is one row in the store: no task, no connection, no timer."""


class RunEvent(StrEnum):
    HELD = "held"
    DUE = "due"
    ALLOWED = "allowed"
    NOTHING_TO_DO = "nothing_to_do"
    REFUSED = "refused"
    ASKED = "asked"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    STEPS_DONE = "steps_done"
    STOPPED = "stopped"
    CURED = "cured"
    GAVE_UP = "gave_up"


_S, _E = RunState, RunEvent
TRANSITIONS: Mapping[tuple[RunState, RunEvent], RunState] = {
    (_S.PENDING, _E.HELD): _S.HELD,
    (_S.PENDING, _E.ALLOWED): _S.RUNNING,
    (_S.PENDING, _E.NOTHING_TO_DO): _S.VERIFYING,
    (_S.PENDING, _E.REFUSED): _S.REFUSED,
    (_S.PENDING, _E.ASKED): _S.AWAITING_APPROVAL,
    (_S.PENDING, _E.WITHDRAWN): _S.CANCELLED,
    (_S.PENDING, _E.STOPPED): _S.ESCALATED,
    (_S.PENDING, _E.GAVE_UP): _S.ESCALATED,
    (_S.HELD, _E.DUE): _S.PENDING,
    (_S.AWAITING_APPROVAL, _E.APPROVED): _S.PENDING,
    (_S.AWAITING_APPROVAL, _E.DENIED): _S.REFUSED,
    (_S.AWAITING_APPROVAL, _E.EXPIRED): _S.ESCALATED,
    (_S.AWAITING_APPROVAL, _E.WITHDRAWN): _S.CANCELLED,
    (_S.AWAITING_APPROVAL, _E.STOPPED): _S.ESCALATED,
    (_S.RUNNING, _E.STEPS_DONE): _S.VERIFYING,
    (_S.RUNNING, _E.HELD): _S.HELD,
    (_S.RUNNING, _E.REFUSED): _S.REFUSED,
    (_S.RUNNING, _E.WITHDRAWN): _S.CANCELLED,
    (_S.RUNNING, _E.STOPPED): _S.ESCALATED,
    (_S.VERIFYING, _E.CURED): _S.SUCCEEDED,
    (_S.VERIFYING, _E.GAVE_UP): _S.ESCALATED,
}
UNTOUCHED_ONLY = frozenset({RunEvent.REFUSED, RunEvent.ASKED, RunEvent.DENIED, RunEvent.WITHDRAWN})
"""Events that promise nothing was written; once a write was journalled they are illegal."""


def move(state: RunState, event: RunEvent, *, touched: bool) -> RunState:
    """The next state. `touched`: a write of this run has been journalled. Raises IllegalMove."""
    if touched and event in UNTOUCHED_ONLY:
        raise IllegalMove(f"a run that has written cannot be {event}; stop it instead")
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalMove(f"a run that is {state} cannot be {event}") from None


@dataclass(frozen=True)
class Run:
    """One run, as the store has it. Every save raises `version`; a save over another version is refused."""

    id: str
    rule: str
    rule_revision: str
    episode: str
    labels: Mapping[str, str]
    starts_at: str
    state: RunState
    created_at: datetime
    due_at: datetime
    version: int = 0
    target: ObjectRef | None = None
    diagnosis: Diagnosis | None = None
    plan: Plan | None = None
    cursor: int = 0
    """Steps of the plan whose outcome is journalled as done."""
    touched: bool = False
    """A write has been journalled, so something may have changed."""
    reason: Reason | None = None
    detail: str = ""
    held_since: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    resolved_at: datetime | None = None
    """When Alertmanager's resolution of this run's alert arrived."""
    approved: str = ""
    """Digest of the plan that a person has approved; worth nothing for any other plan."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What a survey must remember between two looks (a container's earlier death, for one)."""


class StepState(StrEnum):
    INTENT = "intent"
    """Committed before the call: it may or may not have reached the world."""
    DONE = "done"
    FAILED = "failed"
    NOT_APPLIED = "not_applied"
    """Proven by a probe not to have reached the world."""


@dataclass(frozen=True)
class StepRecord:
    """One attempt of one step in the journal."""

    run_id: str
    seq: int
    attempt: int
    verb: str
    effect: Effect
    state: StepState
    intent: Mapping[str, Any]
    started_at: datetime
    deadline: datetime
    finished_at: datetime | None = None
    by_probe: bool = False
    """The outcome was read from the world after an interruption, not from the call's own answer."""
    changed: bool = True
    detail: str = ""
