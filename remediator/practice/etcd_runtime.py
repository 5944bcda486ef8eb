"""
The seam between a practice cluster and whatever runs its etcd: simulated servers, or real processes.

In: launches of etcd containers and requests to pod addresses. Out: containers and answers. `found` lets pods start as
on the day their cluster was installed, whatever their variables say since.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from remediator.model.seams import Clock
from remediator.practice.containers import Launch, Running
from remediator.practice.etcd_doors import EtcdDoors
from remediator.practice.etcd_entrypoints import before_stop, enter
from remediator.practice.etcd_gateway import Answer, answer
from remediator.practice.etcd_pods import EtcdNetwork, SimulatedEtcd
from remediator.practice.loops import TaskOwner


class EtcdRuntime(Protocol):
    async def setup(self) -> None: ...

    async def start(self, launch: Launch) -> Running: ...

    async def request(self, address: str, method: str, path: str, body: bytes) -> Answer:
        """Raises ConnectionError where nobody answers."""
        ...

    def erase(self, volume: str) -> None: ...

    def found(self, pods: Iterable[tuple[str, str]]) -> None: ...

    async def close(self) -> None: ...


class SimulatedRuntime:
    """Model servers. Without sockets they answer `request` only."""

    def __init__(self, clock: Clock, tasks: TaskOwner, *, serve_http: bool) -> None:
        self.network = EtcdNetwork(clock, tasks, enter, before_stop, self._open, self._shut)
        self._doors = EtcdDoors(self.network.servers) if serve_http else None

    async def setup(self) -> None:
        if self._doors is not None:
            await self._doors.setup()

    async def start(self, launch: Launch) -> Running:
        return await self.network.start(launch)

    async def request(self, address: str, method: str, path: str, body: bytes) -> Answer:
        etcd = self.network.servers.get(address)
        if etcd is None:
            raise ConnectionRefusedError(f"nobody serves etcd at {address}")
        return await answer(etcd, method, path, body)

    def erase(self, volume: str) -> None:
        self.network.erase(volume)

    def found(self, pods: Iterable[tuple[str, str]]) -> None:
        self.network.founding.update(pods)

    async def close(self) -> None:
        if self._doors is not None:
            await self._doors.close()

    async def _open(self, etcd: SimulatedEtcd) -> None:
        if self._doors is not None:
            await self._doors.open(etcd)

    async def _shut(self, address: str) -> None:
        if self._doors is not None:
            await self._doors.shut(address)
