"""
The practice cluster as it really is, seen by nobody who takes part.

In: the cluster. Out: plain values for the history: pods, volumes, members, keys, and whether there is a leader.
"""

from __future__ import annotations

from typing import Any

from remediator.model.objects import POD, VOLUME, Manifest
from remediator.practice.cluster import PracticeCluster
from remediator.practice.etcd_model import EtcdCluster
from remediator.practice.etcd_runtime import SimulatedRuntime
from remediator.practice.etcd_setup import EtcdSetup
from remediator.practice.resources import of_plural
from tests.simulation.journal import History


class Truth:
    def __init__(self, cluster: PracticeCluster, setup: EtcdSetup, history: History) -> None:
        self._cluster, self._setup, self._history = cluster, setup, history

    def now(self) -> dict[str, Any]:
        servers, main = self._runtime().network.servers, self._main()
        return {
            "pods": {pod["metadata"]["name"]: self._of_pod(pod) for pod in self._pods()},
            "volumes": self.volumes(),
            "replicas": self._setup.replicas,
            "voters": len(main.voters),
            "members": len(main.members),
            "has_leader": bool(main.leader),
            "keys": len(main.keys),
            "wanted_keys": self._setup.keys,
            "clusters": len({id(s.cluster) for s in servers.values() if s.cluster is not None}),
        }

    def is_well(self) -> bool:
        truth = self.now()
        return truth["voters"] == truth["replicas"] and all(pod["votes"] for pod in truth["pods"].values())

    def stored(self, namespace: str | None, plural: str, name: str) -> Manifest:
        """An object of the core API by the words of its path."""
        return self._cluster.api.look(of_plural("v1", plural).resource, namespace or "", name)

    def volumes(self) -> dict[str, str]:
        """Reclaim policy by the claim's uid that each volume belongs to."""
        specs = [volume["spec"] for volume in self._cluster.api.look_at(VOLUME)]
        return {
            spec["claimRef"].get("uid", ""): spec.get("persistentVolumeReclaimPolicy", "Delete")
            for spec in specs
            if spec.get("claimRef")
        }

    async def watch_leader(self) -> None:
        """Note when the members lose their leader, and when they have one again."""
        main, had = self._main(), True
        while True:
            has = bool(main.leader)
            if has != had:
                self._history.note("leader", has=has)
                had = has
            await main.next_move()

    def _pods(self) -> list[Manifest]:
        return list(self._cluster.api.look_at(POD, self._setup.namespace))

    def _of_pod(self, pod: Manifest) -> dict[str, Any]:
        status, main = pod.get("status", {}), self._main()
        server = self._runtime().network.servers.get(status.get("podIP", ""))
        is_member = server is not None and server.cluster is main and server.member in main.members
        votes = is_member and server is not None and not server.is_learner and main.is_connected(server.member)
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))
        return {"uid": pod["metadata"]["uid"], "ready": ready, "votes": votes}

    def _runtime(self) -> SimulatedRuntime:
        runtime = self._cluster.etcd_runtime
        assert isinstance(runtime, SimulatedRuntime)
        return runtime

    def _main(self) -> EtcdCluster:
        """The cluster that was founded first, and should be the only one."""
        return next(iter(self._runtime().network.clusters.values()))
