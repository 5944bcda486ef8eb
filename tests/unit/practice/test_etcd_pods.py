"""Simulated etcd, through its gateway and through the pods it runs in; the words and ids are those of real ones."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from remediator.clocks import FastClock
from remediator.model.objects import CLAIM, POD, STATEFUL_SET
from remediator.practice import etcd_client
from remediator.practice.clocks import LeapingClock
from remediator.practice.cluster import PracticeCluster
from remediator.practice.etcd_model import cluster_id, member_id
from remediator.practice.etcd_setup import EtcdSetup, manifests
from remediator.practice.scenario_actions import act

NAMESPACE = "milvus"
NAME = "my-release-etcd"
FIRST, SECOND, THIRD = (f"{NAME}-{n}" for n in range(3))
NEW_URL = "http://10.1.2.3:2380"


@pytest.fixture
async def cluster() -> AsyncIterator[PracticeCluster]:
    numbers = itertools.count()
    async with PracticeCluster(LeapingClock(), lambda word: f"{word}-{next(numbers)}", serve_http=False) as made:
        yield made


async def start(cluster: PracticeCluster, **words: Any) -> EtcdSetup:
    """A healthy cluster, installed long ago."""
    setup = EtcdSetup(readiness_delay_seconds=1, **words)
    cluster.etcd_runtime.found([(NAMESPACE, pod) for pod in setup.pods])
    await cluster.apply(manifests(setup, by_address=False))
    await act(cluster, NAMESPACE, {"action": "await-ready", "name": NAME})
    await cluster.clock.sleep(6)
    return setup


async def ask(cluster: PracticeCluster, pod: str, path: str, body: Any) -> tuple[int, Any]:
    return await etcd_client.ask(cluster, NAMESPACE, pod, f"/v3/{path}", body)


async def remove(cluster: PracticeCluster, pod: str, through: str = SECOND) -> int:
    return await etcd_client.remove_member(cluster, NAMESPACE, pod, through)


async def loops(cluster: PracticeCluster, pod: str = FIRST, restarts: int = 2) -> str:
    """Wait for the crash loop; the last words."""
    await act(cluster, NAMESPACE, {"action": "await-crash-loop", "pod": pod, "restarts": restarts})
    return cluster.kubelet.read(NAMESPACE, pod, "etcd", True)


async def renew_disk(cluster: PracticeCluster, pod: str = FIRST) -> None:
    old = cluster.pod(NAMESPACE, pod)["metadata"]["uid"]
    await act(cluster, NAMESPACE, {"action": "lose-disk", "pod": pod})

    def is_new() -> bool:
        found = [p for p in cluster.api.list(POD, NAMESPACE) if p["metadata"]["name"] == pod]
        return bool(found) and found[0]["metadata"]["uid"] != old

    await cluster.until(is_new, 60, what=f"a new {pod}")


def refusal(code: int, message: str) -> dict[str, Any]:
    return {"error": message, "code": code, "message": message}


async def test_ids_are_those_that_a_real_etcd_computes() -> None:
    """The ids that etcd 3.4.23 gave three members with these URLs and the token `tok`."""
    urls = [f"http://127.201.7.{n}:2380" for n in (1, 2, 3)]

    ids = [member_id([url], "tok") for url in urls]

    assert ids == [4575456418104135513, 15880473602674930747, 8326276543849899341]
    assert cluster_id(ids) == 11102975326479800261


async def test_a_healthy_cluster_answers_as_etcd_does(cluster: PracticeCluster) -> None:
    """Numbers of 64 bits are decimal strings, false is left out, and every member names the same leader."""
    await start(cluster)

    _, listed = await ask(cluster, FIRST, "cluster/member/list", {"linearizable": True})
    states = [(await ask(cluster, pod, "maintenance/status", {}))[1] for pod in (FIRST, SECOND, THIRD)]

    assert sorted(m["name"] for m in listed["members"]) == [FIRST, SECOND, THIRD]
    assert all(set(m) == {"ID", "name", "peerURLs", "clientURLs"} for m in listed["members"])
    assert len({s["leader"] for s in states}) == 1
    assert {s["raftAppliedIndex"] for s in states} == {states[0]["raftIndex"]}
    assert states[0]["version"] == "3.5.25"
    assert "errors" not in states[0]
    assert all(isinstance(listed["header"][k], str) for k in ("cluster_id", "member_id", "raft_term"))


async def test_a_removed_member_ends_with_code_0_for_ever(cluster: PracticeCluster) -> None:
    """Its pod loops, its last words name its own id, and the survivors are a healthy cluster of two."""
    await start(cluster)
    gone = await remove(cluster, FIRST)

    log = await loops(cluster)

    ended = cluster.pod(NAMESPACE, FIRST)["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert '"error":"the member has been permanently removed from the cluster"' in log
    assert '"msg":"data-dir used by this member must be removed"' in log
    assert f'"local-member-id":"{gone:x}"' in log
    assert sorted(m["name"] for m in await etcd_client.members(cluster, NAMESPACE, SECOND)) == [SECOND, THIRD]
    assert (await ask(cluster, SECOND, "cluster/member/list", {"linearizable": True}))[0] == 200


async def test_an_empty_disk_and_existing_bring_the_milvus_image_back(cluster: PracticeCluster) -> None:
    """With a new claim the pod adds itself under a new id and has all keys."""
    await start(cluster)
    await etcd_client.put_keys(cluster, NAMESPACE, SECOND, 7, "by-dev/meta/")
    gone = await remove(cluster, FIRST)
    await loops(cluster)

    await renew_disk(cluster)
    await act(cluster, NAMESPACE, {"action": "await-ready", "name": NAME})

    ids = {m["name"]: int(m["ID"]) for m in await etcd_client.members(cluster, NAMESPACE, FIRST)}
    assert set(ids) == {FIRST, SECOND, THIRD}
    assert ids[FIRST] != gone
    assert await etcd_client.count_keys(cluster, NAMESPACE, FIRST, "by-dev/meta/") == 7


async def test_an_empty_disk_and_new_compute_the_same_removed_id(cluster: PracticeCluster) -> None:
    """Deleting the claim alone cures nothing where the state is `new`."""
    await start(cluster, state="new")
    gone = await remove(cluster, FIRST)
    await loops(cluster)

    await renew_disk(cluster)
    log = await loops(cluster)

    assert "permanently removed" in log
    assert f'"local-member-id":"{gone:x}"' in log


async def test_a_lost_disk_of_a_registered_member_is_not_a_removal(cluster: PracticeCluster) -> None:
    """State `new` with an id that is still registered: etcd refuses to start, with code 1."""
    await start(cluster, state="new")

    await renew_disk(cluster)
    log = await loops(cluster)

    ended = cluster.pod(NAMESPACE, FIRST)["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert ended["exitCode"] == 1
    assert "has already been bootstrapped" in log
    assert "permanently removed" not in log


async def test_a_plain_image_needs_exactly_the_registered_members(cluster: PracticeCluster) -> None:
    """Told of three while two are registered, it ends; once it is registered again, it joins."""
    await start(cluster, image="quay.io/coreos/etcd:v3.5.25", hook=False)
    url = next(m["peerURLs"] for m in await etcd_client.members(cluster, NAMESPACE, SECOND) if m["name"] == FIRST)
    await remove(cluster, FIRST)
    await loops(cluster)

    await renew_disk(cluster)
    log = await loops(cluster)
    await ask(cluster, SECOND, "cluster/member/add", {"peerURLs": url})
    await act(cluster, NAMESPACE, {"action": "await-ready", "name": NAME})

    assert "member count is unequal" in log
    assert len(await etcd_client.members(cluster, NAMESPACE, FIRST)) == 3


async def test_the_old_bitnami_hook_removes_the_member(cluster: PracticeCluster) -> None:
    """A graceful end of its pod takes the member out; the next start wipes the disk and adds it again."""
    await start(cluster, image="bitnami/etcd:3.5.9")
    before = {m["name"]: m["ID"] for m in await etcd_client.members(cluster, NAMESPACE, SECOND)}
    old = cluster.pod(NAMESPACE, FIRST)["metadata"]["uid"]

    cluster.api.delete(POD, NAMESPACE, FIRST)
    await cluster.until(lambda: cluster.pod_uid(NAMESPACE, FIRST) not in ("", old), 60)
    await act(cluster, NAMESPACE, {"action": "await-ready", "name": NAME})

    after = {m["name"]: m["ID"] for m in await etcd_client.members(cluster, NAMESPACE, SECOND)}
    assert set(after) == set(before)
    assert after[FIRST] != before[FIRST]


async def test_the_new_bitnami_image_heals_itself(cluster: PracticeCluster) -> None:
    """With enough healthy others it wipes and re-adds itself; nobody has to do anything."""
    await start(cluster, image="bitnami/etcd:3.5.21", state="", hook=False)
    gone = await remove(cluster, FIRST)

    async def is_back() -> bool:
        ids = {m.get("name"): int(m["ID"]) for m in await etcd_client.members(cluster, NAMESPACE, SECOND)}
        return FIRST in ids and ids[FIRST] != gone

    await cluster.until(is_back, 120)
    await act(cluster, NAMESPACE, {"action": "await-ready", "name": NAME})

    assert cluster.api.get(STATEFUL_SET, NAMESPACE, NAME)["status"]["readyReplicas"] == 3


async def test_membership_changes_wait_for_steady_voters(cluster: PracticeCluster) -> None:
    """Within five seconds of a voter's connection they are refused as retryable; then they are taken."""
    await start(cluster)
    await act(cluster, NAMESPACE, {"action": "kill", "pod": THIRD})
    await act(cluster, NAMESPACE, {"action": "wait", "seconds": 2})
    body = {"peerURLs": [NEW_URL], "isLearner": True}

    early = await ask(cluster, SECOND, "cluster/member/add", body)
    await cluster.clock.sleep(6)
    late, made = await ask(cluster, SECOND, "cluster/member/add", body)

    assert early == (503, refusal(14, "etcdserver: unhealthy cluster"))
    assert (late, made["member"]["isLearner"], made["member"]["peerURLs"]) == (200, True, [NEW_URL])
    assert "name" not in made["member"]


