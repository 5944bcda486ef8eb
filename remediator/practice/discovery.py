"""
Tell clients which APIs there are: groups, versions, resources, verbs and subresources.

In: a path. Out: the document kubectl and the client libraries expect there, or None where there is none.
"""

from __future__ import annotations

from typing import Any

from remediator.practice.resources import SERVED, Served

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_REVIEWS = "authorization.k8s.io/v1"
_ALL = ("pods", "services", "statefulsets", "deployments", "replicasets", "jobs")
_VERSION = {
    "major": "1",
    "minor": "33",
    "gitVersion": "v1.33.0",
    "gitCommit": "practice",
    "gitTreeState": "clean",
    "platform": "linux/amd64",
}


def document(path: str) -> dict[str, Any] | None:
    """The discovery document of a path."""
    return _DOCUMENTS.get(path.rstrip("/"))


def _resource_list(version: str) -> dict[str, Any]:
    served = [s for s in SERVED if s.resource.api_version == version]
    listed = [entry for s in served for entry in _entries(s)]
    if version == _REVIEWS:
        listed.append(_entry("selfsubjectaccessreviews", "SelfSubjectAccessReview", ["create"], namespaced=False))
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}


def _entries(served: Served) -> list[dict[str, Any]]:
    resource = served.resource
    entry = _entry(resource.plural, resource.kind, _VERBS, namespaced=resource.namespaced)
    if served.short_names:
        entry["shortNames"] = list(served.short_names)
    if resource.plural in _ALL:
        entry["categories"] = ["all"]
    found = [entry]
    if served.has_status:
        found.append(_sub(served, "status", resource.kind, ["get", "patch", "update"]))
    if served.has_scale:
        found.append(_sub(served, "scale", "Scale", ["get", "patch", "update"], "autoscaling/v1"))
    if resource.plural == "pods":
        found.append(_sub(served, "log", "Pod", ["get"]))
        found.append(_sub(served, "eviction", "Eviction", ["create"], "policy/v1"))
    return found


def _entry(plural: str, kind: str, verbs: list[str], *, namespaced: bool) -> dict[str, Any]:
    return {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": verbs}


def _sub(served: Served, name: str, kind: str, verbs: list[str], version: str = "") -> dict[str, Any]:
    entry = _entry(f"{served.resource.plural}/{name}", kind, verbs, namespaced=served.resource.namespaced)
    entry["singularName"] = ""
    if version:
        entry["group"], _, entry["version"] = version.partition("/")
    return entry


def _group(version: str) -> dict[str, Any]:
    group, _, short = version.partition("/")
    offered = {"groupVersion": version, "version": short}
    return {"name": group, "versions": [offered], "preferredVersion": offered}


def _documents() -> dict[str, dict[str, Any]]:
    versions = sorted({s.resource.api_version for s in SERVED if s.resource.group} | {_REVIEWS})
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]
    found: dict[str, dict[str, Any]] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses},
        "/api/v1": _resource_list("v1"),
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(v) for v in versions]},
        "/version": _VERSION,
        "/openapi/v3": {"paths": {}},
    }
    for version in versions:
        found[f"/apis/{version.partition('/')[0]}"] = {"kind": "APIGroup", "apiVersion": "v1", **_group(version)}
        found[f"/apis/{version}"] = _resource_list(version)
    return found


_DOCUMENTS = _documents()
