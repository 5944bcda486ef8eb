"""
Say what an update would store: which parts of the sent object count and which stay as they are.

In: the live manifest and the one a client sent, to the object itself or to its status. Out: a new manifest, which
may share parts with both.
"""

from __future__ import annotations

from typing import Any

from remediator.model.objects import Manifest
from remediator.practice.copying import copied
from remediator.practice.defaults import fill
from remediator.practice.refusals import no_such_resource
from remediator.practice.resources import Served

_SYSTEM_FIELDS = ("name", "namespace", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
OWN_FIELDS = ("uid", "resourceVersion", "creationTimestamp", "generation", "selfLink", "managedFields")
"""Metadata that the server gives and that a client's word never sets."""


def settled(asked: Served, live: Manifest, new: dict[str, Any], subresource: str) -> dict[str, Any]:
    """What would be stored: the sent object with the parts that this write may not change taken from the live one."""
    was = live["metadata"]
    if subresource == "status" and asked.has_status:
        meta = new["metadata"]
        sent = {field: meta[field] for field in ("labels", "annotations", "finalizers") if field in meta}
        kept = {field: value for field, value in was.items() if field not in ("labels", "annotations", "finalizers")}
        result = {**live, "metadata": {**kept, "uid": meta.get("uid") or was["uid"], **sent}}
        result["status"] = new.get("status") or {}
        return result
    if subresource:
        raise no_such_resource()

    new = copied(new)  # what is filled in must not reach the live one, with which a patched one shares its parts
    fill(asked.resource, new)
    meta = new["metadata"]
    owned = {field: was[field] for field in (*_SYSTEM_FIELDS, "generation", "generateName") if field in was}
    sent = {f: v for f, v in meta.items() if f not in (*_SYSTEM_FIELDS, *OWN_FIELDS, "generateName") and v is not None}
    version = was["resourceVersion"]
    result = {**new, "metadata": {**sent, **owned, "uid": meta.get("uid") or was["uid"], "resourceVersion": version}}
    if asked.has_status:
        result.pop("status", None)
        result.update({"status": live["status"]} if "status" in live else {})
    if asked.counts_generations and result.get("spec") != live.get("spec"):
        result["metadata"]["generation"] = was.get("generation", 0) + 1
    return result