async def test_refusals_are_etcds_own(cluster: PracticeCluster) -> None:
    """A second learner, a promotion before it is in sync, an unknown member, a URL that is taken."""
    await start(cluster)
    body = {"peerURLs": [NEW_URL], "isLearner": True}
    _, made = await ask(cluster, SECOND, "cluster/member/add", body)

    second = await ask(cluster, SECOND, "cluster/member/add", {**body, "peerURLs": ["http://10.1.2.4:2380"]})
    promoted = await ask(cluster, SECOND, "cluster/member/promote", {"ID": made["member"]["ID"]})
    unknown = await ask(cluster, SECOND, "cluster/member/remove", {"ID": "77"})
    taken = await ask(cluster, SECOND, "cluster/member/add", {"peerURLs": [NEW_URL]})

    sync = "etcdserver: can only promote a learner member which is in sync with leader"
    assert second == (400, refusal(9, "etcdserver: too many learner members in cluster"))
    assert promoted == (400, refusal(9, sync))
    assert unknown == (404, refusal(5, "etcdserver: member not found"))
    assert taken == (400, refusal(9, "etcdserver: Peer URLs already exists"))


async def test_a_voter_added_to_a_single_survivor_stops_the_cluster(cluster: PracticeCluster) -> None:
    """Quorum is two at once: until the new member is up, even its removal is impossible."""
    await start(cluster)
    await remove(cluster, FIRST, through=THIRD)
    await cluster.clock.sleep(6)
    await remove(cluster, SECOND, through=THIRD)
    await cluster.clock.sleep(6)

    _, made = await ask(cluster, THIRD, "cluster/member/add", {"peerURLs": [NEW_URL]})
    undo = await ask(cluster, THIRD, "cluster/member/remove", {"ID": made["member"]["ID"]})
    local, listed = await ask(cluster, THIRD, "cluster/member/list", {})

    assert undo == (503, refusal(14, "etcdserver: request timed out"))
    assert (local, len(listed["members"])) == (200, 2)


