"""
Tell people, on the object itself, what a run does: Kubernetes Events on the run's target.

In: reports. Out: events.k8s.io/v1 Events, posted by one task from a bounded queue. They are reports, not writes
on a target, so they need no permit; nothing else in the room creates anything. Best effort: a run never waits for
an Event, and an Event that cannot be posted is counted and forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from remediator.kube.access import KubeAsked
from remediator.kube.client import KubeClient
from remediator.kube.exchange import Asked, Call
from remediator.kube.noting import Note, note_of
from remediator.kube.paths import collection_path
from remediator.kube.requests import as_body
from remediator.model.errors import RemoteError
from remediator.model.objects import EVENT, ObjectRef, is_object_name
from remediator.model.reports import Report
from remediator.model.seams import Clock, Ids

QUEUE_LENGTH: Final = 500
POST_SECONDS: Final = 5.0
DROPPED: Final = "dropped"


class EventRecorder:
    """An observer: call it with a report. `run()` is the task that posts; `drain()` waits for it at the end."""

    def __init__(
        self,
        client: KubeClient,
        clock: Clock,
        ids: Ids,
        *,
        component: str = "remediator.dev/remediator",
        instance: str = "remediator",
    ) -> None:
        self._requests = client.requests
        self._clock = clock
        self._ids = ids
        self._component, self._instance = component, instance
        self._queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(QUEUE_LENGTH)

    def __call__(self, report: Report) -> None:
        """Queue what the report means to the target's reader, if anything. Never waits, never raises."""
        note = note_of(report)
        target = report.run.target
        if note is None or target is None:
            return
        try:
            self._queue.put_nowait(self._event(target, note))
        except asyncio.QueueFull:
            self._requests.tell(KubeAsked("create", EVENT.plural, DROPPED, 0.0))

    async def run(self) -> None:
        """Post for ever, one after the other."""
        while True:
            event = await self._queue.get()
            try:
                await self._post(event)
            finally:
                self._queue.task_done()

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 - the caller's share of an orderly stop
        """Wait until everything queued was tried; False when time ran out. `run()` must still be running."""
        try:
            async with asyncio.timeout(timeout):
                await self._queue.join()
        except TimeoutError:
            return False
        return True

    async def _post(self, event: Mapping[str, Any]) -> None:
        metadata = event["metadata"]
        asked = Asked("create", EVENT.plural, f"Event {metadata['namespace']}/{metadata['name']}", writes=True)
        try:
            call = Call("POST", collection_path(EVENT, metadata["namespace"]), as_body(event))
            await self._requests.answer(asked, call, seconds=min(POST_SECONDS, self._requests.seconds))
        except RemoteError:
            return  # told as a request without an answer; the journal and the log have what it would have said

    def _event(self, target: ObjectRef, note: Note) -> dict[str, Any]:
        namespace = target.namespace or "default"  # where the API server wants Events about cluster-wide objects
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": self._name(target), "namespace": namespace},
            "eventTime": self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": self._component,
            "reportingInstance": self._instance[:128],
            "action": note.action,
            "reason": note.reason,
            "type": "Warning" if note.is_warning else "Normal",
            "note": note.text,
            "regarding": _regarding(target),
        }

    def _name(self, target: ObjectRef) -> str:
        """Built here: events.k8s.io refuses a generateName that ends in a dot."""
        unique = self._ids("event").lower().replace("_", "-")
        name = f"{target.name[: 252 - len(unique)].rstrip('.-')}.{unique}"
        return name if is_object_name(name) else unique


def _regarding(target: ObjectRef) -> dict[str, str]:
    said = {
        "apiVersion": target.resource.api_version,
        "kind": target.resource.kind,
        "name": target.name,
        "namespace": target.namespace,
        "uid": target.uid,
    }
    return {key: value for key, value in said.items() if value}
