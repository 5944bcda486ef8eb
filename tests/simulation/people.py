"""
Everybody but the service: who breaks the cluster, sends the alerts, throws switches, and works on it at a bad moment.

In: a world and its scene. Out: what people and machines do to the cluster, each noted as it is done. They write to
the cluster directly, so no write of theirs is ever taken for one of the service's.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from remediator.model.objects import CLAIM, CONFIG_MAP, NAMESPACE, POD, STATEFUL_SET, ResourceType
from remediator.practice import etcd_client
from remediator.practice.etcd_runtime import SimulatedRuntime
from remediator.practice.etcd_setup import manifests
from remediator.practice.refusals import ApiError
from remediator.practice.scenario_actions import act
from remediator.practice.scenarios import PREFIX, STEADY_SECONDS
from tests.simulation.faults import Fault
from tests.simulation.hazards import NAMES as HAZARDS

if TYPE_CHECKING:
    from tests.simulation.world import World

CANARY = "canary-4f1d9c"
"""A secret that somebody left in annotations; nothing of it may ever be seen."""
SECRET = "example.com/token"
PAUSE = "remediator.dev/pause"
LONGEST = 2400.0
"""Seconds within which every run must have ended."""


class People:
    def __init__(self, world: World) -> None:
        self._world = world
        self._setup = world.scene.setup
        self._stories: list[asyncio.Task[Any]] = []
        self._began = ""

    # --- before the service begins -------------------------------------------------------------------------

    async def break_cluster(self) -> None:
        """A healthy etcd with keys in it, then members that are removed for good and crash-loop."""
        world, setup = self._world, self._setup
        cluster = world.cluster
        cluster.etcd_runtime.found([(setup.namespace, pod) for pod in setup.pods])
        await cluster.apply(manifests(setup, by_address=False))
        await act(cluster, setup.namespace, {"action": "await-ready", "name": setup.name})
        await etcd_client.put_keys(cluster, setup.namespace, setup.pods[-1], setup.keys, PREFIX)
        for resource, name in ((STATEFUL_SET, setup.name), (NAMESPACE, setup.namespace)):
            self._annotate(resource, name, SECRET, CANARY)
        await world.clock.sleep(STEADY_SECONDS)
        for number in world.scene.removed:
            await self._remove(number)

    async def _remove(self, number: int) -> None:
        pods = self._setup.pods
        through = next(p for i, p in reversed(list(enumerate(pods))) if i != number)
        words = [
            {"action": "remove-member", "pod": pods[number], "through": through},
            {"action": "await-crash-loop", "pod": pods[number], "restarts": 2},
        ]
        for word in words:
            await act(self._world.cluster, self._setup.namespace, word)

    # --- the alerts ----------------------------------------------------------------------------------------

    def _alert(
        self, status: str, *, name: str = "KubePodCrashLooping", pod: int = 0, starts_at: str = ""
    ) -> dict[str, Any]:
        labels = {"alertname": name, "namespace": self._setup.namespace, "severity": "warning"}
        labels["pod"] = self._setup.pods[pod]
        if name == "KubePodCrashLooping":
            labels["container"] = "etcd"
        now = self._world.clock.now().isoformat().replace("+00:00", "Z")
        return {
            "status": status,
            "labels": labels,
            "annotations": {"token": CANARY},
            "startsAt": starts_at or self._began,
            "endsAt": now if status == "resolved" else "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": "0",
        }

    async def tell_story(self, timed: list[Fault]) -> None:
        """The alert arrives, things happen, and sooner or later every run has ended."""
        world = self._world
        self._began = world.clock.now().isoformat().replace("+00:00", "Z")
        first = world.scene.removed[0]
        if world.scene.resolved_first:
            await world.deliver([self._alert("resolved", pod=first)])
        self.spawn(self._copies(self._alert("firing", pod=first)), "alert")
        if world.scene.asks:
            self.spawn(world.approvers.watch(), "later: approvers")
        for fault in timed:
            self.spawn(self._later(fault), str(fault))
        await self._until_over()
        if world.scene.relapses:
            await self._relapse()
        for story in self._stories:
            story.cancel()
        await asyncio.gather(*self._stories, return_exceptions=True)

    async def _relapse(self) -> None:
        """Not long after, another member is removed, and there is an alert about it."""
        world = self._world
        if not world.true.is_well():
            return
        await world.clock.sleep(10.0)
        other = (world.scene.removed[0] + 1) % self._setup.replicas
        await self._remove(other)
        began = world.clock.now().isoformat().replace("+00:00", "Z")
        await world.deliver([self._alert("firing", pod=other, starts_at=began)])
        await self._until_over()

    async def _copies(self, alert: dict[str, Any]) -> None:
        for _ in range(self._world.scene.copies):
            await self._world.deliver([alert])
            await self._world.clock.sleep(self._world.far.uniform(0.0, 3.0))

    async def _until_over(self) -> None:
        """Until every run has ended and nothing is still to come, or far too much time has passed."""
        world = self._world
        deadline = world.clock.monotonic() + LONGEST + world.scene.skew
        await world.clock.sleep(2.0)
        while world.clock.monotonic() < deadline:
            busy = [story for story in self._stories if not story.done() and not story.get_name().startswith("later")]
            if not world.keeping.live() and not busy:
                return
            await world.clock.sleep(2.0)

    def spawn(self, work: Any, name: str) -> None:
        self._stories.append(self._world.loop.in_world(work, name))

    async def _later(self, fault: Fault) -> None:
        await self._world.clock.sleep(fault.number)
        await self.do(fault)

    # --- what goes wrong, and what people do ---------------------------------------------------------------

    async def do(self, fault: Fault) -> None:
        """Carry out one fault of the scene; what lasts is undone by itself."""
        world = self._world
        world.history.note("fault", name=fault.name, lasting=fault.lasting)
        name, _, kind = fault.name.partition("-")
        if fault.name in HAZARDS:
            await world.hazards.do(fault)
        elif fault.name in ("crash", "stop"):
            replica = world.replica_at_work()
            replica.crash("crash") if fault.name == "crash" else replica.stop()
        elif name == "reads":
            world.troubles.reads_until, world.troubles.reads_answer = world.loop.time() + fault.lasting, kind
        elif name == "writes":
            spoilt = "lost" if kind == "lost" else f"refuse-{kind}"
            world.troubles.writes_until, world.troubles.writes_answer = world.loop.time() + fault.lasting, spoilt
        elif name == "logs":
            self._lose_logs(fault, kind)
        elif fault.name == "freeze":
            await self._switch("freeze", fault, on=True)
        elif name == "freeze":
            self._brake(fault, kind)
        elif name == "disarm":
            await self._switch(f"arm:{world.rule.name}", fault, on=False)
        else:
            self._act(fault)

    def _act(self, fault: Fault) -> None:
        match fault.name:
            case "pause-set" | "pause-namespace":
                self._pause(fault)
            case "resolve":
                self.spawn(self._world.deliver([self._alert("resolved", pod=self._world.scene.removed[0])]), "resolve")
            case "second-alert":
                alert = self._alert("firing", name="KubePodNotReady", pod=self._world.scene.removed[0])
                self.spawn(self._world.deliver([alert]), "second alert")
            case "mute" | "isolate":
                self._silence(fault)
            case _:
                self._meddle(fault)

    async def _switch(self, switch: str, fault: Fault, *, on: bool) -> None:
        await self._world.throw(switch, on=on)
        if fault.lasting:
            self._after(fault.lasting, lambda: self.spawn(self._world.throw(switch, on=not on), "later: switch back"))

    def _brake(self, fault: Fault, kind: str) -> None:
        """Freeze without the store. Who undoes it lets go of the brake, and then unfreezes."""
        self._hold(kind, on=True)
        self._world.history.note("switch", name="freeze", on=True)
        if fault.lasting:
            self._after(fault.lasting, lambda: self.spawn(self._unfreeze(kind), "later: unfreeze"))

    async def _unfreeze(self, kind: str) -> None:
        await self._world.throw("freeze", on=False, first=lambda: self._hold(kind, on=False))

    def _hold(self, kind: str, *, on: bool) -> None:
        brake, ref, api = self._world.freeze_file, self._world.freeze_map, self._world.cluster.api
        if kind == "file":
            brake.engage() if on else brake.release()
            return
        meta = {"name": ref.name, "namespace": ref.namespace}
        with suppress(ApiError):  # it is there already, or gone already
            if on:
                api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"frozen": "true"}})
            else:
                api.delete(CONFIG_MAP, ref.namespace, ref.name)

    def _after(self, seconds: float, undo: Any) -> None:
        async def wait() -> None:
            await self._world.clock.sleep(seconds)
            undo()

        self.spawn(wait(), "later: undo")

    def _pause(self, fault: Fault) -> None:
        on_set = fault.name == "pause-set"
        resource, name = (STATEFUL_SET, self._setup.name) if on_set else (NAMESPACE, self._setup.namespace)
        self._set_pause(resource, name, "true")
        if fault.lasting:
            self._after(fault.lasting, lambda: self._set_pause(resource, name, None))

    def _set_pause(self, resource: ResourceType, name: str, value: str | None) -> None:
        self._annotate(resource, name, PAUSE, value)
        self._world.history.note("pause", on=value is not None, kind=resource.kind)

    def _annotate(self, resource: ResourceType, name: str, key: str, value: str | None) -> None:
        where = self._setup.namespace if resource.namespaced else ""
        change = {"metadata": {"annotations": {key: value}}}
        self._world.cluster.api.patch(resource, where, name, change, kind="merge")

    def _lose_logs(self, fault: Fault, kind: str) -> None:
        world = self._world
        if kind == "gone":
            world.cluster.kubelet.lose_logs(self._setup.namespace, self._setup.pods[world.scene.removed[0]])
        else:
            world.troubles.logs_until, world.troubles.logs_answer = world.loop.time() + fault.lasting, kind

    def _silence(self, fault: Fault) -> None:
        """A survivor no longer answers us, or (isolated) no longer answers anybody."""
        world = self._world
        runtime = world.cluster.etcd_runtime
        assert isinstance(runtime, SimulatedRuntime)
        well = [s for s in runtime.network.servers.values() if s.cluster is not None and s.member in s.cluster.members]
        if not well:
            return
        server = well[-1]
        if fault.name == "mute":
            world.troubles.muted[server.launch.address] = world.loop.time() + fault.lasting
            return
        main = server.cluster
        assert main is not None
        main.isolate([server.member])
        world.history.note("isolated", until=world.loop.time() + fault.lasting)
        self._after(fault.lasting, lambda: main.rejoin(world.clock.monotonic()))

    def _meddle(self, fault: Fault) -> None:
        """Somebody works on the sick member by hand, under the names the plan was made for."""
        api, space = self._world.cluster.api, self._setup.namespace
        pod = self._setup.pods[self._world.scene.removed[0]]
        try:
            if fault.name == "remake-claim":
                api.delete(CLAIM, space, f"data-{pod}")
            grace = 0 if fault.name.startswith("remake") else None
            api.delete(POD, space, pod, grace_seconds=grace)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def fire(self, *, starts_at: str) -> None:
        """The alert is over, and another episode of it begins."""
        pod = self._world.scene.removed[0]
        await self._world.deliver([self._alert("resolved", pod=pod)])
        self._began = starts_at
        await self._world.deliver([self._alert("firing", pod=pod)])

    def repair(self) -> None:
        """Somebody follows the runbook by hand, and goes away when it is done."""
        self._meddle(Fault("remake-claim", "at", 0.0))
