"""
Decide, for each alert by itself, which rules want it.

In: a notification. Out: candidates for runs, resolutions to note, and every other alert with the reason why it gave
no run. It looks at labels and times only, never at the group's status, and starts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from remediator.dispatch.admissibility import object_to_labels, object_to_scope, object_to_start, object_to_times
from remediator.dispatch.index import RuleIndex
from remediator.model.alerts import Alert, AlertStatus, Notification
from remediator.model.ledger import Candidate
from remediator.model.rules import Rule
from remediator.model.seams import Clock, Ids
from remediator.model.verdicts import Reason


class Skipped(NamedTuple):
    """An alert that gave no run. `index` is its position in the notification. A tuple, as most alerts give one."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks of this
    alertname: str
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Dispatched:
    """What is to become of a notification's alerts: each is in exactly one of these."""

    candidates: tuple[Candidate, ...]
    """More than one for an alert that several rules want, in the rules' order."""
    resolved: tuple[Alert, ...]
    skipped: tuple[Skipped, ...]


class Dispatcher:
    """One set of rules, asked about notifications. Never changes: new rules get a new dispatcher."""

    def __init__(self, rules: Sequence[Rule], *, ids: Ids, protected: Sequence[str], clock: Clock) -> None:
        self._index = RuleIndex(rules)
        self._ids = ids
        self._protected = tuple(protected)
        self._clock = clock

    def dispatch(self, notification: Notification) -> Dispatched:
        """Sort all alerts. Never raises for what an alert says."""
        tray = _Tray(self._clock.now())
        matching = self._index.matching
        skipped, unmatched = tray.skipped, Reason.NO_RULE_MATCHES
        for position, alert in enumerate(notification.alerts):
            labels = alert.labels
            if rules := matching(labels):
                self._sort(tray, position, alert, rules)
            else:
                skipped.append(Skipped(position, labels.get("alertname", ""), unmatched, "no rule matches its labels"))
        return Dispatched(tuple(tray.candidates), tuple(tray.resolved), tuple(skipped))

    def _sort(self, tray: _Tray, position: int, alert: Alert, rules: Sequence[Rule]) -> None:
        """An alert that some rule matches. Everything is checked before anything is made of it."""
        if objection := object_to_labels(alert.labels):
            tray.skip(position, alert, *objection)
        elif alert.status is not AlertStatus.FIRING:
            self._note_resolution(tray, position, alert)
        elif objection := object_to_times(alert, tray.now):
            tray.skip(position, alert, *objection)
        else:
            self._offer(tray, position, alert, rules)

    def _note_resolution(self, tray: _Tray, position: int, alert: Alert) -> None:
        """Scope is not asked: a run in flight must hear of it, even when its rule was narrowed since."""
        if objection := object_to_start(alert):
            tray.skip(position, alert, *objection)
        else:
            tray.resolved.append(alert)

    def _offer(self, tray: _Tray, position: int, alert: Alert, rules: Sequence[Rule]) -> None:
        objections = [object_to_scope(rule, alert.labels, self._protected) for rule in rules]
        wanted = [rule for rule, objection in zip(rules, objections, strict=True) if objection is None]
        for rule in wanted:
            tray.candidates.append(Candidate(self._ids("run"), rule.name, rule.revision, alert))
        if not wanted and objections[0] is not None:
            tray.skip(position, alert, *objections[0])


@dataclass
class _Tray:
    """What has been sorted so far of one notification."""

    now: datetime
    candidates: list[Candidate] = field(default_factory=list)
    resolved: list[Alert] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, position: int, alert: Alert, reason: Reason, detail: str) -> None:
        self.skipped.append(Skipped(position, alert.name, reason, detail))
