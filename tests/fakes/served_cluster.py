"""The kube client at the practice API server, over real HTTP, with what a test does behind its back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from remediator.kube import KubeAccess, KubeAsked, KubeClient
from remediator.model.objects import Manifest, ObjectRef, ResourceType
from remediator.model.seams import Cluster, ClusterView
from remediator.model.verdicts import Permit
from remediator.practice.apiserver import ApiError, ApiServer
from remediator.practice.http import Fault, PracticeServer
from tests.fakes.fake_clock import FakeClock


@dataclass
class Served:
    """The kube client at the practice API server. It keeps the logs of the pods too."""

    client: KubeClient
    api: ApiServer
    server: PracticeServer
    logs: Logs
    clock: FakeClock
    told: list[KubeAsked]

    def view(self) -> ClusterView:
        return self.client.view()

    def bind(self, permit: Permit) -> Cluster:
        return self.client.bind(permit)

    def create(self, resource: ResourceType, manifest: dict[str, Any]) -> Manifest:
        return self.api.create({"apiVersion": resource.api_version, "kind": resource.kind, **manifest})

    def change(self, ref: ObjectRef, **data: str) -> None:
        self.api.patch(ref.resource, ref.namespace, ref.name, {"data": data}, kind="merge")

    def take(self, ref: ObjectRef) -> None:
        self.api.delete(ref.resource, ref.namespace, ref.name)

    def now(self, ref: ObjectRef) -> Manifest | None:
        try:
            return self.api.get(ref.resource, ref.namespace, ref.name)
        except ApiError:
            return None

    def log(self, pod: ObjectRef, container: str, text: str, *, previous: bool, available: bool) -> None:
        self.logs.texts[pod.namespace, pod.name, container, previous] = text

    def overload(self, verb: str) -> None:
        self.server.faults.append(Fault(lambda seen: seen.verb == verb, 429, headers={"Retry-After": "7"}))

    def lose(self, verb: str) -> None:
        self.server.faults.append(Fault(lambda seen: seen.verb == verb, "reset"))


@dataclass
class Logs:
    texts: dict[tuple[str, str, str, bool], str] = field(default_factory=dict)

    def read(self, namespace: str, pod: str, container: str, previous: bool) -> str:
        try:
            return self.texts[namespace, pod, container, previous]
        except KeyError:
            why = f'previous terminated container "{container}" in pod "{pod}" not found'
            raise ApiError(400, "BadRequest", why) from None


@asynccontextmanager
async def served(folder: Path, clock: FakeClock) -> AsyncIterator[Served]:
    numbers = count(1)
    api, logs = ApiServer(clock, lambda word: f"{word}-{next(numbers)}"), Logs()
    told: list[KubeAsked] = []
    server = PracticeServer(api, tokens={"secret"}, logs=logs, clock=clock)
    await server.start()
    (folder / "token").write_text("secret\n")
    access = KubeAccess(server=server.base_url, token_file=str(folder / "token"))
    client = await KubeClient.connect(access, clock=clock, tell=told.append)
    try:
        yield Served(client, api, server, logs, clock, told)
    finally:
        await client.close()
        await server.stop()
