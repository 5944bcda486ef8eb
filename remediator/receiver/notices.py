"""
What the receiver tells about itself, as plain records, to whoever counts and logs.

No value here comes from an alert, so each may become a metric's label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RequestAnswered:
    """Every request ends in exactly one of these."""

    code: int
    seconds: float
    sender: str
    correlation_id: str


@dataclass(frozen=True)
class AccessDecided:
    """Whether a sender was let in."""

    decision: Literal["accepted", "refused", "unknown"]
    sender: str
    correlation_id: str


@dataclass(frozen=True)
class AlertsReceived:
    """Alerts of a delivery that is on disk."""

    firing: int
    resolved: int
    truncated: int


@dataclass(frozen=True)
class Unmatched:
    """How many of them no rule wants."""

    count: int


@dataclass(frozen=True)
class BodyTooLarge:
    """A delivery is lost until somebody raises `webhook.max_body_bytes`: Alertmanager does not try again."""

    limit: int


@dataclass(frozen=True)
class LateWrite:
    """A delivery was on its way to the disk when its sender was told to come again."""

    stored: bool
    problem: str


Notice = RequestAnswered | AccessDecided | AlertsReceived | Unmatched | BodyTooLarge | LateWrite
