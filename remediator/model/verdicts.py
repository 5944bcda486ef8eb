"""
A decision is a value with a reason.

Reasons form one closed set: they are metric labels, Event reasons and the answer to "why was this not run?".
A verdict never carries a bare yes or no, and only `Allow` lets a step be sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from remediator.model.objects import ObjectRef


class Reason(StrEnum):
    """Why something was decided. `docs/reference/reasons.md` says what to do about each."""

    # an alert gave no run
    NO_RULE_MATCHES = "no_rule_matches"
    OUTSIDE_SCOPE = "outside_scope"
    PROTECTED = "protected"
    DUPLICATE = "duplicate"
    RESOLVED = "resolved"
    STALE = "stale"
    LABELS_INVALID = "labels_invalid"
    # a target was not found
    TARGET_NOT_FOUND = "target_not_found"
    TARGET_NOT_COVERED = "target_not_covered"
    TARGET_CHANGED = "target_changed"
    # a diagnosis
    CONFIRMED = "confirmed"
    HEALTHY = "healthy"
    NOT_CONFIRMED = "not_confirmed"
    LOOKALIKE = "lookalike"
    QUORUM_LOST = "quorum_lost"
    EVIDENCE_UNKNOWN = "evidence_unknown"
    EVIDENCE_STALE = "evidence_stale"
    CONDITION_NOT_MET = "condition_not_met"
    NO_SAFE_PLAN = "no_safe_plan"
    # a guard
    OBSERVE_ONLY = "observe_only"
    DISARMED = "disarmed"
    FROZEN = "frozen"
    PAUSED = "paused"
    EPISODE_OVER = "episode_over"
    RATE_LIMITED = "rate_limited"
    COOLING_DOWN = "cooling_down"
    TARGET_BUSY = "target_busy"
    APPROVAL_NEEDED = "approval_needed"
    APPROVAL_EXPIRED = "approval_expired"
    DENIED = "denied"
    CANCELLED = "cancelled"
    RULE_GONE = "rule_gone"
    GUARD_FAILED = "guard_failed"
    # a step
    PRECONDITION_FAILED = "precondition_failed"
    STEP_FAILED = "step_failed"
    STEP_TIMED_OUT = "step_timed_out"
    OUTCOME_UNKNOWN = "outcome_unknown"
    FORBIDDEN = "forbidden"
    # an end
    CURED = "cured"
    RECOVERED_BY_ITSELF = "recovered_by_itself"
    NOT_CURED = "not_cured"
    WAITED_TOO_LONG = "waited_too_long"
    QUARANTINED = "quarantined"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True)
class Allow:
    """Go on."""


@dataclass(frozen=True)
class Hold:
    """Not now: ask again at `until`."""

    until: datetime
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Ask:
    """A person must say yes first."""

    reason: Reason
    detail: str


@dataclass(frozen=True)
class Refuse:
    """No, and asking again about this run is useless."""

    reason: Reason
    detail: str


Verdict = Allow | Hold | Ask | Refuse


@dataclass(frozen=True)
class GuardAnswer:
    """What one guard said."""

    guard: str
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        verdict = self.verdict
        if isinstance(verdict, Allow):
            return {"guard": self.guard, "verdict": "allow"}
        said: dict[str, Any] = {
            "guard": self.guard,
            "verdict": type(verdict).__name__.lower(),
            "reason": str(verdict.reason),
            "detail": verdict.detail,
        }
        if isinstance(verdict, Hold):
            said["until"] = verdict.until.isoformat()
        return said


SHORTEST_CALL = 0.5
"""Seconds; a call that had less for its answer would mostly be one whose answer is lost."""


@dataclass(frozen=True)
class Permit:
    """
    Proof that the guards were asked just now about one attempt of one step.

    Only a handle bound to a permit can write, only to `may_touch`, and only before `expires`. A call that leaves must
    be answered or given up before `answer_by`: another worker may own the run after that. Monotonic seconds.
    """

    run_id: str
    step: int
    attempt: int
    may_touch: tuple[ObjectRef, ...]
    expires: float
    answer_by: float = math.inf

    def call_seconds(self, now: float, most: float) -> float:
        """How long a call that leaves at `now` may take, `most` at most; 0 where it may not leave any more."""
        left = min(most, self.answer_by - now)
        return left if now < self.expires and left >= min(most, SHORTEST_CALL) else 0.0

    def covers(self, ref: ObjectRef) -> bool:
        return any(allowed.is_same_object(ref) for allowed in self.may_touch)


def strictest(answers: Mapping[str, Verdict]) -> Verdict:
    """The verdict that binds: any refusal, else any question, else the longest hold. No answer at all refuses."""
    verdicts = list(answers.values())
    if not verdicts:
        return Refuse(Reason.GUARD_FAILED, "no guard was asked")
    for kind in (Refuse, Ask):
        for verdict in verdicts:
            if isinstance(verdict, kind):
                return verdict
    holds = [v for v in verdicts if isinstance(v, Hold)]
    return max(holds, key=lambda h: h.until) if holds else Allow()
