"""
What Alertmanager says: a notification and the alerts in it.

An alert's identity is computed here from its whole label set and its raw `startsAt`; the sender's
fingerprint is kept for people to read and never trusted. Nothing in an alert is ever fetched or executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


class AlertStatus(StrEnum):
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Alert:
    """One alert of a notification. `starts_at` and `ends_at` are the sender's RFC 3339 text, unparsed."""

    status: AlertStatus
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: str
    ends_at: str
    generator_url: str = ""
    fingerprint: str = ""

    @property
    def is_firing(self) -> bool:
        return self.status is AlertStatus.FIRING

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")

    @cached_property
    def label_hash(self) -> str:
        """Twenty-four hex digits of SHA-256 over the sorted label set, each text with its length before it."""
        canonical = "".join([f"{len(name)}:{name}{len(value)}:{value}" for name, value in sorted(self.labels.items())])
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:24]

    @cached_property
    def episode(self) -> str:
        """One stretch of firing: the same label set with the same raw `startsAt`."""
        return f"{self.label_hash}@{self.starts_at}"


@dataclass(frozen=True)
class Notification:
    """One POST of Alertmanager. `status` is the group's and decides nothing: every alert has its own."""

    receiver: str
    status: str
    group_key: str
    truncated_alerts: int
    alerts: tuple[Alert, ...]
