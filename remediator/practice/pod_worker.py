"""
One pod on one node, from its scheduling to its end.

In: a scheduled pod, a runtime, a clock. Out: containers that are started, probed, restarted with back-off and stopped,
and a status that says so. It ends the pod object only when the containers have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remediator.model.objects import CLAIM, POD, Manifest
from remediator.model.seams import Clock
from remediator.practice.apiserver import ApiServer
from remediator.practice.container_slots import ContainerSlot
from remediator.practice.containers import Exit, Launch, Running, Runtime
from remediator.practice.event_writer import EventWriter
from remediator.practice.loops import TaskOwner
from remediator.practice.pod_status import pod_status
from remediator.practice.refusals import ApiError

RESTART_SECONDS = 1.0
"""What a kubelet takes to notice an exit and start again when no back-off is due."""
STEADY_SECONDS = 600.0
"""A container that ran for twice the longest back-off starts with a fresh one."""


@dataclass(frozen=True)
class Node:
    """What a pod worker needs of its surroundings."""

    api: ApiServer
    clock: Clock
    tasks: TaskOwner
    runtime: Runtime
    events: EventWriter


class PodWorker:
    def __init__(self, node: Node, pod: Manifest, address: str) -> None:
        meta = pod["metadata"]
        self.namespace, self.name, self.uid = str(meta["namespace"]), str(meta["name"]), str(meta["uid"])
        self.address = address
        self._node = node
        self._pod = pod
        text = f"{self.name}_{self.namespace}({self.uid})"
        self._slots = [ContainerSlot(c, self.name, text) for c in pod["spec"]["containers"]]
        self._ends = asyncio.Event()
        self._claims_changed = asyncio.Event()
        self._policy = str(pod["spec"].get("restartPolicy", "Always"))

    # --- what the kubelet tells it ---

    def terminate(self) -> None:
        self._ends.set()

    def look_at_claims(self) -> None:
        self._claims_changed.set()

    def slot(self, container: str) -> ContainerSlot:
        for slot in self._slots:
            if slot.name == container or not container:
                return slot
        raise ApiError(400, "BadRequest", f"container {container} is not valid for pod {self.name}")

    async def kill(self) -> None:
        """The containers die at once; the pod stays and starts them again."""
        for slot in self._slots:
            if slot.running is not None:
                await slot.running.stop(0)

    # --- its life ---

    async def run(self) -> None:
        self._publish()
        life = [self._node.tasks.spawn(self._live(slot), f"{self.name}/{slot.name}") for slot in self._slots]
        await self._ends.wait()
        grace = float(self._live_meta().get("deletionGracePeriodSeconds", 30))
        for slot in self._slots:
            await self._stop(slot, grace)
        for task in life:
            task.cancel()
        await asyncio.gather(*life, return_exceptions=True)
        self._publish()
        self._remove()

    async def _stop(self, slot: ContainerSlot, grace: float) -> None:
        running = slot.running
        if running is None:
            return
        await running.stop(grace)
        slot.end(await running.wait(), self._node.clock.now())

    def _live_meta(self) -> Mapping[str, Any]:
        try:
            pod = self._node.api.look(POD, self.namespace, self.name)
        except ApiError:
            return {}
        return pod["metadata"] if pod["metadata"]["uid"] == self.uid else {}

    def _remove(self) -> None:
        if self._live_meta():
            self._node.api.delete(POD, self.namespace, self.name, uid=self.uid, grace_seconds=0)

    async def _live(self, slot: ContainerSlot) -> None:
        volumes = await self._mount()
        while True:
            began = self._node.clock.monotonic()
            outcome = await self._run_once(slot, volumes)
            if self._ends.is_set() or not self._restarts_after(outcome):
                return
            if self._node.clock.monotonic() - began >= STEADY_SECONDS:
                slot.forget_back_off()
            await self._pause_before_restart(slot)

    def _restarts_after(self, outcome: Exit) -> bool:
        return self._policy == "Always" or (self._policy == "OnFailure" and outcome.code != 0)

    async def _pause_before_restart(self, slot: ContainerSlot) -> None:
        await self._node.clock.sleep(RESTART_SECONDS)
        seconds = slot.back_off()
        if not seconds:
            return
        slot.wait_for_restart(seconds)
        self._publish()
        note = f"Back-off restarting failed container {slot.name} in pod {self.name}_{self.namespace}({self.uid})"
        self._node.events.write(self._pod, POD, "Warning", "BackOff", note)
        await self._node.clock.sleep(seconds)

    async def _run_once(self, slot: ContainerSlot, volumes: Mapping[str, str]) -> Exit:
        incarnation = slot.begin(self._node.clock.now())
        launch = Launch(self._pod, slot.spec, self.address, volumes, incarnation.lines.append)
        running = await self._node.runtime.start(launch)
        slot.running = running
        slot.is_ready = "readinessProbe" not in slot.spec
        self._publish()
        probes = self._start_probes(slot, running)
        try:
            outcome = await running.wait()
        finally:
            for probe in probes:
                probe.cancel()
            await asyncio.gather(*probes, return_exceptions=True)
        slot.end(outcome, self._node.clock.now())
        self._publish()
        return outcome

    # --- volumes ---

    async def _mount(self) -> Mapping[str, str]:
        """Wait until every claim is bound; then the volume behind each."""
        while True:
            self._claims_changed.clear()
            found = {name: self._volume_behind(claim) for name, claim in self._claims().items()}
            if all(found.values()):
                return found
            await self._claims_changed.wait()

    def _claims(self) -> dict[str, str]:
        volumes = self._pod["spec"].get("volumes", ())
        mounted = (v for v in volumes if "persistentVolumeClaim" in v)
        return {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in mounted}

    def _volume_behind(self, claim: str) -> str:
        try:
            found = self._node.api.look(CLAIM, self.namespace, claim)
        except ApiError as error:
            if error.status != 404:
                raise
            return ""
        is_bound = found.get("status", {}).get("phase") == "Bound"
        return str(found["spec"].get("volumeName", "")) if is_bound else ""

    # --- probes ---

    def _start_probes(self, slot: ContainerSlot, running: Running) -> list[asyncio.Task[Any]]:
        probes: list[asyncio.Task[Any]] = []
        if "readinessProbe" in slot.spec:
            work = self._watch_readiness(slot, running, slot.spec["readinessProbe"])
            probes.append(self._node.tasks.spawn(work, f"readiness of {self.name}"))
        if "livenessProbe" in slot.spec:
            work = self._watch_liveness(running, slot.spec["livenessProbe"])
            probes.append(self._node.tasks.spawn(work, f"liveness of {self.name}"))
        return probes

    async def _watch_readiness(self, slot: ContainerSlot, running: Running, probe: Mapping[str, Any]) -> None:
        failures = 0
        await self._node.clock.sleep(probe.get("initialDelaySeconds", 0))
        while True:
            failures = 0 if await running.is_healthy() else failures + 1
            ready = not failures or (slot.is_ready and failures < probe.get("failureThreshold", 3))
            if ready is not slot.is_ready:
                slot.is_ready = ready
                self._publish()
            await self._node.clock.sleep(probe.get("periodSeconds", 10))

    async def _watch_liveness(self, running: Running, probe: Mapping[str, Any]) -> None:
        failures = 0
        await self._node.clock.sleep(probe.get("initialDelaySeconds", 0))
        while failures < probe.get("failureThreshold", 3):
            failures = 0 if await running.is_healthy() else failures + 1
            await self._node.clock.sleep(probe.get("periodSeconds", 10))
        await running.stop(30)

    # --- status ---

    def _publish(self) -> None:
        """Write the status, unless the pod is gone or another stands under its name."""
        if not self._live_meta():
            return
        before = self._node.api.look(POD, self.namespace, self.name).get("status", {})
        status = pod_status(before, self._slots, self.address, self._node.clock.now(), self._policy)
        body = {"status": status}
        self._node.api.patch(POD, self.namespace, self.name, body, kind="merge", subresource="status")
