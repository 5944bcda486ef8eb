"""
Simulated etcd in pods: what each volume holds, which servers run, and the network between them.

In: launches of etcd containers. Out: running servers that found, join, leave and are thrown out of clusters as the
real ones do, with their real last words. A volume's data decides who a server is; only an erased one forgets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from remediator.model.seams import Clock
from remediator.practice import etcd_logs
from remediator.practice.containers import KILLED, Ending, Exit, Launch, Running
from remediator.practice.etcd_images import EtcdSpec, read_spec, version_of
from remediator.practice.etcd_model import EtcdCluster
from remediator.practice.loops import TaskOwner

FAREWELL_SECONDS = 0.5
"""What a removed member takes to stop."""


@dataclass
class EtcdDisk:
    """A data directory."""

    cluster: int
    member: int
    removal_log: bool = False


@dataclass
class EtcdNetwork:
    """
    Everything simulated servers share.

    `enter` and `before_stop` are the images' entrypoint and hook; `open_door` and `shut_door` serve an address over
    HTTP, or do nothing.
    """

    clock: Clock
    tasks: TaskOwner
    enter: Callable[[SimulatedEtcd], Awaitable[Exit]]
    before_stop: Callable[[SimulatedEtcd], None]
    open_door: Callable[[SimulatedEtcd], Awaitable[None]]
    shut_door: Callable[[str], Awaitable[None]]
    clusters: dict[int, EtcdCluster] = field(default_factory=dict)
    disks: dict[str, EtcdDisk] = field(default_factory=dict)
    servers: dict[str, SimulatedEtcd] = field(default_factory=dict)
    """Serving now, by address."""
    founding: set[tuple[str, str]] = field(default_factory=set)
    """Pods whose first start happens as if `helm install` had just been run, whatever their state variable says."""

    async def start(self, launch: Launch) -> Running:
        return SimulatedEtcd(self, launch)

    def erase(self, volume: str) -> None:
        self.disks.pop(volume, None)

    def at_peer_urls(self, urls: set[str]) -> list[SimulatedEtcd]:
        return [s for s in self.servers.values() if s.spec.peer_url in urls]


class SimulatedEtcd:
    """One container: an entrypoint, then perhaps a server, then an end."""

    def __init__(self, network: EtcdNetwork, launch: Launch) -> None:
        self.network = network
        self.launch = launch
        self.spec: EtcdSpec = read_spec(launch)
        self.version = version_of(str(launch.container["image"]))
        self.volume = next(iter(launch.volumes.values()), str(launch.pod["metadata"]["uid"]))
        self.cluster: EtcdCluster | None = None
        self.member = 0
        self.listed: tuple[tuple[int, int, int], tuple[int, dict[str, str], bytes]] | None = None
        """The member list it answered last, and the state of the cluster (id, index, term) that it is true of."""
        self._ending = Ending()
        self._life = network.tasks.spawn(self._live(), f"etcd {launch.pod_name}")

    # --- as a container ---

    async def wait(self) -> Exit:
        return await self._ending.wait()

    async def stop(self, grace: float) -> None:
        if grace and self.launch.container.get("lifecycle", {}).get("preStop"):
            self.network.before_stop(self)
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)
        self._ending.come(Exit(0 if grace else KILLED))

    async def is_healthy(self) -> bool:
        """As `etcdctl endpoint health`: a linearizable read, which a learner does not serve."""
        return self.has_leader and not self.is_learner

    async def _live(self) -> None:
        self._ending.come(await self.network.enter(self))

    # --- as a server ---

    @property
    def disk(self) -> EtcdDisk | None:
        return self.network.disks.get(self.volume)

    @property
    def is_learner(self) -> bool:
        member = self.cluster.members.get(self.member) if self.cluster else None
        return member is not None and member.is_learner

    @property
    def has_leader(self) -> bool:
        return self.cluster is not None and bool(self.cluster.leader_seen_by(self.member))

    def say(self, *lines: str) -> None:
        for text in lines:
            self.launch.log(text)

    def healthy_others(self) -> list[SimulatedEtcd]:
        found = self.network.at_peer_urls(self.spec.other_urls)
        return [s for s in found if s.has_leader and not s.is_learner]

    async def serve(self, cluster: EtcdCluster, member: int) -> Exit:
        """Take part in the cluster until stopped, or until told that this member was removed."""
        clock, address = self.network.clock, self.launch.address
        self.cluster, self.member = cluster, member
        self.network.disks.setdefault(self.volume, EtcdDisk(cluster.id, member))
        try:
            self.network.servers[address] = self
            cluster.connect(member, self.spec.name, self.spec.client_urls, clock.monotonic())
            await self.network.open_door(self)
            self.say(etcd_logs.ready(clock.now()))
            await cluster.wait_for_removal(member)
            await clock.sleep(FAREWELL_SECONDS)
            return self.farewell(cluster, member)
        finally:
            cluster.part(member)
            if self.network.servers.get(address) is self:
                del self.network.servers[address]
            await self.network.shut_door(address)

    def farewell(self, cluster: EtcdCluster, member: int) -> Exit:
        """What a removed member says at its end, and what its peers say about it. The code is 0."""
        moment = self.network.clock.now()
        for peer in self.network.servers.values():
            if peer.cluster is cluster and peer.member != member:
                peer.say(etcd_logs.rejected(moment, peer.member, member))
        self.say(*etcd_logs.removed(moment, cluster.id, member, cluster.removed.get(member, ())))
        return Exit(0)
