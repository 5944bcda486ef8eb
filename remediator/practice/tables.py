"""
Draw objects as the tables that `kubectl get` prints.

In: manifests and the time it is. Out: a `meta.k8s.io/v1` Table with the columns of their kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from remediator.model.objects import CLAIM, EVENT, JOB, NAMESPACE, NODE, POD, STATEFUL_SET, VOLUME, ResourceType
from remediator.practice.resources import CORE_EVENT

Manifest = Mapping[str, Any]
Cells = Callable[[Manifest, datetime], list[Any]]


def table(
    resource: ResourceType, manifests: Sequence[Manifest], metadata: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """One row for each manifest, in their order."""
    names, cells = _KINDS.get(resource, (("Name", "Age"), _plain))
    columns = [_column(name) for name in names]
    rows = [{"cells": cells(manifest, now), "object": _partial(manifest)} for manifest in manifests]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(metadata),
        "columnDefinitions": columns,
        "rows": rows,
    }


def age(since: str | None, now: datetime) -> str:
    """`5d3h` as kubectl writes it."""
    if not since:
        return "<unknown>"
    began = datetime.fromisoformat(since).astimezone(UTC)
    seconds = max(0, int((now - began).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d"


def _column(name: str) -> dict[str, Any]:
    wide = {"name": name.removesuffix("+"), "priority": 1 if name.endswith("+") else 0}
    kind = "integer" if name == "Restarts" else "string"
    return {**wide, "type": kind, "format": "name" if name == "Name" else "", "description": ""}


def _partial(manifest: Manifest) -> dict[str, Any]:
    kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {**kind, "metadata": manifest["metadata"]}


def _age_of(manifest: Manifest, now: datetime) -> str:
    return age(manifest["metadata"].get("creationTimestamp"), now)


def _plain(manifest: Manifest, now: datetime) -> list[Any]:
    return [manifest["metadata"]["name"], _age_of(manifest, now)]


def _pod(manifest: Manifest, now: datetime) -> list[Any]:
    status, spec = manifest.get("status", {}), manifest.get("spec", {})
    containers = status.get("containerStatuses") or []
    ready = f"{sum(1 for c in containers if c.get('ready'))}/{len(spec.get('containers') or ())}"
    restarts = sum(c.get("restartCount", 0) for c in containers)
    name, node = manifest["metadata"]["name"], spec.get("nodeName") or "<none>"
    shown = [name, ready, _pod_state(manifest), restarts, _age_of(manifest, now)]
    return [*shown, status.get("podIP") or "<none>", node]


def _pod_state(manifest: Manifest) -> str:
    if "deletionTimestamp" in manifest["metadata"]:
        return "Terminating"
    status = manifest.get("status", {})
    shown = status.get("reason") or status.get("phase") or "Unknown"
    for container in reversed(status.get("containerStatuses") or []):
        state = container.get("state") or {}
        stopped = state.get("waiting") or state.get("terminated") or {}
        if stopped:
            shown = stopped.get("reason") or f"ExitCode:{stopped.get('exitCode', 0)}"
    return str(shown)


def _stateful_set(manifest: Manifest, now: datetime) -> list[Any]:
    ready = f"{manifest.get('status', {}).get('readyReplicas', 0)}/{manifest['spec'].get('replicas', 0)}"
    return [manifest["metadata"]["name"], ready, _age_of(manifest, now)]


def _claim(manifest: Manifest, now: datetime) -> list[Any]:
    spec, status = manifest.get("spec", {}), manifest.get("status", {})
    phase = "Terminating" if "deletionTimestamp" in manifest["metadata"] else status.get("phase", "")
    size = (status.get("capacity") or {}).get("storage", "")
    modes = _modes(status.get("accessModes") or ())
    bound = [phase, spec.get("volumeName", ""), size, modes, spec.get("storageClassName", "")]
    return [manifest["metadata"]["name"], *bound, _age_of(manifest, now)]


def _volume(manifest: Manifest, now: datetime) -> list[Any]:
    spec = manifest.get("spec", {})
    claim = spec.get("claimRef") or {}
    size, modes = (spec.get("capacity") or {}).get("storage", ""), _modes(spec.get("accessModes") or ())
    owner = f"{claim['namespace']}/{claim['name']}" if claim else ""
    phase = "Terminating" if "deletionTimestamp" in manifest["metadata"] else manifest["status"].get("phase", "")
    kept = [size, modes, spec.get("persistentVolumeReclaimPolicy", ""), phase, owner, spec.get("storageClassName", "")]
    return [manifest["metadata"]["name"], *kept, _age_of(manifest, now)]


def _namespace(manifest: Manifest, now: datetime) -> list[Any]:
    return [manifest["metadata"]["name"], manifest["status"].get("phase", ""), _age_of(manifest, now)]


def _node(manifest: Manifest, now: datetime) -> list[Any]:
    conditions = {c["type"]: c["status"] for c in manifest.get("status", {}).get("conditions") or ()}
    state = "Ready" if conditions.get("Ready") == "True" else "NotReady" if "Ready" in conditions else "Unknown"
    if manifest.get("spec", {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    return [manifest["metadata"]["name"], state, _age_of(manifest, now)]


def _job(manifest: Manifest, now: datetime) -> list[Any]:
    done = f"{manifest.get('status', {}).get('succeeded', 0)}/{manifest['spec'].get('completions', 1)}"
    return [manifest["metadata"]["name"], done, _age_of(manifest, now)]


def _event(manifest: Manifest, now: datetime) -> list[Any]:
    about = manifest.get("involvedObject") or manifest.get("regarding") or {}
    last = manifest.get("lastTimestamp") or manifest.get("deprecatedLastTimestamp") or manifest.get("eventTime")
    what = f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"
    said = manifest.get("message") or manifest.get("note") or ""
    return [age(last, now), manifest.get("type", ""), manifest.get("reason", ""), what, said]


def _modes(modes: Sequence[str]) -> str:
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    return ",".join(short.get(mode, mode) for mode in modes)


_EVENT_COLUMNS = ("Last Seen", "Type", "Reason", "Object", "Message")
_BOUND = ("Capacity", "Access Modes")
_KINDS: Mapping[ResourceType, tuple[tuple[str, ...], Cells]] = {
    POD: (("Name", "Ready", "Status", "Restarts", "Age", "IP+", "Node+"), _pod),
    STATEFUL_SET: (("Name", "Ready", "Age"), _stateful_set),
    CLAIM: (("Name", "Status", "Volume", *_BOUND, "StorageClass", "Age"), _claim),
    VOLUME: (("Name", *_BOUND, "Reclaim Policy", "Status", "Claim", "StorageClass", "Age"), _volume),
    NAMESPACE: (("Name", "Status", "Age"), _namespace),
    NODE: (("Name", "Status", "Age"), _node),
    JOB: (("Name", "Completions", "Age"), _job),
    EVENT: (_EVENT_COLUMNS, _event),
    CORE_EVENT: (_EVENT_COLUMNS, _event),
}
