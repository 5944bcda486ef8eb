"""
Decide what a delete does to one object: nothing yet, a mark, or the end.

In: the live manifest and what the caller asked. Out: the manifest to store, or None when the object goes at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from remediator.model.objects import NAMESPACE, POD, ResourceType
from remediator.practice.refusals import precondition_failed
from remediator.practice.shapes import expect
from remediator.practice.times import rfc3339


@dataclass(frozen=True)
class DeleteOptions:
    """What a client may say about a delete; how dependents go is left to whoever collects them."""

    uid: str = ""
    resource_version: str = ""
    grace_seconds: int | None = None
    is_dry_run: bool = False

    @classmethod
    def read(cls, sent: Mapping[str, Any]) -> DeleteOptions:
        """From JSON; 400 for what a strict decoder would not take."""
        wanted = sent.get("preconditions") or {}
        expect(sent, ("preconditions",), Mapping, "")
        expect(sent, ("gracePeriodSeconds",), int, "")
        expect(sent, ("dryRun",), list, "")
        expect(wanted, ("uid", "resourceVersion"), str, "preconditions.")
        is_dry_run = "All" in (sent.get("dryRun") or ())
        return cls(
            wanted.get("uid") or "", wanted.get("resourceVersion") or "", sent.get("gracePeriodSeconds"), is_dry_run
        )


@dataclass(frozen=True)
class Preconditions:
    """What must be true of the object now; empty text asks for nothing."""

    uid: str = ""
    resource_version: str = ""

    def check(self, resource: ResourceType, live: Mapping[str, Any]) -> None:
        """Raises the real server's 409 for another incarnation or another version."""
        meta = live["metadata"]
        if self.uid and self.uid != meta["uid"]:
            raise precondition_failed(resource, meta["name"], "UID", self.uid, meta["uid"])
        version = meta["resourceVersion"]
        if self.resource_version and self.resource_version != version:
            raise precondition_failed(resource, meta["name"], "ResourceVersion", self.resource_version, version)


def marked(
    resource: ResourceType, live: Mapping[str, Any], grace_seconds: int | None, now: datetime
) -> dict[str, Any] | None:
    """The object as it waits for its end; None when nothing holds it."""
    meta = live["metadata"]
    grace = _grace(live, grace_seconds) if resource == POD else 0
    if meta.get("deletionGracePeriodSeconds") and (
        grace_seconds is None or grace >= meta["deletionGracePeriodSeconds"]
    ):
        return dict(live)  # a grace period that runs may only be shortened
    is_held = bool(meta.get("finalizers")) or resource == NAMESPACE
    if not grace and not is_held:
        return None
    if "deletionTimestamp" in meta and meta.get("deletionGracePeriodSeconds") == grace:
        return dict(live)

    ends = {"deletionTimestamp": rfc3339(now + timedelta(seconds=grace)), "deletionGracePeriodSeconds": grace}
    counted = {"generation": meta["generation"] + 1} if meta.get("generation") else {}
    result = {**live, "metadata": {**meta, **ends, **counted}}
    if resource == NAMESPACE:
        del result["metadata"]["deletionGracePeriodSeconds"]
        result["status"] = {**live.get("status", {}), "phase": "Terminating"}
    return result


def is_over(manifest: Mapping[str, Any]) -> bool:
    """Whether a marked object has nothing left that holds it."""
    meta = manifest["metadata"]
    if "deletionTimestamp" not in meta or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return False
    return manifest["kind"] != NAMESPACE.kind or not manifest.get("spec", {}).get("finalizers")


def _grace(pod: Mapping[str, Any], asked: int | None) -> int:
    """A pod on no node, or one that has ended, has nobody to wait for."""
    spec = pod.get("spec", {})
    if not spec.get("nodeName") or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    if asked is not None:
        return 1 if asked < 0 else asked
    return int(spec.get("terminationGracePeriodSeconds", 30))
