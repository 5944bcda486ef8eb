"""
The nodes: places pods on nodes, runs the pods that were placed, and keeps their logs.

In: pods, nodes and claims as they change. Out: bindings, a worker for each scheduled pod, logs by pod and container.
A pod is placed once, round robin over the nodes that take pods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from remediator.model.objects import CLAIM, NODE, POD, Manifest, ResourceType
from remediator.practice.pod_worker import Node, PodWorker
from remediator.practice.refusals import ApiError
from remediator.practice.times import rfc3339


class Kubelet:
    """`place` gives a pod its address, by namespace and name."""

    def __init__(self, node: Node, place: Callable[[str, str], str]) -> None:
        self._node = node
        self._place = place
        self._workers: dict[str, PodWorker] = {}
        self._lost_logs: set[tuple[str, str]] = set()
        self._turn = 0
        node.api.subscribe(self._noticed)

    # --- what it does by itself ---

    def _noticed(self, change: str, resource: ResourceType, manifest: Manifest) -> None:
        if resource == POD:
            self._pod_changed(change, manifest)
        elif resource == CLAIM:
            for worker in self._workers.values():
                worker.look_at_claims()
        elif resource == NODE and change == "ADDED":
            for pod in self._node.api.look_at(POD):
                self._schedule(pod)

    def _pod_changed(self, change: str, pod: Manifest) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if worker is not None and (change == "DELETED" or "deletionTimestamp" in pod["metadata"]):
            worker.terminate()
        elif worker is None and change != "DELETED" and pod["spec"].get("nodeName"):
            self._start(pod)
        elif change == "ADDED":
            self._schedule(pod)

    def _start(self, pod: Manifest) -> None:
        meta = pod["metadata"]
        worker = PodWorker(self._node, pod, self._place(meta["namespace"], meta["name"]))
        self._workers[meta["uid"]] = worker
        self._node.tasks.spawn(self._run(worker), f"pod {meta['name']}")

    async def _run(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        finally:
            del self._workers[worker.uid]

    def _schedule(self, pod: Manifest) -> None:
        meta = pod["metadata"]
        if pod["spec"].get("nodeName") or "deletionTimestamp" in meta:
            return
        nodes = [n for n in self._node.api.look_at(NODE) if not n.get("spec", {}).get("unschedulable")]
        if not nodes:
            return
        node = nodes[self._turn % len(nodes)]["metadata"]["name"]
        self._turn += 1
        self._node.tasks.spawn(self._bind(meta["namespace"], meta["name"], meta["uid"], node), f"bind {meta['name']}")

    async def _bind(self, namespace: str, name: str, uid: str, node: str) -> None:
        try:
            pod = self._node.api.look(POD, namespace, name)
            if pod["metadata"]["uid"] != uid or pod["spec"].get("nodeName"):
                return
            moment = rfc3339(self._node.clock.now())
            condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": moment}
            status = {"status": {"conditions": [condition]}}
            self._node.api.patch(POD, namespace, name, status, kind="merge", subresource="status")
            self._node.api.patch(POD, namespace, name, {"spec": {"nodeName": node}}, kind="merge")
        except ApiError as error:
            if error.status != 404:
                raise

    # --- what it is asked ---

    def worker(self, namespace: str, pod: str) -> PodWorker:
        """The worker of the pod that has this name now."""
        found: Mapping[str, Any] = self._node.api.look(POD, namespace, pod)
        worker = self._workers.get(found["metadata"]["uid"])
        if worker is None:
            raise ApiError(400, "BadRequest", f"pod {pod} does not have a host assigned")
        return worker

    def read(self, namespace: str, pod: str, container: str, previous: bool) -> str:
        slot = self.worker(namespace, pod).slot(container)
        text = slot.log(previous=previous)
        if (namespace, pod) in self._lost_logs:
            return f"unable to retrieve container logs for {slot.latest_container_id}"
        return text

    def lose_logs(self, namespace: str, pod: str) -> None:
        """From now on, reading the pod's logs answers 200 with the sentence of a kubelet that cannot read them."""
        self._lost_logs.add((namespace, pod))
