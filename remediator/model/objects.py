"""
Names of things in a cluster: which type, which object, and exactly which incarnation of it.

A reference with a `uid` means that incarnation and no other; without one it is only a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

Manifest = Mapping[str, Any]
"""A Kubernetes object as the API server's JSON has it."""

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
"""RFC 1123 subdomain: the longest form any object's name may take. `..` is refused besides."""


def is_object_name(text: str) -> bool:
    """Whether the API server could have an object of this name; anything else never reaches a URL."""
    return bool(NAME.match(text)) and ".." not in text


@dataclass(frozen=True, order=True)
class ResourceType:
    """A kind as the API serves it: `apps/v1`, `StatefulSet`, `statefulsets`."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]


POD = ResourceType("v1", "Pod", "pods")
NAMESPACE = ResourceType("v1", "Namespace", "namespaces", namespaced=False)
NODE = ResourceType("v1", "Node", "nodes", namespaced=False)
CLAIM = ResourceType("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
VOLUME = ResourceType("v1", "PersistentVolume", "persistentvolumes", namespaced=False)
STATEFUL_SET = ResourceType("apps/v1", "StatefulSet", "statefulsets")
JOB = ResourceType("batch/v1", "Job", "jobs")
CONFIG_MAP = ResourceType("v1", "ConfigMap", "configmaps")
EVENT = ResourceType("events.k8s.io/v1", "Event", "events")


@dataclass(frozen=True)
class ObjectRef:
    """One object: its type, where it is, and (where it matters) which incarnation."""

    resource: ResourceType
    name: str
    namespace: str = ""
    uid: str = ""

    @property
    def key(self) -> str:
        """Stable text for locks and limits: the name without the incarnation."""
        return "/".join(p for p in (self.resource.group or "core", self.resource.kind, self.namespace, self.name) if p)

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.resource.kind} {where}{self.name}"

    def is_same_object(self, other: ObjectRef) -> bool:
        """Same type and name; where both carry a uid, the same incarnation too."""
        same_name = (self.resource, self.namespace, self.name) == (other.resource, other.namespace, other.name)
        return same_name and (not self.uid or not other.uid or self.uid == other.uid)

    def as_json(self) -> dict[str, Any]:
        # By hand: a plan has dozens of these and is written at every step, and `asdict` is twenty times slower.
        kind = self.resource
        resource = {
            "api_version": kind.api_version,
            "kind": kind.kind,
            "plural": kind.plural,
            "namespaced": kind.namespaced,
        }
        return {"resource": resource, "name": self.name, "namespace": self.namespace, "uid": self.uid}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ObjectRef:
        return cls(ResourceType(**data["resource"]), data["name"], data["namespace"], data["uid"])

    @classmethod
    def of(cls, resource: ResourceType, manifest: Manifest) -> ObjectRef:
        """The reference to a live object, uid included."""
        meta = manifest["metadata"]
        return cls(resource, meta["name"], meta.get("namespace", ""), meta.get("uid", ""))

    def any_incarnation(self) -> ObjectRef:
        return replace(self, uid="")


def is_ready(pod: Manifest) -> bool:
    """Whether the pod's Ready condition is True; absent is not ready."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