async def test_without_quorum_only_local_reads_answer(cluster: PracticeCluster) -> None:
    """No leader in the status, no linearizable list, an unhealthy /health with its reason; a local list answers."""
    await start(cluster)
    await act(cluster, NAMESPACE, {"action": "cut-off", "pods": [FIRST, SECOND, THIRD]})
    address = cluster.pod(NAMESPACE, FIRST)["status"]["podIP"]

    agreed = await ask(cluster, FIRST, "cluster/member/list", {"linearizable": True})
    local, _ = await ask(cluster, FIRST, "cluster/member/list", {})
    _, state = await ask(cluster, FIRST, "maintenance/status", {})
    health = await cluster.etcd_request(address, "GET", "/health")

    assert agreed == (503, refusal(14, "etcdserver: request timed out"))
    assert local == 200
    assert ("leader" in state, state["errors"]) == (False, ["etcdserver: no leader"])
    assert (health[0], json.loads(health[2])) == (503, {"health": "false", "reason": "RAFT NO LEADER"})


async def test_a_snapshot_is_complete_and_proves_it(cluster: PracticeCluster) -> None:
    """The joined blobs are whole pages and then their SHA-256."""
    await start(cluster)
    await etcd_client.put_keys(cluster, NAMESPACE, FIRST, 500, "by-dev/meta/")
    address = cluster.pod(NAMESPACE, FIRST)["status"]["podIP"]

    status, _, body = await cluster.etcd_request(address, "POST", "/v3/maintenance/snapshot", {})

    results = [json.loads(line)["result"] for line in body.splitlines()]
    data = b"".join(base64.b64decode(r["blob"]) for r in results)
    assert status == 200
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    assert len(data[:-32]) % 4096 == 0
    assert [r.get("remaining_bytes") for r in results][-2:] == [None, None]


