"""
Keep Kubernetes objects in memory and change them as an API server does.

In: manifests, patches and deletes, one at a time. Out: what is stored, or an `ApiError` with the real server's
answer. It does no I/O, owns no task, and runs no controller but the one that empties a terminating namespace; every
change is told to the subscribers, in order, before the call that made it returns.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from remediator.model.objects import NAMESPACE, Manifest, ResourceType
from remediator.model.seams import Clock, Ids
from remediator.practice import admission, event_views
from remediator.practice.copying import copied
from remediator.practice.deleting import Preconditions, is_over, marked
from remediator.practice.objects import Objects
from remediator.practice.patching import patched
from remediator.practice.refusals import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    not_found,
    terminating_namespace,
)
from remediator.practice.replacing import OWN_FIELDS, settled
from remediator.practice.resources import CORE_EVENT, Served, of_kind, served, stored_as
from remediator.practice.selectors import field_question, label_question
from remediator.practice.shapes import check_shape
from remediator.practice.times import rfc3339
from remediator.practice.watching import Change, History

__all__ = ["ApiError", "ApiServer"]

Subscriber = Callable[[str, ResourceType, Manifest], None]
_LASTING = ("default", "kube-system", "kube-public")
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


class ApiServer:
    """
    The whole cluster's objects. `history` is how many changes a watch may reach back.

    What `get` and `list` answer is the caller's own. A `Manifest` is what is stored, and is only read.
    """

    def __init__(self, clock: Clock, ids: Ids, *, history: int = 1000) -> None:
        self._clock = clock
        self._ids = ids
        self._objects = Objects()
        self._version = 0
        self._subscribers: list[Subscriber] = []
        self._untold: deque[tuple[str, ResourceType, Manifest]] = deque()
        self._is_telling = False
        self.history = History(history)
        for name in ("default", "kube-system"):
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    @property
    def resource_version(self) -> int:
        """The version of the latest change."""
        return self._version

    def subscribe(self, callback: Subscriber) -> None:
        """Call back with "ADDED", "MODIFIED" or "DELETED", the stored type and what is stored, after each change."""
        self._subscribers.append(callback)

    # --- reading -------------------------------------------------------------------------------------------

    def get(self, resource: ResourceType, namespace: str, name: str) -> dict[str, Any]:
        return event_views.as_seen(resource, self._live(resource, namespace, name))

    def look(self, resource: ResourceType, namespace: str, name: str) -> Manifest:
        """As `get`, for one who only reads."""
        return event_views.view(resource, self._live(resource, namespace, name))

    def list(
        self, resource: ResourceType, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[dict[str, Any]]:
        """In order of namespace, then name. No namespace means all of them."""
        return [copied(dict(found)) for found in self.look_at(resource, namespace, labels=labels, fields=fields)]

    def look_at(
        self, resource: ResourceType, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Sequence[Manifest]:
        """As `list`, for one who only reads."""
        found = self._objects.all_of(stored_as(resource), namespace)
        if not found:
            served(resource)  # a type that is not served has no objects either
        if labels or fields:
            has_labels, has_fields = label_question(labels), field_question(fields, resource.kind)
            found = [stored for stored in found if has_labels(stored) and has_fields(stored)]
        return [event_views.view(resource, stored) for stored in found]

    # --- writing -------------------------------------------------------------------------------------------

    def create(self, manifest: Mapping[str, Any], *, namespace: str = "", dry_run: bool = False) -> Manifest:
        check_shape(manifest)
        asked = of_kind(str(manifest.get("apiVersion")), str(manifest.get("kind")))
        new = event_views.as_stored(asked.resource, manifest)
        meta = new["metadata"] = dict(new.get("metadata") or {})
        self._place(asked.resource, meta, namespace)
        if meta.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        if wrong := admission.name_complaints(asked.resource, meta):
            raise invalid(asked.resource, str(meta.get("name") or ""), wrong)
        name = meta.setdefault("name", "") or self._generated(str(meta.get("generateName")))
        meta["name"] = name
        self._admit(asked.resource, meta)

        for field in (*OWN_FIELDS, "deletionTimestamp", "deletionGracePeriodSeconds"):
            meta.pop(field, None)
        meta["uid"], meta["creationTimestamp"] = self._new_uid(), rfc3339(self._clock.now())
        admission.prepare_new(asked, new)
        wrong = admission.complaints(asked, new)
        if stored_as(asked.resource) == CORE_EVENT:
            wrong += event_views.complaints(asked.resource, new)
        if wrong:
            raise invalid(asked.resource, name, wrong)
        return event_views.view(asked.resource, new if dry_run else self._commit("ADDED", asked.resource, new, None))

    def update(self, manifest: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False) -> Manifest:
        """Replace an object; with `subresource="status"` only its status (and labels and annotations)."""
        check_shape(manifest)
        asked = of_kind(str(manifest.get("apiVersion")), str(manifest.get("kind")))
        new = event_views.as_stored(asked.resource, manifest)
        meta = new["metadata"] = dict(new.get("metadata") or {})
        name = str(meta.get("name") or "")
        live = self._live(asked.resource, str(meta.get("namespace") or ""), name)
        uid, found = meta.get("uid"), live["metadata"]["uid"]
        if uid and uid != found:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
            raise conflict(asked.resource, name, f"StorageError: invalid object, Code: 4, AdditionalErrorMsg: {why}")
        return self._replace(asked, live, new, subresource, dry_run)

    def patch(
        self,
        resource: ResourceType,
        namespace: str,
        name: str,
        body: Any,
        *,
        kind: str,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Manifest:
        """`kind` is merge, strategic or json; server-side apply is answered 415."""
        live = self._live(resource, namespace, name)
        new = event_views.stored(resource, patched(event_views.view(resource, live), body, kind))
        check_shape(new, live)
        meta = new.get("metadata") or {}
        if meta.get("name") != name:
            raise bad_request(
                f"the name of the object ({meta.get('name')}) does not match the name on the URL ({name})"
            )
        if meta.get("namespace", "") != live["metadata"].get("namespace", ""):
            raise bad_request("the namespace of the object does not match the namespace on the URL")
        return self._replace(served(resource), live, new, subresource, dry_run)

    def delete(
        self,
        resource: ResourceType,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
        dry_run: bool = False,
    ) -> Manifest:
        """The object as it waits for its end, with a deletionTimestamp; or its last state, without one, if gone."""
        live = self._live(resource, namespace, name)
        Preconditions(uid, resource_version).check(resource, live)
        if resource == NAMESPACE and name in _LASTING:
            raise ApiError(403, "Forbidden", f'namespaces "{name}" is forbidden: this namespace may not be deleted')
        waiting = marked(resource, live, grace_seconds, self._clock.now())
        if dry_run or waiting == live:
            return event_views.view(resource, waiting or live)
        if waiting is None:
            return event_views.view(resource, self._remove(resource, live))
        stored = self._commit("MODIFIED", resource, waiting, live)
        if resource == NAMESPACE:
            self._empty(name)
        return event_views.view(resource, stored)

    # --- the parts of a write ------------------------------------------------------------------------------

    def _place(self, resource: ResourceType, meta: dict[str, Any], namespace: str) -> None:
        """Settle the namespace of a new object from its manifest and from where it was posted."""
        if not resource.namespaced:
            meta.pop("namespace", None)
            return
        said = meta.get("namespace") or namespace
        if namespace and said != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if not said:
            raise bad_request("an empty namespace may not be set during creation")
        meta["namespace"] = said

    def _admit(self, resource: ResourceType, meta: Mapping[str, Any]) -> None:
        name, namespace = meta["name"], meta.get("namespace", "")
        if namespace:
            home = self._live(NAMESPACE, "", namespace)
            if "deletionTimestamp" in home["metadata"]:
                raise terminating_namespace(resource, name, namespace)
        if self._objects.find(stored_as(resource), namespace, name) is not None:
            raise already_exists(resource, name)

    def _replace(self, asked: Served, live: Manifest, new: dict[str, Any], subresource: str, dry_run: bool) -> Manifest:
        meta, was = new["metadata"], live["metadata"]
        if meta.get("resourceVersion") not in (None, "", "0", was["resourceVersion"]):
            raise conflict(asked.resource, was["name"])
        new = settled(asked, live, new, subresource)
        wrong = admission.change_complaints(asked, live, new)
        wrong += admission.complaints(asked, new, live)
        if wrong:
            raise invalid(asked.resource, was["name"], wrong)
        if new == live or dry_run:
            return event_views.view(asked.resource, new)
        if is_over(new):
            return event_views.view(asked.resource, self._remove(asked.resource, new, live))
        return event_views.view(asked.resource, self._commit("MODIFIED", asked.resource, new, live))

    def _live(self, resource: ResourceType, namespace: str, name: str) -> Manifest:
        found = self._objects.find(stored_as(resource), namespace if resource.namespaced else "", name)
        if found is None:
            raise not_found(served(resource).resource, name)
        return found

    def _commit(self, change: str, resource: ResourceType, new: Manifest, before: Manifest | None) -> Manifest:
        self._version += 1
        kept = stored_as(resource)
        stored = {**new, "metadata": {**new["metadata"], "resourceVersion": str(self._version)}}
        if change == "DELETED":
            self._objects.drop(kept, stored)
        else:
            self._objects.put(kept, stored)
        self.history.record(Change(self._version, change, kept, stored, before))
        self._tell(change, kept, stored)
        return stored

    def _remove(self, resource: ResourceType, last: Manifest, before: Manifest | None = None) -> Manifest:
        gone = self._commit("DELETED", resource, last, before or last)
        namespace = gone["metadata"].get("namespace", "")
        home = self._objects.find(NAMESPACE, "", namespace)
        if home and "deletionTimestamp" in home["metadata"]:
            self._empty(namespace)
        return gone

    def _tell(self, change: str, resource: ResourceType, stored: Manifest) -> None:
        """Subscribers may write: what they cause is told after what caused it, to everyone."""
        self._untold.append((change, resource, stored))
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._untold:
                news, kind, manifest = self._untold.popleft()
                for subscriber in tuple(self._subscribers):
                    subscriber(news, kind, manifest)
        finally:
            self._is_telling = False

    def _empty(self, namespace: str) -> None:
        """What the namespace controller does: delete the contents, then let the namespace go."""
        for resource, name in self._objects.inside(namespace):
            live = self._objects.find(resource, namespace, name)
            if live and "deletionTimestamp" not in live["metadata"]:
                self.delete(resource, namespace, name)
        home = self._objects.find(NAMESPACE, "", namespace)
        if home is None or self._objects.inside(namespace):
            return
        emptied = {**home, "spec": {**home.get("spec", {}), "finalizers": []}}
        if is_over(emptied):
            self._remove(NAMESPACE, emptied, home)
        elif emptied != home:
            self._commit("MODIFIED", NAMESPACE, emptied, home)

    def _new_uid(self) -> str:
        """An injected id in the shape of a UUID."""
        return str(uuid.UUID(bytes=_digest(self._ids("uid"))[:16], version=4))

    def _generated(self, prefix: str) -> str:
        return prefix + "".join(_SUFFIX[byte % len(_SUFFIX)] for byte in _digest(self._ids("name"))[:5])


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
