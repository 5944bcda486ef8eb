"""
A plan is data: steps with their arguments, preconditions and the difference each one makes.

Nothing here acts. The digest covers every byte that decides what would be done, so an approval, a rehearsal
and a run can be held to the same plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from remediator.model.objects import ObjectRef


class Effect(StrEnum):
    """What an interrupted step may have left behind, which decides how it is taken up again."""

    NONE = "none"
    """Reads and waits: run again."""
    IDEMPOTENT = "idempotent"
    """Sets absolute values: ask the world if it can be asked, else run again."""
    DESTRUCTIVE = "destructive"
    """The world must be asked; unknown waits, then a person is told."""


@dataclass(frozen=True)
class Change:
    """What a step changes on one object, in words a person reads before and after."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Step:
    """One verb with its arguments. `target` is the incarnation it may touch and no other."""

    seq: int
    verb: str
    target: ObjectRef
    args: Mapping[str, Any]
    effect: Effect
    timeout: timedelta
    why: str
    changes: tuple[Change, ...] = ()
    requires: tuple[str, ...] = ()
    """Probes that must still speak for the fault, on a fresh survey, right before this step."""
    may_touch: tuple[ObjectRef, ...] = ()
    """Everything the write handle lets this step write; a reading step touches nothing."""

    @property
    def is_write(self) -> bool:
        return self.effect is not Effect.NONE

    def as_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "verb": self.verb,
            "target": self.target.as_json(),
            "args": dict(self.args),
            "effect": str(self.effect),
            "timeout_seconds": self.timeout.total_seconds(),
            "why": self.why,
            "changes": [{"path": c.path, "before": c.before, "after": c.after} for c in self.changes],
            "requires": list(self.requires),
            "may_touch": [ref.as_json() for ref in self.may_touch],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        return cls(
            data["seq"],
            data["verb"],
            ObjectRef.from_json(data["target"]),
            data["args"],
            Effect(data["effect"]),
            timedelta(seconds=data["timeout_seconds"]),
            data["why"],
            tuple(Change(**c) for c in data["changes"]),
            tuple(data["requires"]),
            tuple(ObjectRef.from_json(ref) for ref in data["may_touch"]),
        )


@dataclass(frozen=True)
class Plan:
    """What a run will do and on whose authority: one target, one rule revision, one list of steps."""

    rule: str
    rule_revision: str
    target: ObjectRef
    summary: str
    steps: tuple[Step, ...]
    ask: str = ""
    """Not empty: a person must agree whatever the mode, and this is why."""
    arithmetic: tuple[str, ...] = field(default_factory=tuple)
    """The sums the plan rests on (quorum before and after each round), a line each."""

    @cached_property
    def digest(self) -> str:
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "rule_revision": self.rule_revision,
            "target": self.target.as_json(),
            "summary": self.summary,
            "ask": self.ask,
            "arithmetic": list(self.arithmetic),
            "steps": [s.as_json() for s in self.steps],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        return cls(
            data["rule"],
            data["rule_revision"],
            ObjectRef.from_json(data["target"]),
            data["summary"],
            tuple(Step.from_json(s) for s in data["steps"]),
            data["ask"],
            tuple(data["arithmetic"]),
        )
