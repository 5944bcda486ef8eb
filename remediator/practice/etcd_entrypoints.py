"""
What the entrypoint of each image family does with the data it finds, and with none.

In: a container that starts or stops. Out: how it ends. The table of families decides everything: who comes back by
itself, who loops for ever, who waits for the others.
"""

from __future__ import annotations

from remediator.practice import etcd_logs
from remediator.practice.containers import Exit
from remediator.practice.etcd_images import Family
from remediator.practice.etcd_model import EtcdCluster, EtcdRefusal, cluster_id, member_id
from remediator.practice.etcd_pods import EtcdDisk, SimulatedEtcd

KNOCKING_SECONDS = 0.3
"""How long a removed member runs before a peer tells it."""
LOOK_AGAIN_SECONDS = 10.0


async def enter(etcd: SimulatedEtcd) -> Exit:
    """Run the entrypoint and the server to the container's end."""
    disk = etcd.disk
    if disk is not None:
        return await _with_data(etcd, disk)

    pod = (etcd.launch.namespace, etcd.launch.pod_name)
    if pod in etcd.network.founding:
        etcd.network.founding.discard(pod)
        return await _bootstrap(etcd)
    if etcd.spec.family is Family.BITNAMI_NEW:
        if etcd.healthy_others():
            return await _add_itself(etcd)
        return await _bootstrap(etcd)
    if etcd.spec.state == "new":
        return await _bootstrap(etcd)
    if etcd.spec.family is Family.PLAIN:
        return await _join(etcd, etcd.spec.initial_cluster)
    return await _add_itself(etcd)


def before_stop(etcd: SimulatedEtcd) -> None:
    """The hook of the old Bitnami image takes the member out; that of the Milvus fork is empty."""
    others = etcd.healthy_others()
    if etcd.spec.family is not Family.BITNAMI_OLD or not others or etcd.cluster is None or etcd.disk is None:
        return
    try:
        now = etcd.network.clock.monotonic()
        etcd.cluster.remove(etcd.member, asked_of=others[0].member, now=now)
    except EtcdRefusal as refusal:
        etcd.say(f"Error: {refusal.message}")
        return
    etcd.disk.removal_log = True


# --- with data -------------------------------------------------------------------------------------------


async def _with_data(etcd: SimulatedEtcd, disk: EtcdDisk) -> Exit:
    gated = len(etcd.healthy_others()) >= etcd.spec.healthy_others_needed
    is_removed = disk.member in etcd.network.clusters[disk.cluster].removed
    if etcd.spec.family is Family.BITNAMI_OLD and gated and disk.removal_log:
        return await _wipe_and_add(etcd)
    if etcd.spec.family is Family.BITNAMI_OLD and gated and is_removed:
        etcd.say("Error: etcdserver: member not found")
        return Exit(1)
    if etcd.spec.family is Family.BITNAMI_NEW and gated and is_removed:
        await _resume(etcd, disk)
        return await _wipe_and_add(etcd)
    if etcd.spec.family is Family.BITNAMI_NEW and is_removed:
        etcd.say("etcd INFO  ==> Cluster not responding!")
        etcd.say("etcd WARN  ==> Disaster recovery is disabled, the cluster will try to recover on it's own")
    return await _resume(etcd, disk)


async def _wipe_and_add(etcd: SimulatedEtcd) -> Exit:
    etcd.say("etcd INFO  ==> Removing data of a member that is no longer part of the cluster")
    etcd.network.erase(etcd.volume)
    return await _add_itself(etcd)


async def _resume(etcd: SimulatedEtcd, disk: EtcdDisk) -> Exit:
    """Start with the data: the same member as ever, and its end if a peer can tell it that it was removed."""
    cluster, clock = etcd.network.clusters[disk.cluster], etcd.network.clock
    index = cluster.applied_by(disk.member, clock.monotonic())
    etcd.say(etcd_logs.initialized(clock.now(), etcd.spec.data_dir))
    etcd.say(etcd_logs.restarting(clock.now(), cluster.id, disk.member, index))
    if disk.member in cluster.removed and _peers(etcd, cluster):
        await clock.sleep(KNOCKING_SECONDS)
        return etcd.farewell(cluster, disk.member)
    return await etcd.serve(cluster, disk.member)


def _peers(etcd: SimulatedEtcd, cluster: EtcdCluster) -> list[SimulatedEtcd]:
    return [s for s in etcd.network.servers.values() if s.cluster is cluster and s is not etcd]


# --- without data ----------------------------------------------------------------------------------------


