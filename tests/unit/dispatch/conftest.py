"""Rules, alerts and a clock that stands still."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from remediator.dispatch import Dispatched, Dispatcher
from remediator.model.alerts import Alert, AlertStatus, Notification
from remediator.model.rules import Limit, Matcher, MatchOp, Mode, Rule, Verification

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
LABELS = {"alertname": "KubePodCrashLooping", "namespace": "milvus", "pod": "etcd-0"}
PROTECTED = ("kube-*", "remediator")


@dataclass
class StillClock:
    """Always the same moment."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def make_matcher(text: str) -> Matcher:
    """A matcher written `a=b`, with the standard library's regular expressions for the tests' own patterns."""
    found = re.fullmatch(r"(\w+)(=~|!~|!=|=)(.*)", text, re.DOTALL)
    assert found is not None
    label, op, value = found[1], MatchOp(found[2]), found[3]
    accepts: Mapping[MatchOp, Callable[[str], bool]] = {
        MatchOp.EQUAL: lambda text: text == value,
        MatchOp.NOT_EQUAL: lambda text: text != value,
        MatchOp.REGEX: lambda text: re.fullmatch(value, text) is not None,
        MatchOp.NOT_REGEX: lambda text: re.fullmatch(value, text) is None,
    }
    return Matcher(label, op, value, accepts[op])


def make_rule(
    *matchers: str, name: str = "crash-loop", namespaces: Sequence[str] = ("milvus",), revision: str = "r1"
) -> Rule:
    limit = Limit(1, timedelta(hours=1))
    minute = timedelta(minutes=1)
    return Rule(
        name=name,
        system="etcd",
        mode=Mode.OBSERVE,
        matchers=tuple(make_matcher(text) for text in matchers),
        namespaces=tuple(namespaces),
        remedy="replace",
        parameters={},
        conditions=(),
        per_rule=limit,
        per_target=limit,
        cooldown=minute,
        patience=minute,
        verification=Verification(minute, minute / 2, minute / 6),
        runbook="",
        revision=revision,
        source="rule.yaml:1",
    )


def make_alert(
    labels: Mapping[str, str] = LABELS,
    *,
    status: AlertStatus = AlertStatus.FIRING,
    starts_at: str = "2026-11-21T01:41:22.347603391Z",
    ends_at: str = "0001-01-01T00:00:00Z",
    **more: str,
) -> Alert:
    return Alert(status, {**labels, **more}, {}, starts_at, ends_at)


def make_dispatcher(*rules: Rule, protected: Sequence[str] = PROTECTED) -> Dispatcher:
    numbers = itertools.count(1)
    return Dispatcher(rules, ids=lambda word: f"{word}-{next(numbers)}", protected=protected, clock=StillClock())


def dispatch(rules: Sequence[Rule], *alerts: Alert, status: str = "firing") -> Dispatched:
    return make_dispatcher(*rules).dispatch(Notification("remediator", status, "{}", 0, alerts))


@pytest.fixture(name="make_rule")
def _make_rule() -> Callable[..., Rule]:
    return make_rule


@pytest.fixture(name="make_alert")
def _make_alert() -> Callable[..., Alert]:
    return make_alert


@pytest.fixture(name="dispatch")
def _dispatch() -> Callable[..., Dispatched]:
    """Sort these alerts by these rules, with ids run-1, run-2 and so on."""
    return dispatch
