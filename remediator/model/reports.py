"""
What happened, told once, after it was committed. Observers (metrics, Events, the log, the demo) receive these.

A report is never a command: nothing in the house waits for an observer or depends on one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from remediator.model.evidence import Diagnosis
from remediator.model.plans import Plan, Step
from remediator.model.runs import Run, RunEvent, RunState, StepState
from remediator.model.verdicts import GuardAnswer, Reason


@dataclass(frozen=True)
class Admitted:
    """An alert became a run."""

    run: Run


@dataclass(frozen=True)
class Located:
    run: Run


@dataclass(frozen=True)
class Diagnosed:
    run: Run
    diagnosis: Diagnosis


@dataclass(frozen=True)
class Planned:
    run: Run
    plan: Plan


@dataclass(frozen=True)
class GuardsAnswered:
    """All guards were asked, about the plan (`step` is None) or right before a step."""

    run: Run
    step: Step | None
    answers: tuple[GuardAnswer, ...]


@dataclass(frozen=True)
class StepReported:
    """A step's intent was committed (`state` intent) or its outcome was."""

    run: Run
    step: Step
    attempt: int
    state: StepState
    detail: str
    at: datetime
    seconds: float = 0.0
    by_probe: bool = False


@dataclass(frozen=True)
class HealthLooked:
    """Verification looked once."""

    run: Run
    met: bool
    seen: str


@dataclass(frozen=True)
class Transitioned:
    """A run moved in its table."""

    run: Run
    """As it is now."""
    before: RunState
    event: RunEvent
    reason: Reason | None
    detail: str
    at: datetime


Report = Admitted | Located | Diagnosed | Planned | GuardsAnswered | StepReported | HealthLooked | Transitioned
