"""
A remediation rule, already validated: which alerts, where, what must be true, what to do, how it is held back.

Built only by the rulebook. Matchers and conditions arrive compiled (`accepts`, `evaluate`), so that asking
them needs no library here. A rule's `revision` is the hash of its file's text;
a plan names the one it was made under.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from remediator.model.evidence import Answer


class Mode(StrEnum):
    OBSERVE = "observe"
    APPROVE = "approve"
    AUTO = "auto"


class MatchOp(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True)
class Matcher:
    """One of Alertmanager's matchers. A label that is absent has the value \"\"."""

    label: str
    op: MatchOp
    value: str
    accepts: Callable[[str], bool] = field(compare=False, repr=False)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return self.accepts(labels.get(self.label, ""))

    def __str__(self) -> str:
        quoted = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.label}{self.op}"{quoted}"'


@dataclass(frozen=True)
class Condition:
    """A CEL expression over the evidence and facts of a diagnosis; a run-time error is unknown."""

    text: str
    evaluate: Callable[[Mapping[str, Any]], Answer] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Limit:
    """At most `count` started runs in any window of length `window`."""

    count: int
    window: timedelta


@dataclass(frozen=True)
class Verification:
    """Healthy without a break for `steady_for`, and that within `within`; looked at every `every`."""

    within: timedelta
    steady_for: timedelta
    every: timedelta


@dataclass(frozen=True)
class Rule:
    """One validated rule file."""

    name: str
    system: str
    mode: Mode
    matchers: tuple[Matcher, ...]
    namespaces: tuple[str, ...]
    """The literal scope. Labels narrow it, nothing widens it, and empty means nowhere."""
    remedy: str
    parameters: Mapping[str, Any]
    conditions: tuple[Condition, ...]
    per_rule: Limit
    per_target: Limit
    cooldown: timedelta
    patience: timedelta
    """How long a run may be held, or its evidence stay unknown, before a person is told."""
    verification: Verification
    runbook: str
    revision: str
    source: str
    """`file:line` of the rule."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        return bool(self.matchers) and all(m.matches(labels) for m in self.matchers)
