"""
What was asked of the live system and what it answered.

An answer has three values. Unknown is never a yes: in required evidence it stops everything, in optional
evidence it means a person is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from remediator.model.verdicts import Reason


class Answer(StrEnum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Weight(StrEnum):
    """What a probe's answer is for."""

    REQUIRED = "required"
    """Must be yes; no means this is not the fault, unknown means look again."""
    OPTIONAL = "optional"
    """No excludes the fault; unknown means a person decides."""
    LOOKALIKE = "lookalike"
    """Asks for another fault. Must be no: yes excludes ours, unknown means look again."""


@dataclass(frozen=True)
class Evidence:
    """One probe's answer: the question, the answer, and in words what was seen."""

    probe: str
    question: str
    answer: Answer
    seen: str
    weight: Weight = Weight.REQUIRED
    reason: Reason = Reason.NOT_CONFIRMED
    """Why the run is refused when this piece of evidence is what excludes the fault."""

    @property
    def speaks_for_the_fault(self) -> bool:
        wanted = Answer.NO if self.weight is Weight.LOOKALIKE else Answer.YES
        return self.answer is wanted

    def as_json(self) -> dict[str, str]:
        return {
            "probe": self.probe,
            "question": self.question,
            "answer": str(self.answer),
            "seen": self.seen,
            "weight": str(self.weight),
            "reason": str(self.reason),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, str]) -> Evidence:
        return cls(
            data["probe"],
            data["question"],
            Answer(data["answer"]),
            data["seen"],
            Weight(data["weight"]),
            Reason(data["reason"]),
        )


class DiagnosisResult(StrEnum):
    CONFIRMED = "confirmed"
    EXCLUDED = "excluded"
    UNKNOWN = "unknown"
    HEALTHY = "healthy"


@dataclass(frozen=True)
class Diagnosis:
    """The conclusion drawn from all evidence, with the one reason that decided it."""

    result: DiagnosisResult
    reason: Reason
    summary: str
    evidence: tuple[Evidence, ...] = field(default_factory=tuple)
    needs_person: bool = False
    """Confirmed, but a piece of optional evidence is unknown."""

    def as_json(self) -> dict[str, Any]:
        return {
            "result": str(self.result),
            "reason": str(self.reason),
            "summary": self.summary,
            "needs_person": self.needs_person,
            "evidence": [e.as_json() for e in self.evidence],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Diagnosis:
        return cls(
            DiagnosisResult(data["result"]),
            Reason(data["reason"]),
            data["summary"],
            tuple(Evidence.from_json(e) for e in data["evidence"]),
            data["needs_person"],
        )


def conclude(evidence: Sequence[Evidence], *, fault: str) -> Diagnosis:
    """
    Weigh all evidence for `fault`. No evidence at all is unknown, never confirmed.

    A look-alike that is there decides at once. A missing proof decides once every look-alike is known not to be
    there: until then it is not known what this is, and a person would be told the wrong name.
    """
    found = tuple(evidence)
    against = [e for e in found if not e.speaks_for_the_fault and e.answer is not Answer.UNKNOWN]
    lookalikes = [e for e in against if e.weight is Weight.LOOKALIKE]
    may_be_another = any(e.weight is Weight.LOOKALIKE and e.answer is Answer.UNKNOWN for e in found)
    if lookalikes or (against and not may_be_another):
        first = (lookalikes or against)[0]
        return Diagnosis(DiagnosisResult.EXCLUDED, first.reason, f"{first.probe}: {first.seen}", found)

    unknown = [e for e in found if e.answer is Answer.UNKNOWN]
    blocking = [e for e in unknown if e.weight is not Weight.OPTIONAL]
    if blocking or not found:
        what = f"{blocking[0].probe}: {blocking[0].seen}" if blocking else "no probe was asked"
        return Diagnosis(DiagnosisResult.UNKNOWN, Reason.EVIDENCE_UNKNOWN, what, found)
    return Diagnosis(DiagnosisResult.CONFIRMED, Reason.CONFIRMED, fault, found, needs_person=bool(unknown))
