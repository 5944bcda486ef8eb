"""
Scenarios: a system, how it breaks, the alert that is sent, and what the service must make of it. They are data.

In: YAML files. Out: `Scenario`s, and practice clusters on which a fault is visible. A file has these fields:

    name:     the file's name without `.yaml`
    system:   which of the house's systems it is about
    what:     one or two sentences for the reader
    demo:     true if `remediator demo` offers it (default false)
    etcd:     the words of `EtcdSetup`: name, namespace, replicas, image, state, readiness_delay_seconds, ...
              They expand to nodes, a storage class, Services and a StatefulSet that is healthy before the fault.
    objects:  Kubernetes manifests, applied after those (default none)
    fault:    actions in order, each `{action: NAME, ...}`; `scenario_actions.py` has them all. The last ones wait
              until the fault can be seen (`await-crash-loop`, `await-not-ready`).
    alert:    `labels` and `annotations` of the alert that arrives
    rule:     fields that replace the shipped rule's for this scenario (default none)
    expect:   `outcome` (succeeded, refused, escalated, cancelled), `reason` (a value of model.verdicts.Reason),
              `detail`: text that the outcome's detail must contain (default none), and
              `writes`: how many writing requests the API server and the pods may see; null means any number
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from remediator.model.objects import Manifest
from remediator.model.runs import RunState
from remediator.model.verdicts import Reason
from remediator.practice import etcd_client
from remediator.practice.cluster import PracticeCluster
from remediator.practice.etcd_setup import EtcdSetup, manifests
from remediator.practice.scenario_actions import act

READY_SECONDS = 300.0
STEADY_SECONDS = 6.0
"""etcd refuses membership changes until all voters have been connected for five seconds."""
PREFIX = "by-dev/meta/"


class BadScenario(ValueError):
    """A scenario file is wrong; the message names the file and the field."""


@dataclass(frozen=True)
class SentAlert:
    """The alert that arrives once the fault is visible."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What the run must come to. `writes` None: any number."""

    outcome: RunState
    reason: Reason
    writes: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Scenario:
    name: str
    system: str
    what: str
    alert: SentAlert
    expect: Expected
    demo: bool = False
    etcd: EtcdSetup | None = None
    objects: tuple[Manifest, ...] = ()
    fault: tuple[Mapping[str, Any], ...] = ()
    rule: Mapping[str, Any] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.etcd.namespace if self.etcd is not None else self.alert.labels.get("namespace", "default")

    def manifests(self, *, by_address: bool = False) -> list[Manifest]:
        """Everything to apply before the fault."""
        made: list[Manifest] = list(manifests(self.etcd, by_address=by_address)) if self.etcd is not None else []
        return [*made, *self.objects]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def load(path: Path) -> Scenario:
    """One scenario. Raises BadScenario."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise BadScenario(f"{path}: cannot be read as YAML: {error}") from error
    try:
        return _scenario(found, path)
    except (KeyError, TypeError, ValueError) as error:
        missing = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise BadScenario(f"{path}: {missing}") from error


def _scenario(found: Any, path: Path) -> Scenario:
    if not isinstance(found, dict):
        raise TypeError("a scenario is a mapping")
    _only(found, {f.name for f in fields(Scenario)}, "a scenario")
    if found["name"] != path.stem:
        raise ValueError(f'name is "{found["name"]}"; it must be the file\'s name, "{path.stem}"')
    expected = found["expect"]
    _only(expected, {f.name for f in fields(Expected)}, "expect")
    return Scenario(
        name=found["name"],
        system=found["system"],
        what=str(found["what"]).strip(),
        alert=SentAlert(found["alert"]["labels"], found["alert"].get("annotations", {})),
        expect=Expected(
            RunState(expected["outcome"]),
            Reason(expected["reason"]),
            expected.get("writes"),
            expected.get("detail", ""),
        ),
        demo=bool(found.get("demo", False)),
        etcd=_setup(found["etcd"]) if "etcd" in found else None,
        objects=tuple(found.get("objects", ())),
        fault=tuple(found.get("fault", ())),
        rule=found.get("rule", {}),
    )


def _setup(words: Mapping[str, Any]) -> EtcdSetup:
    _only(words, {f.name for f in fields(EtcdSetup)}, "etcd")
    return EtcdSetup(**{**words, "owners": tuple(words.get("owners", ()))})


def _only(found: Mapping[str, Any], known: set[str], where: str) -> None:
    strange = sorted(set(found) - known)
    if strange:
        raise ValueError(f"{where} has no field {', '.join(strange)}; it has {', '.join(sorted(known))}")


def find_scenarios(root: Path) -> list[Scenario]:
    """All scenarios below `root`, in order of path: every YAML file in a folder named `tests`."""
    return [load(path) for path in sorted(root.rglob("*.yaml")) if path.parent.name == "tests"]


async def play(scenario: Scenario, cluster: PracticeCluster) -> None:
    """Set up what the scenario describes, wait until it is healthy, break it, wait until that can be seen."""
    if scenario.etcd is not None:
        cluster.etcd_runtime.found([(scenario.etcd.namespace, pod) for pod in scenario.etcd.pods])
    await cluster.apply(scenario.manifests(by_address=cluster.etcd == "real"))
    if scenario.etcd is not None:
        await _settle(scenario.etcd, cluster)
    for words in scenario.fault:
        await act(cluster, scenario.namespace, words)


async def _settle(setup: EtcdSetup, cluster: PracticeCluster) -> None:
    await act(cluster, setup.namespace, {"action": "await-ready", "name": setup.name})
    await etcd_client.put_keys(cluster, setup.namespace, setup.pods[-1], setup.keys, PREFIX)
    await cluster.clock.sleep(STEADY_SECONDS)
