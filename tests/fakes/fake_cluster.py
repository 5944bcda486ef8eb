"""
A cluster in a dictionary, with the promises of ClusterView and Cluster and nothing else.

A test puts objects in, takes them out, changes them behind the reader's back, or makes the next calls fail.
Every write that got through is in `writes`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remediator.model.calls import LogText
from remediator.model.errors import Conflict, NotFound, Permanent, PermitRefused, RemoteError
from remediator.model.objects import Manifest, ObjectRef, ResourceType, is_object_name
from remediator.model.seams import Clock
from remediator.model.verdicts import Permit


@dataclass(frozen=True)
class Written:
    """One write that got through. `change` is None for a deletion."""

    run_id: str
    ref: ObjectRef
    change: Mapping[str, Any] | None


class FakeCluster:
    def __init__(self, clock: Clock) -> None:
        self.writes: list[Written] = []
        self.clock = clock
        self._objects: dict[tuple[ResourceType, str, str], dict[str, Any]] = {}
        self._logs: dict[tuple[str, str, str, bool], LogText] = {}
        self._failures: list[tuple[str, RemoteError]] = []
        self._version = 100
        self._born = 0

    # --- for tests ---

    def put(self, resource: ResourceType, manifest: Manifest) -> Manifest:
        """Create the object or replace it, keeping its uid unless the manifest brings another."""
        stored = copy.deepcopy({"apiVersion": resource.api_version, "kind": resource.kind, **manifest})
        metadata = stored["metadata"]
        key = (resource, metadata.get("namespace", ""), metadata["name"])
        old = self._objects.get(key)
        if "uid" not in metadata:
            metadata["uid"] = old["metadata"]["uid"] if old else self._new_uid()
        metadata["resourceVersion"] = self._next_version()
        self._objects[key] = stored
        return copy.deepcopy(stored)

    def take(self, ref: ObjectRef) -> None:
        """Remove the object, as somebody else would."""
        del self._objects[_key(ref)]

    def now(self, ref: ObjectRef) -> Manifest | None:
        """What is stored, without asking as a reader."""
        return copy.deepcopy(self._objects.get(_key(ref)))

    def put_log(
        self, pod: ObjectRef, container: str, text: str, *, previous: bool = False, available: bool = True
    ) -> None:
        self._logs[pod.namespace, pod.name, container, previous] = LogText(text, available)

    def fail(self, verb: str, *errors: RemoteError) -> None:
        """The next calls of `verb` (get, list, log, patch, delete) raise these, in order, and do nothing."""
        self._failures += [(verb, error) for error in errors]

    # --- the seam ---

    def view(self) -> FakeView:
        return FakeView(self)

    def bind(self, permit: Permit) -> FakePermitted:
        return FakePermitted(self, permit)

    # --- for the view and the handle ---

    def live(self, ref: ObjectRef) -> dict[str, Any]:
        stored = self._objects.get(_key(ref))
        if stored is None:
            raise NotFound(f"get {ref}: not found")
        if ref.uid and stored["metadata"]["uid"] != ref.uid:
            raise Conflict(f"get {ref}: it now has uid {stored['metadata']['uid']}, not {ref.uid}")
        return stored

    def all_of(self, resource: ResourceType) -> list[dict[str, Any]]:
        return [stored for (kind, _, _), stored in sorted(self._objects.items()) if kind == resource]

    def log_of(self, pod: ObjectRef, container: str, *, previous: bool) -> LogText:
        try:
            return self._logs[pod.namespace, pod.name, container, previous]
        except KeyError:
            raise NotFound(f"log of {pod} container {container}: not found") from None

    def store(self, ref: ObjectRef, changed: dict[str, Any]) -> dict[str, Any]:
        changed["metadata"]["resourceVersion"] = self._next_version()
        self._objects[_key(ref)] = changed
        return changed

    def raise_planned(self, verb: str) -> None:
        for index, (planned, error) in enumerate(self._failures):
            if planned == verb:
                del self._failures[index]
                raise error

    def _next_version(self) -> str:
        self._version += 1
        return str(self._version)

    def _new_uid(self) -> str:
        self._born += 1
        return f"uid-{self._born}"


class FakeView:
    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    async def get(self, ref: ObjectRef) -> Manifest:
        _check(ref)
        self._cluster.raise_planned("get")
        return copy.deepcopy(self._cluster.live(ref))

    async def list(
        self, resource: ResourceType, namespace: str = "", *, labels: Mapping[str, str] | None = None
    ) -> Sequence[Manifest]:
        if labels is not None and not labels:
            raise Permanent("a list was asked with an empty label selector")
        if namespace and not (resource.namespaced and is_object_name(namespace)):
            raise Permanent(f"{namespace!r} is no namespace for {resource.kind}")
        self._cluster.raise_planned("list")
        found = self._cluster.all_of(resource)
        if namespace:
            found = [item for item in found if item["metadata"].get("namespace") == namespace]
        wanted = (labels or {}).items()
        return copy.deepcopy([item for item in found if wanted <= item["metadata"].get("labels", {}).items()])

    async def log(self, pod: ObjectRef, container: str, *, previous: bool, tail_lines: int = 200) -> LogText:
        _check(pod)
        self._cluster.raise_planned("log")
        self._cluster.live(pod)
        said = self._cluster.log_of(pod, container, previous=previous)
        return LogText("".join(said.text.splitlines(keepends=True)[-tail_lines:]), said.available)


class FakePermitted(FakeView):
    def __init__(self, cluster: FakeCluster, permit: Permit) -> None:
        super().__init__(cluster)
        self._permit = permit

    async def patch(self, live: Manifest, ref: ObjectRef, change: Mapping[str, Any]) -> Manifest:
        metadata = change.get("metadata", {})
        if not isinstance(metadata, Mapping) or {"uid", "resourceVersion", "name", "namespace"} & set(metadata):
            raise Permanent(f"patch {ref}: a change must leave the identity in metadata alone")
        stored = self._writable("patch", live, ref)
        changed = self._cluster.store(ref, merged(stored, change))
        self._cluster.writes.append(Written(self._permit.run_id, _of(ref, stored), copy.deepcopy(change)))
        return copy.deepcopy(changed)

    async def delete(self, live: Manifest, ref: ObjectRef) -> None:
        stored = self._writable("delete", live, ref)
        if stored["metadata"].get("finalizers"):
            stamp = self._cluster.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            self._cluster.store(ref, merged(stored, {"metadata": {"deletionTimestamp": stamp}}))
        else:
            self._cluster.take(ref)
        self._cluster.writes.append(Written(self._permit.run_id, _of(ref, stored), None))

    def _writable(self, verb: str, live: Manifest, ref: ObjectRef) -> dict[str, Any]:
        _check(ref)
        metadata = live.get("metadata", {})
        if not (metadata.get("uid") and metadata.get("resourceVersion")):
            raise Permanent(f"{verb} {ref}: the live object shows no uid and resourceVersion")
        if not _of(ref, live).is_same_object(ref) or live.get("kind", ref.resource.kind) != ref.resource.kind:
            raise Conflict(f"{verb} {ref}: the live object is another one")
        self._check_permit(verb, ref, _of(ref, live))
        self._cluster.raise_planned(verb)
        stored = self._cluster.live(ref.any_incarnation())
        for key in ("uid", "resourceVersion"):
            if stored["metadata"][key] != metadata[key]:
                raise Conflict(f"{verb} {ref}: its {key} is now {stored['metadata'][key]}, not {metadata[key]}")
        return stored

    def _check_permit(self, verb: str, ref: ObjectRef, meant: ObjectRef) -> None:
        if not self._permit.call_seconds(self._cluster.clock.monotonic(), 10.0):
            raise PermitRefused(f"{verb} {ref}: the permit has run out")
        if not (self._permit.covers(ref) and self._permit.covers(meant)):
            raise PermitRefused(f"{verb} {ref}: the permit does not cover it")


def merged(base: Any, change: Any) -> Any:
    """RFC 7386: null takes away, an object merges, anything else replaces."""
    if not isinstance(change, Mapping):
        return copy.deepcopy(change)
    result = dict(copy.deepcopy(base)) if isinstance(base, Mapping) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _key(ref: ObjectRef) -> tuple[ResourceType, str, str]:
    return ref.resource, ref.namespace, ref.name


def _of(ref: ObjectRef, manifest: Manifest) -> ObjectRef:
    return ObjectRef.of(ref.resource, manifest)


def _check(ref: ObjectRef) -> None:
    has_place = bool(ref.namespace) == ref.resource.namespaced
    if not has_place or not is_object_name(ref.name) or (ref.namespace and not is_object_name(ref.namespace)):
        raise Permanent(f"{ref.name[:80]!r} in {ref.namespace[:80]!r} is no name of a {ref.resource.kind}")
