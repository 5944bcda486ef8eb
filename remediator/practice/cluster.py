"""
A whole practice cluster: API server, controllers, nodes, storage, and etcd in its pods.

In: a clock, ids, what etcd is to be, a folder. Out: an API server over HTTP, requests to pods, and the means to break
things. Entered with `async with`; on leaving, every task, socket and process it started has ended.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from remediator.model.objects import NAMESPACE, POD, Manifest
from remediator.model.seams import Clock, Ids
from remediator.practice.addresses import names_only, take_block
from remediator.practice.apiserver import ApiServer
from remediator.practice.containers import IdleRuntime, Launch, Running, Runtime
from remediator.practice.etcd_gateway import Answer
from remediator.practice.etcd_images import is_etcd
from remediator.practice.etcd_process import ProcessRuntime
from remediator.practice.etcd_runtime import EtcdRuntime, SimulatedRuntime
from remediator.practice.event_writer import EventWriter
from remediator.practice.http import PracticeServer, SeenRequest
from remediator.practice.kubelet import Kubelet
from remediator.practice.loops import TaskOwner
from remediator.practice.pod_worker import Node
from remediator.practice.refusals import ApiError
from remediator.practice.resources import of_kind
from remediator.practice.statefulsets import StatefulSetController
from remediator.practice.volumes import VolumeController

LOOK_SECONDS = 0.5
"""How often `until` looks, besides what it waits for."""
TOKEN = "practice"  # noqa: S105 - opens nothing but a practice cluster on loopback
_ADDRESS = re.compile(r"\$\{pod_ip:([a-z0-9.-]+)\}")


class Containers:
    """Chooses what runs a container: an override for the pod, a runtime that wants it, etcd, or nothing much."""

    def __init__(self, etcd: Runtime) -> None:
        self.overrides: dict[tuple[str, str], Runtime] = {}
        self._choices: list[tuple[Callable[[Launch], bool], Runtime]] = [(is_etcd, etcd)]
        self._idle = IdleRuntime()

    def use(self, wants: Callable[[Launch], bool], runtime: Runtime) -> None:
        """Run with `runtime` what it wants; the last one added is asked first."""
        self._choices.insert(0, (wants, runtime))

    async def start(self, launch: Launch) -> Running:
        override = self.overrides.get((launch.namespace, launch.pod_name))
        chosen = override or next((r for wants, r in self._choices if wants(launch)), self._idle)
        return await chosen.start(launch)


class PracticeCluster:
    """
    With `serve_http=False` no socket is opened: `api` and `etcd_request` still answer.

    Real etcd keeps its own time, so with it a clock may run a few times as fast as the wall, not thirty times.
    """

    def __init__(
        self,
        clock: Clock,
        ids: Ids,
        *,
        etcd: Literal["simulated", "real"] = "simulated",
        data_dir: Path | None = None,
        serve_http: bool = True,
    ) -> None:
        if etcd == "real" and data_dir is None:
            raise ValueError("a practice cluster with real etcd needs a folder: pass data_dir")
        self.clock = clock
        self.etcd = etcd
        self.api = ApiServer(clock, ids)
        self.token = TOKEN
        self._serve_http = serve_http
        self._tasks = TaskOwner()
        self._addresses = names_only()
        self.etcd_runtime: EtcdRuntime = (
            ProcessRuntime(clock, self._tasks, data_dir)
            if data_dir is not None and etcd == "real"
            else SimulatedRuntime(clock, self._tasks, serve_http=serve_http)
        )
        self.containers = Containers(self.etcd_runtime)
        events = EventWriter(self.api, clock, "kubelet")
        self.kubelet = Kubelet(Node(self.api, clock, self._tasks, self.containers, events), self._place)
        self.server = PracticeServer(self.api, tokens=[TOKEN], logs=self.kubelet, clock=clock)

    def _place(self, namespace: str, pod: str) -> str:
        return self._addresses.place(namespace, pod)

    async def __aenter__(self) -> Self:
        if self._serve_http or self.etcd == "real":
            self._addresses = take_block(stable=self.etcd == "real")
        await self.etcd_runtime.setup()
        events = EventWriter(self.api, self.clock, "statefulset-controller")
        StatefulSetController(self.api, self.clock, self._tasks, events)
        # After the StatefulSet controller, which on a real cluster too sees a pod's end before its claim is let go.
        VolumeController(self.api, self.clock, self._tasks, self.etcd_runtime.erase)
        if self._serve_http:
            await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.server.stop()
            await self._tasks.close()
        finally:
            await self.etcd_runtime.close()
            self._addresses.close()

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request the API server has seen, in order."""
        return self.server.requests

    @property
    def base_url(self) -> str:
        return self.server.base_url

    # --- objects ---

    async def apply(self, manifests: Iterable[Manifest]) -> None:
        """
        Create what is not there and merge into what is; missing namespaces are made.

        `${pod_ip:NAME}` in a manifest becomes the address that the pod of that name has or will have, which is a
        promise only where addresses stay (real etcd).
        """
        for manifest in manifests:
            self._apply_one(self._with_addresses(manifest))

    def _with_addresses(self, manifest: Manifest) -> dict[str, Any]:
        namespace = str(manifest["metadata"].get("namespace", ""))
        text = _ADDRESS.sub(lambda m: self._addresses.place(namespace, m[1]), json.dumps(manifest))
        filled: dict[str, Any] = json.loads(text)
        return filled

    def _apply_one(self, manifest: dict[str, Any]) -> None:
        resource = of_kind(manifest["apiVersion"], manifest["kind"]).resource
        namespace, name = manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]
        if namespace:
            self._ensure_namespace(namespace)
        try:
            self.api.create(manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            self.api.patch(resource, namespace, name, manifest, kind="merge")

    def _ensure_namespace(self, name: str) -> None:
        try:
            self.api.look(NAMESPACE, "", name)
        except ApiError as error:
            if error.status != 404:
                raise
            self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def pod(self, namespace: str, name: str) -> Manifest:
        return self.api.look(POD, namespace, name)

    def pod_uid(self, namespace: str, name: str) -> str:
        """Which incarnation of the pod is there; \"\" when none is."""
        found = [p for p in self.api.look_at(POD, namespace) if p["metadata"]["name"] == name]
        return str(found[0]["metadata"]["uid"]) if found else ""

    # --- waiting, asking ---

    async def until(self, predicate: Callable[[], bool | Awaitable[bool]], timeout: float, *, what: str = "") -> None:  # noqa: ASYNC109 - seconds of the cluster's own clock
        """Wait until it holds; TimeoutError, naming `what`, after `timeout` seconds of the cluster's clock."""
        deadline = self.clock.monotonic() + timeout
        while True:
            self._tasks.raise_failure()
            found = predicate()
            if await found if inspect.isawaitable(found) else found:
                return
            if self.clock.monotonic() >= deadline:
                raise TimeoutError(f"not within {timeout:g} s on the practice cluster: {what or predicate}")
            await self.clock.sleep(LOOK_SECONDS)

    async def etcd_request(
        self, pod_ip: str, method: str, path: str, body: Mapping[str, Any] | bytes | None = None
    ) -> Answer:
        """Ask the etcd at a pod's address, without HTTP where it is simulated; ConnectionError if nobody serves."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        return await self.etcd_runtime.request(pod_ip, method, path, data)
