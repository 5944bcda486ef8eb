"""The StatefulSet and volume controllers, on a practice cluster whose time leaps and which opens no socket."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remediator.model.objects import CLAIM, EVENT, POD, STATEFUL_SET, VOLUME
from remediator.practice.clocks import LeapingClock
from remediator.practice.cluster import PracticeCluster
from remediator.practice.refusals import ApiError

NAMESPACE = "shop"


def node(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}}


def storage_class(reclaim: str) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "disk", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "practice.local/disk",
        "reclaimPolicy": reclaim,
    }


def stateful_set(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db:1"}]}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": NAMESPACE},
        "spec": {
            "replicas": 3,
            "podManagementPolicy": "Parallel",
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": template,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
            **spec,
        },
    }


@pytest.fixture
async def cluster() -> AsyncIterator[PracticeCluster]:
    numbers = itertools.count()
    async with PracticeCluster(LeapingClock(), lambda word: f"{word}-{next(numbers)}", serve_http=False) as made:
        yield made


def pods(cluster: PracticeCluster) -> dict[str, dict[str, Any]]:
    return {p["metadata"]["name"]: p for p in cluster.api.list(POD, NAMESPACE)}


def ready(cluster: PracticeCluster) -> int:
    status = cluster.api.get(STATEFUL_SET, NAMESPACE, "db")["status"]
    return int(status.get("readyReplicas", 0))


async def renewed(cluster: PracticeCluster, name: str, old: str) -> None:
    """Wait until another pod of that name is there and all are ready."""

    def is_renewed() -> bool:
        pod = pods(cluster).get(name)
        return pod is not None and pod["metadata"]["uid"] != old and ready(cluster) == 3

    await cluster.until(is_renewed, 120, what=f"a new {name}")


async def start(cluster: PracticeCluster, reclaim: str = "Delete", **spec: Any) -> None:
    await cluster.apply([node("a"), node("b"), storage_class(reclaim), stateful_set(**spec)])
    await cluster.until(lambda: ready(cluster) == spec.get("replicas", 3), 120, what="all pods ready")


async def test_pods_and_claims_are_named_by_ordinal_and_owned(cluster: PracticeCluster) -> None:
    """Each ordinal has its pod, with owner, labels and mount, and its claim, bound to a volume of its own."""
    await start(cluster)

    owner = cluster.api.get(STATEFUL_SET, NAMESPACE, "db")
    pod = pods(cluster)["db-1"]
    claims = cluster.api.list(CLAIM, NAMESPACE)

    assert list(pods(cluster)) == ["db-0", "db-1", "db-2"]
    assert pod["metadata"]["labels"] == {
        "app": "db",
        "statefulset.kubernetes.io/pod-name": "db-1",
        "controller-revision-hash": owner["status"]["updateRevision"],
        "apps.kubernetes.io/pod-index": "1",
    }
    assert pod["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "name": "db",
            "uid": owner["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}} in pod["spec"]["volumes"]
    assert [(c["metadata"]["name"], c["status"]["phase"]) for c in claims] == [
        ("data-db-0", "Bound"),
        ("data-db-1", "Bound"),
        ("data-db-2", "Bound"),
    ]
    assert len({c["spec"]["volumeName"] for c in claims}) == 3


async def test_the_status_counts_what_there_is(cluster: PracticeCluster) -> None:
    """A StatefulSet whose pods are all ready has equal counts and one revision."""
    await start(cluster)

    status = cluster.api.get(STATEFUL_SET, NAMESPACE, "db")["status"]

    counts = {k: v for k, v in status.items() if k.endswith("eplicas")}
    assert counts == dict.fromkeys(
        ("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"), 3
    )
    assert status["currentRevision"] == status["updateRevision"]
    assert status["observedGeneration"] == 1


async def test_ordered_pods_wait_for_those_before_them(cluster: PracticeCluster) -> None:
    """With OrderedReady no pod is made before its predecessor is ready."""
    slow = {"name": "db", "image": "db:1", "readinessProbe": {"initialDelaySeconds": 30}}
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [slow]}}
    await cluster.apply([node("a"), storage_class("Delete")])
    await cluster.apply([stateful_set(podManagementPolicy="OrderedReady", template=template)])

    await cluster.until(lambda: "db-0" in pods(cluster), 10)
    await cluster.clock.sleep(20)
    early = list(pods(cluster))
    await cluster.until(lambda: ready(cluster) == 3, 200)

    assert early == ["db-0"]
    assert list(pods(cluster)) == ["db-0", "db-1", "db-2"]


async def test_a_deleted_claim_and_pod_come_back_as_new_ones(cluster: PracticeCluster) -> None:
    """A claim in use waits for its pod; then both are made anew, after the Event that real clusters show."""
    await start(cluster)
    old_pod = pods(cluster)["db-0"]["metadata"]["uid"]
    old_claim = cluster.api.get(CLAIM, NAMESPACE, "data-db-0")

    cluster.api.delete(CLAIM, NAMESPACE, "data-db-0")
    waiting = cluster.api.get(CLAIM, NAMESPACE, "data-db-0")
    cluster.api.delete(POD, NAMESPACE, "db-0")
    await renewed(cluster, "db-0", old_pod)

    assert "deletionTimestamp" in waiting["metadata"]
    assert waiting["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert waiting["status"]["phase"] == "Bound"
    new_claim = cluster.api.get(CLAIM, NAMESPACE, "data-db-0")
    assert new_claim["metadata"]["uid"] != old_claim["metadata"]["uid"]
    assert pods(cluster)["db-0"]["metadata"]["uid"] != old_pod
    told = [e["note"] for e in cluster.api.list(EVENT, NAMESPACE) if e["reason"] == "FailedCreate"]
    assert told == ["create Pod db-0 in StatefulSet db failed error: pvc data-db-0 is being deleted"]


@pytest.mark.parametrize(("reclaim", "left"), [("Retain", "Released"), ("Delete", "")])
async def test_the_reclaim_policy_decides_about_the_old_volume(
    cluster: PracticeCluster, reclaim: str, left: str
) -> None:
    """A retained volume is Released and stays; any other goes with its claim."""
    await start(cluster, reclaim)
    volume = cluster.api.get(CLAIM, NAMESPACE, "data-db-0")["spec"]["volumeName"]
    old = pods(cluster)["db-0"]["metadata"]["uid"]

    cluster.api.delete(CLAIM, NAMESPACE, "data-db-0")
    cluster.api.delete(POD, NAMESPACE, "db-0")
    await renewed(cluster, "db-0", old)

    phases = {v["metadata"]["name"]: v["status"]["phase"] for v in cluster.api.list(VOLUME)}
    assert phases.get(volume, "") == left
    assert sorted(phases.values()).count("Bound") == 3


async def test_scaling_down_ends_the_highest_and_keeps_their_claims(cluster: PracticeCluster) -> None:
    """Only surplus ordinals end, and no claim does."""
    await start(cluster)
    kept = pods(cluster)["db-0"]["metadata"]["uid"]

    cluster.api.patch(STATEFUL_SET, NAMESPACE, "db", {"spec": {"replicas": 1}}, kind="merge")
    await cluster.until(lambda: list(pods(cluster)) == ["db-0"], 120)

    assert pods(cluster)["db-0"]["metadata"]["uid"] == kept
    assert len(cluster.api.list(CLAIM, NAMESPACE)) == 3


NEW_TEMPLATE = {"spec": {"template": {"metadata": {"annotations": {"changed": "yes"}}}}}


async def test_a_new_template_rolls_from_the_highest_ordinal(cluster: PracticeCluster) -> None:
    """RollingUpdate replaces one pod at a time, and the current revision moves only at the end."""
    await start(cluster)
    before = {name: p["metadata"]["uid"] for name, p in pods(cluster).items()}
    revision = cluster.api.get(STATEFUL_SET, NAMESPACE, "db")["status"]["currentRevision"]
    gone: list[str] = []
    cluster.api.subscribe(
        lambda change, kind, found: (
            gone.append(found["metadata"]["name"]) if (change, kind) == ("DELETED", POD) else None
        )
    )

    cluster.api.patch(STATEFUL_SET, NAMESPACE, "db", NEW_TEMPLATE, kind="merge")
    await cluster.until(lambda: len(gone) == 3 and ready(cluster) == 3, 300)

    status = cluster.api.get(STATEFUL_SET, NAMESPACE, "db")["status"]
    assert gone == ["db-2", "db-1", "db-0"]
    assert all(p["metadata"]["uid"] != before[name] for name, p in pods(cluster).items())
    assert status["currentRevision"] == status["updateRevision"] != revision


async def test_on_delete_changes_only_pods_that_are_deleted(cluster: PracticeCluster) -> None:
    """With OnDelete a new template touches no running pod, and the next new pod has it."""
    await start(cluster, updateStrategy={"type": "OnDelete"})
    before = {name: p["metadata"]["uid"] for name, p in pods(cluster).items()}

    cluster.api.patch(STATEFUL_SET, NAMESPACE, "db", NEW_TEMPLATE, kind="merge")
    await cluster.clock.sleep(60)
    untouched = {name: p["metadata"]["uid"] for name, p in pods(cluster).items()}
    cluster.api.delete(POD, NAMESPACE, "db-1")
    await renewed(cluster, "db-1", before["db-1"])

    changed = [name for name, p in pods(cluster).items() if "annotations" in p["metadata"]]
    assert untouched == before
    assert changed == ["db-1"]


async def test_a_claim_may_take_back_a_retained_volume(cluster: PracticeCluster) -> None:
    """A claim that names a volume without a holder is bound to exactly that one."""
    await start(cluster, "Retain")
    volume = cluster.api.get(CLAIM, NAMESPACE, "data-db-0")["spec"]["volumeName"]
    cluster.api.delete(STATEFUL_SET, NAMESPACE, "db")
    for name in pods(cluster):
        cluster.api.delete(POD, NAMESPACE, name)
    cluster.api.delete(CLAIM, NAMESPACE, "data-db-0")
    await cluster.until(lambda: cluster.api.get(VOLUME, "", volume)["status"]["phase"] == "Released", 60)

    cluster.api.patch(VOLUME, "", volume, {"spec": {"claimRef": None}}, kind="merge")
    spec = {"accessModes": ["ReadWriteOnce"], "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}}
    await cluster.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data-db-0", "namespace": NAMESPACE},
                "spec": spec,
            }
        ]
    )
    await cluster.until(lambda: cluster.api.get(CLAIM, NAMESPACE, "data-db-0")["status"]["phase"] == "Bound", 60)

    assert cluster.api.get(VOLUME, "", volume)["status"]["phase"] == "Bound"
    with pytest.raises(ApiError):
        cluster.api.get(STATEFUL_SET, NAMESPACE, "db")
