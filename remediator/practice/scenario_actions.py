"""
The actions a scenario's `fault` may list, by name.

In: a practice cluster, the scenario's namespace and the action's words. Out: a cluster that is broken in one more way,
or the moment at which a break has become visible. An action that the cluster cannot do raises, and says why.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from remediator.model.objects import CLAIM, POD, STATEFUL_SET
from remediator.practice import etcd_client
from remediator.practice.cluster import PracticeCluster
from remediator.practice.containers import Act, ScriptedRuntime
from remediator.practice.etcd_model import EtcdCluster
from remediator.practice.etcd_pods import EtcdDisk, EtcdNetwork
from remediator.practice.etcd_runtime import SimulatedRuntime
from remediator.practice.refusals import ApiError
from remediator.practice.resources import of_kind

Words = Mapping[str, Any]
PATIENCE = 300.0
"""Seconds of the cluster's clock for a fault to show."""


class UnknownAction(ValueError):
    """A scenario names an action that does not exist, or leaves out a word it needs."""


async def act(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    name = str(words.get("action", ""))
    if name not in ACTIONS:
        raise UnknownAction(f'there is no action "{name}"; there are {", ".join(sorted(ACTIONS))}')
    try:
        await ACTIONS[name](cluster, namespace, words)
    except KeyError as missing:
        raise UnknownAction(f'action "{name}" needs the word {missing}') from missing


# --- etcd ------------------------------------------------------------------------------------------------


async def _remove_member(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    await etcd_client.remove_member(cluster, namespace, words["pod"], words["through"])


async def _put_keys(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    await etcd_client.put_keys(cluster, namespace, words["pod"], words["count"], words.get("prefix", "by-dev/meta/"))


async def _cut_off(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    etcd = _network(cluster)
    servers = [etcd.servers[cluster.pod(namespace, pod)["status"]["podIP"]] for pod in words["pods"]]
    for server in servers:
        if server.cluster is not None:
            server.cluster.isolate([server.member])


async def _raise_alarm(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    server = _network(cluster).servers[cluster.pod(namespace, words["pod"])["status"]["podIP"]]
    if server.cluster is not None:
        server.cluster.alarms[server.member] = words["alarm"]


async def _give_other_cluster(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    """The pod's volume holds the data of a cluster of one, as after a restore beside the old members."""
    network, pod = _network(cluster), words["pod"]
    server = network.servers[cluster.pod(namespace, pod)["status"]["podIP"]]
    other = EtcdCluster.found({pod: server.spec.peer_url}, words.get("token", "restored"))
    network.clusters[other.id] = other
    network.disks[server.volume] = EtcdDisk(other.id, next(iter(other.members)))
    await cluster.kubelet.worker(namespace, pod).kill()
    await cluster.until(lambda: _serves(cluster, namespace, pod), PATIENCE, what=f"{pod} serving another cluster")


def _serves(cluster: PracticeCluster, namespace: str, pod: str) -> bool:
    return cluster.pod(namespace, pod)["status"].get("podIP") in _network(cluster).servers


def _network(cluster: PracticeCluster) -> EtcdNetwork:
    runtime = cluster.etcd_runtime
    if not isinstance(runtime, SimulatedRuntime):
        raise UnknownAction("this action needs simulated etcd: real processes share one loopback network")
    return runtime.network


# --- pods ------------------------------------------------------------------------------------------------


async def _script(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    """From its next start on, the pod's container does what the script says; it starts now."""
    acts = [
        Act(r.get("run_for", 1), r["exit_code"], r.get("reason", ""), tuple(r.get("log", ())), r.get("healthy", False))
        for r in words["runs"]
    ]
    runtime = ScriptedRuntime(acts, cluster.clock, cycle=words.get("repeat", "all") == "all")
    cluster.containers.overrides[namespace, words["pod"]] = runtime
    await cluster.kubelet.worker(namespace, words["pod"]).kill()


async def _lose_logs(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    cluster.kubelet.lose_logs(namespace, words["pod"])


async def _kill(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    await cluster.kubelet.worker(namespace, words["pod"]).kill()


async def _delete_pod(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    cluster.api.delete(POD, namespace, words["pod"])


async def _lose_disk(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    """Claim and pod are deleted, and the data with them; the controller makes both anew."""
    claim = f"data-{words['pod']}"
    cluster.api.delete(CLAIM, namespace, claim)
    cluster.api.delete(POD, namespace, words["pod"])


async def _patch(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    resource = of_kind(words.get("api_version", "apps/v1"), words["kind"]).resource
    where = namespace if resource.namespaced else ""
    kind = words.get("type", "merge")
    sub = words.get("subresource", "")
    cluster.api.patch(resource, where, words["name"], words["body"], kind=kind, subresource=sub)


# --- waiting ---------------------------------------------------------------------------------------------


async def _wait(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    await cluster.clock.sleep(words["seconds"])


async def _await_crash_loop(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    pod, restarts = words["pod"], words.get("restarts", 2)
    what = f"{pod} in CrashLoopBackOff after {restarts} restarts"
    await cluster.until(lambda: _loops(cluster, namespace, pod, restarts), PATIENCE, what=what)


def _loops(cluster: PracticeCluster, namespace: str, pod: str, restarts: int) -> bool:
    try:
        statuses = cluster.pod(namespace, pod).get("status", {}).get("containerStatuses", ())
    except ApiError:
        return False
    return any(
        s["restartCount"] >= restarts and s["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
        for s in statuses
    )


async def _await_not_ready(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    await cluster.until(
        lambda: not cluster.api.look(STATEFUL_SET, namespace, words["name"])["status"].get("readyReplicas"),
        PATIENCE,
        what=f"no pod of {words['name']} ready",
    )


async def _await_ready(cluster: PracticeCluster, namespace: str, words: Words) -> None:
    def is_ready() -> bool:
        found = cluster.api.look(STATEFUL_SET, namespace, words["name"])
        return bool(found["status"].get("readyReplicas") == found["spec"]["replicas"])

    await cluster.until(is_ready, PATIENCE, what=f"all pods of {words['name']} ready")


ACTIONS: Mapping[str, Callable[[PracticeCluster, str, Words], Awaitable[None]]] = {
    "remove-member": _remove_member,
    "put-keys": _put_keys,
    "cut-off": _cut_off,
    "raise-alarm": _raise_alarm,
    "give-other-cluster": _give_other_cluster,
    "script": _script,
    "lose-logs": _lose_logs,
    "kill": _kill,
    "delete-pod": _delete_pod,
    "lose-disk": _lose_disk,
    "patch": _patch,
    "wait": _wait,
    "await-crash-loop": _await_crash_loop,
    "await-not-ready": _await_not_ready,
    "await-ready": _await_ready,
}
