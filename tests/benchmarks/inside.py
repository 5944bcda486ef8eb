"""
What matching against many rules costs, asked inside this process.

In: nothing. Out: a ratio. Nothing here is a server.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from remediator.clocks import SystemClock, new_id
from remediator.dispatch import Dispatcher
from remediator.model.alerts import Notification
from remediator.model.rules import Limit, Mode, Rule, Verification
from remediator.receiver.parsing import read_notification
from remediator.rulebook.matchers import parse_matcher
from tests.benchmarks.bodies import NAMESPACE, bodies


def _rule(number: int) -> Rule:
    """One rule of many, as a user would write it: an alert's name, and a pattern for a container."""
    matchers = parse_matcher(f'alertname="Alert{number}"'), parse_matcher(f'container=~"etcd-{number}|"')
    once, minute = Limit(1, timedelta(hours=1)), timedelta(minutes=1)
    checked = Verification(minute * 15, minute, minute)
    return Rule(
        name=f"rule-{number}",
        system="etcd",
        mode=Mode.OBSERVE,
        matchers=matchers,
        namespaces=(NAMESPACE,),
        remedy="cure",
        parameters={},
        conditions=(),
        per_rule=once,
        per_target=once,
        cooldown=minute,
        patience=minute,
        verification=checked,
        runbook="",
        revision=f"{number:064x}",
        source="rule.yaml:1",
    )


def _dispatcher(count: int) -> Dispatcher:
    wanted = replace(_rule(0), name="wanted", matchers=(parse_matcher('alertname="BenchMatched"'),))
    rules = [*(_rule(number) for number in range(1, count)), wanted]
    return Dispatcher(rules, ids=new_id, protected=("kube-*",), clock=SystemClock())


def _quickest(task: Callable[[], object], times: int = 100) -> float:
    def once() -> float:
        began = time.perf_counter()
        task()
        return time.perf_counter() - began

    return min(once() for _ in range(times))


def match_1000_vs_10_rules() -> float:
    """How much dearer it is to ask a thousand rules about an alert than ten."""
    notification: Notification = read_notification(next(bodies(100, 0.1)))
    few, many = _dispatcher(10), _dispatcher(1000)
    return _quickest(lambda: many.dispatch(notification)) / _quickest(lambda: few.dispatch(notification))
