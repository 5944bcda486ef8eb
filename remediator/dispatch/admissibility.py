"""
Whether an alert may be acted on at all: its labels, its times, its namespace.

In: one alert, the time, a rule's scope. Out: None, or the reason why not and in words. Pure questions; what an alert
says is compared, never followed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from remediator.model.alerts import Alert
from remediator.model.rules import Rule
from remediator.model.scopes import is_label_name, is_protected
from remediator.model.verdicts import Reason

Objection = tuple[Reason, str]

MOST_LABELS = 64
LONGEST_NAME = 256
LONGEST_VALUE = 4096
EARLIEST_YEAR = 2000
CLOCK_ERROR = timedelta(hours=1)
OPEN_END = frozenset({"", "0001-01-01T00:00:00Z"})
"""How Alertmanager says that an alert has no end yet."""

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[-+][0-9]{2}:[0-9]{2})\Z"
)


def object_to_labels(labels: Mapping[str, str]) -> Objection | None:
    """Labels that no monitoring system sends, and that could not be stored as they are."""
    if len(labels) > MOST_LABELS:
        return Reason.LABELS_INVALID, f"{len(labels)} labels; expected at most {MOST_LABELS}"
    if _plainly_fine(labels):
        return None
    for name, value in labels.items():
        if not name or "\0" in name or "\0" in value:
            return Reason.LABELS_INVALID, f"label {name[:64]!r} is empty or has a NUL in it"
        try:
            too_long = len(name.encode()) > LONGEST_NAME or len(value.encode()) > LONGEST_VALUE
        except UnicodeEncodeError:
            return Reason.LABELS_INVALID, f"label {name[:64]!r} is not valid Unicode"
        if too_long:
            return Reason.LABELS_INVALID, f"label {name[:64]!r} is longer than any label may be"
    return None


def _plainly_fine(labels: Mapping[str, str]) -> bool:
    """Whether one look at all labels shows that none can be at fault: ASCII, short, no NUL. Nearly all are."""
    names = "".join(labels)
    text = names + "".join(labels.values())
    is_short = len(names) <= LONGEST_NAME and len(text) <= LONGEST_VALUE
    return is_short and text.isascii() and "\0" not in text and "" not in labels


def object_to_start(alert: Alert) -> Objection | None:
    """A start that is no time: it could not name an episode."""
    if parse_time(alert.starts_at) is None:
        return Reason.STALE, f"startsAt {alert.starts_at[:64]!r} is not an RFC 3339 time"
    return None


def object_to_times(alert: Alert, now: datetime) -> Objection | None:
    """A firing alert whose times do not say that it fires now."""
    start = parse_time(alert.starts_at)
    if start is None:
        return object_to_start(alert)
    if start.year < EARLIEST_YEAR:
        return Reason.STALE, f"startsAt {alert.starts_at} is too long ago to be true"
    if start - now > CLOCK_ERROR:
        return Reason.STALE, f"startsAt {alert.starts_at} is in the future; look at the sender's clock"
    if alert.ends_at in OPEN_END:
        return None
    end = parse_time(alert.ends_at)
    if end is None:
        return Reason.STALE, f"endsAt {alert.ends_at[:64]!r} is not an RFC 3339 time"
    if end.year > 1 and end <= now:
        return Reason.RESOLVED, f"ended already, at {alert.ends_at}"
    return None


def object_to_scope(rule: Rule, labels: Mapping[str, str], protected: Sequence[str]) -> Objection | None:
    """An alert from where this rule may not act. An alert that does not say where it is from is from nowhere."""
    namespace = labels.get("namespace", "")
    if not namespace:
        return Reason.OUTSIDE_SCOPE, "the alert has no label namespace"
    if not is_label_name(namespace):
        return Reason.OUTSIDE_SCOPE, f"namespace {namespace[:64]!r} is not a name that Kubernetes allows"
    if namespace not in rule.namespaces:
        return Reason.OUTSIDE_SCOPE, f'rule "{rule.name}" does not act in namespace "{namespace}"'
    if is_protected(namespace, protected):
        return Reason.PROTECTED, f'namespace "{namespace}" is protected'
    return None


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time, cut to microseconds; None for anything else."""
    if not _TIME.match(text):
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None
