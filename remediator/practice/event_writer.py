"""
Kubernetes Events as controllers write them.

In: an object, a type, a reason, a message. Out: an `events.k8s.io/v1` Event in the object's namespace; the same
message again counts up the series of the first one.
"""

from __future__ import annotations

import hashlib
from typing import Any

from remediator.model.objects import EVENT, Manifest, ResourceType
from remediator.model.seams import Clock
from remediator.practice.apiserver import ApiServer
from remediator.practice.refusals import ApiError
from remediator.practice.times import micro_time


class EventWriter:
    def __init__(self, api: ApiServer, clock: Clock, component: str) -> None:
        self._api = api
        self._clock = clock
        self._component = component
        self._written: dict[tuple[str, str, str], tuple[str, int]] = {}

    def write(self, about: Manifest, resource: ResourceType, kind: str, reason: str, note: str) -> None:
        meta = about["metadata"]
        namespace = meta.get("namespace", "") or "default"
        same = (meta["uid"], reason, note)
        name, count = self._written.get(same, ("", 0))
        if name and self._count_up(namespace, name, count + 1):
            self._written[same] = (name, count + 1)
            return
        number = hashlib.sha256(f"{self._component} {len(self._written)}".encode()).hexdigest()[:16]
        name = f"{meta['name']}.{number}"
        self._api.create(self._event(name, namespace, about, resource, (kind, reason, note)))
        self._written[same] = (name, 1)

    def _count_up(self, namespace: str, name: str, count: int) -> bool:
        body = {"series": {"count": count, "lastObservedTime": micro_time(self._clock.now())}}
        try:
            self._api.patch(EVENT, namespace, name, body, kind="merge")
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def _event(
        self, name: str, namespace: str, about: Manifest, resource: ResourceType, said: tuple[str, str, str]
    ) -> dict[str, Any]:
        kind, reason, note = said
        meta = about["metadata"]
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": micro_time(self._clock.now()),
            "reportingController": self._component,
            "reportingInstance": self._component,
            "action": reason,
            "reason": reason,
            "type": kind,
            "note": note,
            "regarding": {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "namespace": meta.get("namespace", ""),
                "name": meta["name"],
                "uid": meta["uid"],
            },
        }
