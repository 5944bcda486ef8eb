"""
A witness in the cluster: one ConfigMap that remembers how far the journal had come.

In: marks. Out: the mark it holds, read from a quorum. It outlasts the journal's whole volume, so it tells a volume
that was restored from one that was not. It writes this one object and no other, at exactly the version it read, and
never deletes it. A ConfigMap that says something it cannot understand is not overwritten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from remediator.kube.answers import json_of
from remediator.kube.client import KubeClient
from remediator.kube.exchange import Asked, Call
from remediator.kube.paths import collection_path, object_path
from remediator.kube.requests import as_body
from remediator.model.errors import NotFound, Permanent, Temporary
from remediator.model.objects import Manifest, ObjectRef
from remediator.model.witness import Mark

SECONDS = 5.0
"""For a reading and a writing together: nobody waits for it but a start."""


class ConfigMapWitness:
    def __init__(self, client: KubeClient, ref: ObjectRef) -> None:
        self.name = f"configmap {ref.namespace}/{ref.name}"
        self._view = client.view()
        self._requests = client.requests
        self._ref = ref

    async def read(self) -> Mark | None:
        """None where it is not there, or says nothing yet. Raises RemoteError."""
        try:
            async with asyncio.timeout(SECONDS):
                live = await self._live()
        except TimeoutError as error:
            raise Temporary(f"{self.name} did not answer within {SECONDS:g} s") from error
        return self._mark(live) if live else None

    async def write(self, mark: Mark) -> None:
        """Raises RemoteError."""
        try:
            async with asyncio.timeout(SECONDS):
                live = await self._live()
                await (self._change(live, mark) if live else self._make(mark))
        except TimeoutError as error:
            raise Temporary(f"{self.name} did not answer within {SECONDS:g} s") from error

    async def _live(self) -> Manifest | None:
        try:
            return await self._view.get(self._ref)
        except NotFound:
            return None

    def _mark(self, live: Manifest) -> Mark | None:
        data = live.get("data") or {}
        if not data.keys() & {"journal", "seq", "hash"}:
            return None
        try:
            return Mark(str(data["journal"]), int(data["seq"]), str(data["hash"]))
        except (KeyError, ValueError) as error:
            raise Permanent(
                f"{self.name} does not hold a mark of a journal; empty its data, or name another"
            ) from error

    async def _make(self, mark: Mark) -> None:
        asked = Asked("create", self._ref.resource.plural, self.name, writes=True)
        body = {
            "apiVersion": self._ref.resource.api_version,
            "kind": self._ref.resource.kind,
            "metadata": {"name": self._ref.name, "namespace": self._ref.namespace},
            "data": _data(mark),
        }
        path = collection_path(self._ref.resource, self._ref.namespace)
        json_of(asked, await self._requests.answer(asked, Call("POST", path, as_body(body))))

    async def _change(self, live: Manifest, mark: Mark) -> None:
        asked = Asked("patch", self._ref.resource.plural, self.name, writes=True)
        metadata = live["metadata"]
        body = {
            "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            "data": _data(mark),
        }
        call = Call("PATCH", object_path(self._ref), as_body(body), "application/merge-patch+json")
        json_of(asked, await self._requests.answer(asked, call))


def _data(mark: Mark) -> Mapping[str, Any]:
    return {"journal": mark.journal, "seq": str(mark.seq), "hash": mark.hash}