async def test_a_raised_alarm_is_told_and_refuses_writes(cluster: PracticeCluster) -> None:
    """NOSPACE is in the alarm list and in the status, and a put is refused."""
    await start(cluster)
    await act(cluster, NAMESPACE, {"action": "raise-alarm", "pod": SECOND, "alarm": "NOSPACE"})

    _, alarms = await ask(cluster, FIRST, "maintenance/alarm", {"action": "GET"})
    put, _ = await ask(cluster, FIRST, "kv/put", {"key": "YQ==", "value": "Yg=="})

    assert [a["alarm"] for a in alarms["alarms"]] == ["NOSPACE"]
    assert put == 429


async def test_killing_all_members_at_once_removes_nobody(cluster: PracticeCluster) -> None:
    """With their data they are the same three members again."""
    await start(cluster)
    before = await etcd_client.members(cluster, NAMESPACE, FIRST)

    for pod in (FIRST, SECOND, THIRD):
        await act(cluster, NAMESPACE, {"action": "kill", "pod": pod})
    await cluster.clock.sleep(20)
    await act(cluster, NAMESPACE, {"action": "await-ready", "name": NAME})

    assert await etcd_client.members(cluster, NAMESPACE, FIRST) == before


async def test_a_retained_volume_keeps_its_member(cluster: PracticeCluster) -> None:
    """The data of a volume that was not erased is still that of the removed member."""
    await start(cluster, reclaim="Retain")
    await remove(cluster, FIRST)
    await loops(cluster)
    volume = cluster.api.get(CLAIM, NAMESPACE, f"data-{FIRST}")["spec"]["volumeName"]

    await renew_disk(cluster)
    await act(cluster, NAMESPACE, {"action": "await-ready", "name": NAME})

    assert volume in cluster.etcd_runtime.network.disks  # type: ignore[attr-defined]  # the simulated one has it


async def test_pods_answer_over_http_at_their_own_addresses() -> None:
    """The gateway listens at each pod's address, and is gone with its pod."""
    numbers = itertools.count()
    async with PracticeCluster(FastClock(20), lambda word: f"{word}-{next(numbers)}") as cluster:
        await start(cluster)
        address = cluster.pod(NAMESPACE, FIRST)["status"]["podIP"]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{address}:2379/health") as reply:
                healthy = (reply.status, await reply.text())
            cluster.api.patch(STATEFUL_SET, NAMESPACE, NAME, {"spec": {"replicas": 0}}, kind="merge")
            await cluster.until(lambda: not cluster.api.list(POD, NAMESPACE), 600)
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://{address}:2379/health")

    assert healthy == (200, '{"health":"true","reason":""}')


async def test_clusters_side_by_side_have_addresses_of_their_own() -> None:
    """Two practice clusters in one process never share a pod address."""
    numbers = itertools.count()
    ids = lambda word: f"{word}-{next(numbers)}"  # noqa: E731 - one line, used twice
    async with PracticeCluster(FastClock(20), ids) as one, PracticeCluster(FastClock(20), ids) as other:
        await start(one, replicas=1)
        await start(other, replicas=1)
        addresses = {c.pod(NAMESPACE, FIRST)["status"]["podIP"] for c in (one, other)}

    assert len(addresses) == 2
    assert all(a.startswith("127.") for a in addresses)
