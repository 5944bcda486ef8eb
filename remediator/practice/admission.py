"""
Complete what a client sends and refuse what the real server refuses.

In: a manifest on its way into storage, and the one it replaces. Out: defaults written into it, or the list of
complaints of a 422. Only what a remediation service or kubectl can meet is checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from remediator.model.objects import (
    CLAIM,
    JOB,
    NAMESPACE,
    POD,
    STATEFUL_SET,
    VOLUME,
    ResourceType,
    is_object_name,
)
from remediator.practice.defaults import fill
from remediator.practice.resources import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CORE_EVENT,
    ROLE,
    ROLE_BINDING,
    Served,
)
from remediator.practice.selectors import matches

Complaints = list[tuple[str, str]]

_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_ANY_SEGMENT = frozenset({ROLE, ROLE_BINDING, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CORE_EVENT})
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?\Z")
_SET_MAY_CHANGE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_SET_IS_FIXED = (
    "Forbidden: updates to statefulset spec for fields other than "
    + ", ".join(f"'{name}'" for name in _SET_MAY_CHANGE[:-1])
    + f" and '{_SET_MAY_CHANGE[-1]}' are forbidden"
)
_POD_MAY_CHANGE = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "schedulingGates")
_POD_IS_FIXED = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def prepare_new(served: Served, manifest: dict[str, Any]) -> None:
    """Defaults, and the status that a newborn object has whatever its creator wrote."""
    fill(served.resource, manifest)
    if served.has_status and not served.keeps_created_status:
        born: Mapping[ResourceType, Mapping[str, Any]] = {
            POD: {"phase": "Pending"},
            NAMESPACE: {"phase": "Active"},
            CLAIM: {"phase": "Pending"},
            VOLUME: {"phase": "Pending"},
            STATEFUL_SET: {"replicas": 0, "availableReplicas": 0},
        }
        manifest["status"] = dict(born.get(served.resource, {}))
    if served.counts_generations:
        manifest["metadata"]["generation"] = 1


def name_complaints(asked: ResourceType, meta: Mapping[str, Any]) -> Complaints:
    """What is wrong with a name, or with the start of a generated one."""
    name, prefix = str(meta.get("name") or ""), str(meta.get("generateName") or "")
    if not name and not prefix:
        return [("metadata.name", "Required value: name or generateName is required")]
    found: Complaints = []
    if name and not _is_name(asked, name):
        found.append(("metadata.name", f'Invalid value: "{name}": {_SUBDOMAIN}'))
    if prefix and not name and not _is_name(asked, prefix.removesuffix("-") + "a"[: prefix.endswith("-")]):
        found.append(("metadata.generateName", f'Invalid value: "{prefix}": {_SUBDOMAIN}'))
    return found


def complaints(served: Served, manifest: Mapping[str, Any], live: Mapping[str, Any] | None = None) -> Complaints:
    """What is wrong with a manifest by itself, new or changed. What it shares with the `live` one is right already."""
    labels, before = manifest["metadata"].get("labels") or {}, live or {"metadata": {}}
    found = [] if labels is before["metadata"].get("labels") else _label_complaints(labels)
    spec = manifest.get("spec") or {}
    if spec is before.get("spec"):
        return found
    if served.resource == POD and not spec.get("containers"):
        found.append(("spec.containers", "Required value"))
    found += _container_complaints(spec, "spec")
    found += _container_complaints((spec.get("template") or {}).get("spec") or {}, "spec.template.spec")
    if served.has_scale and spec.get("replicas", 0) < 0:
        found.append(("spec.replicas", f"Invalid value: {spec['replicas']}: must be greater than or equal to 0"))
    if served.has_scale:
        found += _workload_complaints(spec)
    if served.resource == STATEFUL_SET:
        found += _strategy_complaints(spec)
    return found


def change_complaints(served: Served, live: Mapping[str, Any], changed: Mapping[str, Any]) -> Complaints:
    """What is wrong with turning `live` into `changed`."""
    found: Complaints = []
    was, now = live["metadata"], changed["metadata"]
    if was["uid"] != now["uid"]:
        found.append(("metadata.uid", f'Invalid value: "{now["uid"]}": field is immutable'))
    added = [f for f in now.get("finalizers") or () if f not in (was.get("finalizers") or ())]
    if added and "deletionTimestamp" in was:
        listed = ", ".join(f'"{name}"' for name in added)
        why = "no new finalizers can be added if the object is being deleted, found new finalizers"
        found.append(("metadata.finalizers", f"Forbidden: {why} []string{{{listed}}}"))
    spec, before = changed.get("spec") or {}, live.get("spec") or {}
    if spec is before:
        return found
    if served.resource == STATEFUL_SET and _without(spec, _SET_MAY_CHANGE) != _without(before, _SET_MAY_CHANGE):
        found.append(("spec", _SET_IS_FIXED))
    if served.resource == POD and _pod_core(spec, before) != _pod_core(before, before):
        found.append(("spec", _POD_IS_FIXED))
    if served.resource == JOB and spec.get("template") != before.get("template"):
        found.append(("spec.template", "Invalid value: field is immutable"))
    return found


def _is_name(asked: ResourceType, name: str) -> bool:
    if asked in _ANY_SEGMENT:
        return name not in (".", "..") and "/" not in name and "%" not in name
    if asked == NAMESPACE:
        return is_object_name(name) and "." not in name and len(name) <= 63
    return is_object_name(name)


def _label_complaints(labels: Mapping[str, Any]) -> Complaints:
    wrong = [value for value in labels.values() if not isinstance(value, str) or not _LABEL_VALUE.match(value)]
    why = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.'"
    return [("metadata.labels", f'Invalid value: "{value}": {why}') for value in wrong]


def _container_complaints(spec: Mapping[str, Any], where: str) -> Complaints:
    nameless = [n for n, container in enumerate(spec.get("containers") or ()) if not container.get("name")]
    return [(f"{where}.containers[{n}].name", "Required value") for n in nameless]


def _workload_complaints(spec: Mapping[str, Any]) -> Complaints:
    selector = spec.get("selector")
    if not selector:
        return [("spec.selector", "Required value")]
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if matches(selector, labels):
        return []
    return [("spec.template.metadata.labels", "Invalid value: `selector` does not match template `labels`")]


def _strategy_complaints(spec: Mapping[str, Any]) -> Complaints:
    strategy = spec["updateStrategy"]
    if strategy["type"] not in ("RollingUpdate", "OnDelete"):
        return [("spec.updateStrategy", "Invalid value: must be 'RollingUpdate' or 'OnDelete'")]
    if strategy["type"] == "OnDelete" and strategy.get("rollingUpdate") is not None:
        why = "only allowed for updateStrategy 'RollingUpdate'"
        return [("spec.updateStrategy.rollingUpdate", f"Invalid value: {why}")]
    return []


def _without(spec: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in names}


def _pod_core(spec: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a pod's spec that is fixed; the node may be set once, which stands for the binding."""
    core = _without(spec, _POD_MAY_CHANGE if before.get("nodeName") else (*_POD_MAY_CHANGE, "nodeName"))
    for field in ("containers", "initContainers"):
        if field in core:
            core[field] = [_without(container, ("image",)) for container in core[field]]
    core.pop("ephemeralContainers", None)
    return core
