"""
Write the defaults that the real server writes and that somebody downstream reads.

In: a manifest a client sent. Out: the same manifest, completed in place. It never changes what was said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from remediator.model.objects import CLAIM, JOB, NAMESPACE, POD, STATEFUL_SET, VOLUME, ResourceType
from remediator.practice.resources import DEPLOYMENT, REPLICA_SET, SERVICE, STORAGE_CLASS


def fill(resource: ResourceType, manifest: dict[str, Any]) -> None:
    if resource in _FILLERS:
        _FILLERS[resource](manifest)


def _pod(manifest: dict[str, Any]) -> None:
    _pod_spec(_part(manifest, "spec"))


def _pod_spec(spec: dict[str, Any]) -> None:
    _absent(spec, {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst"})
    for container in spec.get("containers") or ():
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _stateful_set(manifest: dict[str, Any]) -> None:
    _workload(manifest)
    spec = manifest["spec"]
    retained = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    _absent(spec, {"podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10})
    _absent(spec, {"persistentVolumeClaimRetentionPolicy": retained, "updateStrategy": {}})
    strategy = spec["updateStrategy"]
    _absent(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        _absent(_part(strategy, "rollingUpdate"), {"partition": 0})
    for template in spec.get("volumeClaimTemplates") or ():
        _absent(template, {"apiVersion": CLAIM.api_version, "kind": CLAIM.kind, "status": {"phase": "Pending"}})
        _claim(template)


def _workload(manifest: dict[str, Any]) -> None:
    spec = _part(manifest, "spec")
    _absent(spec, {"replicas": 1})
    _pod_spec(_part(_part(spec, "template"), "spec"))


def _claim(manifest: dict[str, Any]) -> None:
    _absent(_part(manifest, "spec"), {"volumeMode": "Filesystem"})


def _volume(manifest: dict[str, Any]) -> None:
    _absent(_part(manifest, "spec"), {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})


def _namespace(manifest: dict[str, Any]) -> None:
    meta = manifest["metadata"]
    labels = meta.get("labels") or {}
    meta["labels"] = {**labels, "kubernetes.io/metadata.name": meta["name"]}
    _absent(_part(manifest, "spec"), {"finalizers": ["kubernetes"]})


def _job(manifest: dict[str, Any]) -> None:
    spec = _part(manifest, "spec")
    _absent(spec, {"parallelism": 1, "completions": 1, "backoffLimit": 6, "suspend": False})
    _pod_spec(_part(_part(spec, "template"), "spec"))


def _service(manifest: dict[str, Any]) -> None:
    _absent(_part(manifest, "spec"), {"type": "ClusterIP", "sessionAffinity": "None"})


def _storage_class(manifest: dict[str, Any]) -> None:
    _absent(manifest, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})


def _part(manifest: dict[str, Any], field: str) -> dict[str, Any]:
    """An object inside, made where it is absent or null."""
    _absent(manifest, {field: {}})
    found: dict[str, Any] = manifest[field]
    return found


def _absent(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Null counts as absent, as it does for the real server."""
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = value


_FILLERS: Mapping[ResourceType, Callable[[dict[str, Any]], None]] = {
    POD: _pod,
    STATEFUL_SET: _stateful_set,
    DEPLOYMENT: _workload,
    REPLICA_SET: _workload,
    CLAIM: _claim,
    VOLUME: _volume,
    NAMESPACE: _namespace,
    JOB: _job,
    SERVICE: _service,
    STORAGE_CLASS: _storage_class,
}
