"""
Show one stored Event through both of its APIs.

Events are kept as core/v1. In: a manifest in one view. Out: the same event in the other. What only the new API
demands is checked where the new fields say that the event is a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remediator.model.objects import EVENT, ResourceType
from remediator.practice.copying import copied
from remediator.practice.resources import CORE_EVENT, is_new_event

_NEW_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_OLD_NAMES = {new: old for old, new in _NEW_NAMES.items()}


def as_stored(resource: ResourceType, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Any view as it is kept; manifests of other types as they are."""
    if not is_new_event(resource):
        return copied(dict(manifest))
    return {**_renamed(manifest, _OLD_NAMES), "apiVersion": CORE_EVENT.api_version, "kind": CORE_EVENT.kind}


def as_seen(resource: ResourceType, stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored manifest in the view that was asked for; always a copy."""
    if not is_new_event(resource):
        return copied(dict(stored))
    return {**_renamed(stored, _NEW_NAMES), "apiVersion": EVENT.api_version, "kind": EVENT.kind}


def view(resource: ResourceType, stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """As `as_seen`, for one who only reads: it shares its parts with what is stored."""
    if not is_new_event(resource):
        return stored
    renamed = {_NEW_NAMES.get(key, key): value for key, value in stored.items()}
    return {**renamed, "apiVersion": EVENT.api_version, "kind": EVENT.kind}


def stored(resource: ResourceType, seen: dict[str, Any]) -> dict[str, Any]:
    """As `as_stored`, for a manifest whose parts nobody else will change."""
    if not is_new_event(resource):
        return seen
    renamed = {_OLD_NAMES.get(key, key): value for key, value in seen.items()}
    return {**renamed, "apiVersion": CORE_EVENT.api_version, "kind": CORE_EVENT.kind}


def complaints(resource: ResourceType, stored: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with an event, as fields and sentences."""
    found = list(_namespace_complaints(stored))
    if is_new_event(resource) or stored.get("eventTime"):
        found += _new_api_complaints(resource, stored)
    return found


def _new_api_complaints(resource: ResourceType, stored: Mapping[str, Any]) -> list[tuple[str, str]]:
    reporter = "reportingController" if is_new_event(resource) else "reportingComponent"
    required = {
        "eventTime": "eventTime",
        reporter: "reportingComponent",
        "reportingInstance": "reportingInstance",
        "action": "action",
        "reason": "reason",
    }
    found = [(shown, "Required value") for shown, kept in required.items() if not stored.get(kept)]
    for field, limit in {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}.items():
        if len(str(stored.get(field) or "")) > limit:
            shown = "note" if field == "message" and is_new_event(resource) else field
            found.append((shown, f"Invalid value: can have at most {limit} characters"))
    if is_new_event(resource) and stored.get("type") not in ("Normal", "Warning"):
        found.append(("type", f'Invalid value: "{stored.get("type") or ""}"'))
    return found


def _namespace_complaints(stored: Mapping[str, Any]) -> list[tuple[str, str]]:
    about = (stored.get("involvedObject") or {}).get("namespace") or ""
    own = stored.get("metadata", {}).get("namespace") or ""
    homes = {about} if about else {"default"} if not stored.get("eventTime") else {"default", "kube-system"}
    if own in homes:
        return []
    return [("involvedObject.namespace", f'Invalid value: "{about}": does not match event.namespace')]


def _renamed(manifest: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): copied(value) for key, value in manifest.items()}
