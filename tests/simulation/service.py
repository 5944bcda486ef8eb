"""
The pieces of the real service that a simulation assembles, and the seams through which a planted bug may enter.

In: the doors of one process. Out: the shipped rule, access to cluster and members, the body of a notification.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from remediator import guards, systems
from remediator.endpoints.http import HttpEndpointView, PermittedEndpoint
from remediator.kube.client import KubeClient
from remediator.model.rules import Rule
from remediator.model.seams import Brake, Guard, ReadAccess, WriteAccess
from remediator.model.verdicts import Permit
from remediator.rulebook import load as load_rules
from remediator.runs.desk import Bounds
from tests.simulation.journal import SimBackups

RULES = Path(__file__).parents[2] / "rules" / "etcd" / "member-removed.yaml"
SYSTEMS, GUARDS = systems.discover(), guards.discover()
PROTECTED = ("kube-*", "default")
Lookup = Callable[[str], Rule | None]


@functools.cache
def shipped_rule(max_members: int, mode: str = "auto") -> Rule:
    """The shipped rule, allowed to act, and a little less patient so that a simulation is short."""
    text = yaml.safe_load(RULES.read_text("utf-8"))
    text |= {"mode": mode, "patience": "4m", "verify": {"within": "8m", "steady_for": "30s", "every": "10s"}}
    text["remedy"]["with"] = {"max_members": max_members, "member_timeout": "5m"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rule.yaml"
        path.write_text(yaml.safe_dump(text, sort_keys=False))
        book = load_rules([path], SYSTEMS, protected=PROTECTED)
    assert not book.problems, book.problems
    return book.rules[0]


@dataclass
class Seams:
    """Where a planted bug enters: each wraps what the service is handed. As they stand, they change nothing."""

    store: Callable[[Any], Any] = lambda store: store
    transport: Callable[[Any], Any] = lambda transport: transport
    access: Callable[[Any], Any] = lambda access: access
    guards: Callable[[Sequence[Guard]], Sequence[Guard]] = lambda all_of_them: all_of_them
    brake: Callable[[Brake], Brake] = lambda brake: brake
    systems: Callable[[Any], Any] = lambda known: known
    rule: Callable[[Rule], Rule] = lambda rule: rule
    rules: Callable[[Lookup], Lookup] = lambda lookup: lookup
    bounds: Callable[[Bounds], Bounds] = lambda bounds: bounds
    clock: Callable[[Any], Any] = lambda clock: clock


class RulesInForce:
    """The one rule, as its file stands: people edit it, and take it away."""

    def __init__(self, rule: Rule) -> None:
        self.name = rule.name
        self.loaded: Rule | None = rule

    def get(self, name: str) -> Rule | None:
        return self.loaded if name == self.name else None


@dataclass(frozen=True)
class SimAccess:
    """As `app.Access`, over the doors of this process."""

    kube: KubeClient
    caller: Any
    backups: SimBackups
    clock: Any

    def read(self) -> ReadAccess:
        return ReadAccess(self.kube.view(), HttpEndpointView(self.caller), self.backups, self.clock)

    def write(self, permit: Permit) -> WriteAccess:
        endpoint = PermittedEndpoint(self.caller, permit, self.clock)
        return WriteAccess(permit.run_id, self.kube.bind(permit), endpoint, self.backups, self.clock)


def notification(alerts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    firing = any(alert["status"] == "firing" for alert in alerts)
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": "remediator",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": list(alerts),
    }