async def _bootstrap(etcd: SimulatedEtcd) -> Exit:
    """State `new`: found the cluster, or turn out to be a member it has already had."""
    spec, network = etcd.spec, etcd.network
    if spec.name not in spec.initial_cluster:
        text = f'couldn\'t find local name "{spec.name}" in the initial cluster configuration'
        return _fatal(etcd, text)
    own = member_id([spec.initial_cluster[spec.name]], spec.token)
    identity = cluster_id(member_id([url], spec.token) for url in spec.initial_cluster.values())
    cluster = network.clusters.get(identity)
    if cluster is None:
        cluster = network.clusters[identity] = EtcdCluster.found(spec.initial_cluster, spec.token)
    registered = cluster.members.get(own)
    if registered is not None and registered.is_started and _peers(etcd, cluster):
        return _fatal(etcd, f"member {own:x} has already been bootstrapped")
    etcd.say(etcd_logs.starting(network.clock.now(), cluster.id, own))
    if own in cluster.removed:
        network.disks[etcd.volume] = EtcdDisk(cluster.id, own)
        return await _resume(etcd, network.disks[etcd.volume])
    return await etcd.serve(cluster, own)


async def _join(etcd: SimulatedEtcd, initial: dict[str, str]) -> Exit:
    """State `existing`: the members it is told about must be exactly the registered ones."""
    found = etcd.network.at_peer_urls(set(initial.values()) - {etcd.spec.peer_url})
    cluster = found[0].cluster if found else None
    if cluster is None:
        text = "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs"
        return _fatal(etcd, text)
    registered = {url: m for m in cluster.members.values() for url in m.peer_urls}
    if len(initial) != len(cluster.members):
        return _fatal(etcd, f"error validating peerURLs {_members_text(cluster)}: member count is unequal")
    if set(initial.values()) != set(registered):
        return _fatal(
            etcd, f"error validating peerURLs {_members_text(cluster)}: unmatched member while checking PeerURLs"
        )
    own = registered[etcd.spec.peer_url]
    if own.is_started:
        etcd.say("panic: tocommit is out of range [lastIndex(0)]. Was the raft log corrupted, truncated, or lost?")
        return Exit(2)
    etcd.say(etcd_logs.starting(etcd.network.clock.now(), cluster.id, own.id))
    return await etcd.serve(cluster, own.id)


async def _add_itself(etcd: SimulatedEtcd) -> Exit:
    """What M and the Bitnami images do with an empty disk: register as a voter through a healthy endpoint."""
    if etcd.spec.family is Family.BITNAMI_OLD:
        await _wait_for_healthy_others(etcd)
    others = etcd.healthy_others()
    if not others or others[0].cluster is None:
        etcd.say("etcd WARN  ==> No active endpoints in cluster, wait 10s, and restart the pod")
        await etcd.network.clock.sleep(LOOK_AGAIN_SECONDS)
        return Exit(1)
    door, cluster = others[0], others[0].cluster
    try:
        initial = _register(etcd, door, cluster)
    except EtcdRefusal as refusal:
        etcd.say(f"Error: {refusal.message}")
        return Exit(1)
    return await _join(etcd, initial)


async def _wait_for_healthy_others(etcd: SimulatedEtcd) -> None:
    while len(etcd.healthy_others()) < etcd.spec.healthy_others_needed:
        etcd.say("etcd WARN  ==> Cluster not healthy, not adding self to cluster for now, keeping trying...")
        await etcd.network.clock.sleep(LOOK_AGAIN_SECONDS)


def _register(etcd: SimulatedEtcd, door: SimulatedEtcd, cluster: EtcdCluster) -> dict[str, str]:
    """Add this pod's URL; answers the initial cluster to start with."""
    now, url = etcd.network.clock.monotonic(), etcd.spec.peer_url
    before = next((m for m in cluster.members.values() if url in m.peer_urls), None)
    if before is not None and etcd.spec.family is not Family.BITNAMI_NEW:
        etcd.say("Env file not found. If it's not an initial member, fix mannually by [etcdctl remove <id>]")
        return etcd.spec.initial_cluster
    if before is not None:
        cluster.remove(before.id, asked_of=door.member, now=now)
    wall = int(etcd.network.clock.now().timestamp())
    cluster.add((url,), is_learner=False, now=now, wall=wall)
    return {m.name or etcd.spec.name: m.peer_urls[0] for m in cluster.members.values()}


def _fatal(etcd: SimulatedEtcd, error: str) -> Exit:
    etcd.say(etcd_logs.discovery_failed(etcd.network.clock.now(), error))
    return Exit(1)


def _members_text(cluster: EtcdCluster) -> str:
    listed = " ".join(
        f"&{{ID:{m.id:x} RaftAttributes:{{PeerURLs:[{' '.join(m.peer_urls)}] IsLearner:{str(m.is_learner).lower()}}} "
        f"Attributes:{{Name:{m.name} ClientURLs:[{' '.join(m.client_urls)}]}}}}"
        for m in cluster.members.values()
    )
    gone = " ".join(f"{i:x}" for i in cluster.removed)
    return f"{{ClusterID:{cluster.id:x} Members:[{listed}] RemovedMemberIDs:[{gone}]}}"
