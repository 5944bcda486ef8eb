"""From labels to the one StatefulSet, and every refusal on the way."""

from __future__ import annotations

from typing import Any

import pytest

from remediator.model.errors import Forbidden, Temporary
from remediator.model.objects import STATEFUL_SET
from remediator.model.systems import Located, NotLocated
from remediator.model.verdicts import Reason
from remediator.systems.etcd.locating import locate


async def found(etcd: Any, **labels: str) -> Located | NotLocated:
    return await locate(etcd.read(), {"namespace": "milvus", **labels})


async def refused(etcd: Any, **labels: str) -> tuple[Reason, str]:
    answer = await found(etcd, **labels)
    assert isinstance(answer, NotLocated)
    return answer.reason, answer.detail


def edit_set(etcd: Any, **changes: Any) -> None:
    """Change the StatefulSet's metadata."""
    live = etcd.cluster.now(etcd.set)
    live["metadata"].update(changes)
    etcd.cluster.put(STATEFUL_SET, live)


@pytest.mark.parametrize(
    "labels",
    [
        {"pod": "my-etcd-0"},
        {"pod": "my-etcd-2", "container": "etcd", "job": "kube-state-metrics"},
        {"statefulset": "my-etcd"},
        {"job": "milvus/my-etcd"},
        {"job": "my-etcd"},
        {"pod": "", "statefulset": "my-etcd", "job": "kube-state-metrics"},
    ],
)
async def test_a_pod_a_statefulset_or_a_scrape_job_names_the_target(etcd, labels):
    """Exactly the live StatefulSet, with its uid."""
    assert await found(etcd, **labels) == Located(etcd.set)


async def test_the_uid_of_the_alerts_pod_must_be_the_live_ones(etcd):
    """A pod made anew since the alert is not the one that was sick."""
    assert await found(etcd, pod="my-etcd-0", uid=etcd.pods[0].uid) == Located(etcd.set)
    assert await refused(etcd, pod="my-etcd-0", uid="old") == (
        Reason.TARGET_CHANGED,
        "pod milvus/my-etcd-0 was made anew since the alert: uid old is gone",
    )


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"pod": "my-etcd-9"}, "there is no pod milvus/my-etcd-9"),
        ({"statefulset": "other"}, "there is no StatefulSet milvus/other"),
        ({"job": "kube-state-metrics"}, "there is no StatefulSet milvus/kube-state-metrics"),
        ({"pod": "my-etcd-0", "namespace": "other"}, "there is no pod other/my-etcd-0"),
        ({}, "neither a pod, a statefulset nor a job label names an object: ''"),
        ({"job": "milvus/"}, "neither a pod, a statefulset nor a job label names an object: ''"),
    ],
)
async def test_what_is_not_there_is_not_found(etcd, labels, told):
    """No guess at a similar name."""
    assert await refused(etcd, **labels) == (Reason.TARGET_NOT_FOUND, told)


@pytest.mark.parametrize("label", ["pod", "statefulset", "job"])
@pytest.mark.parametrize("name", ["../..", "..", "%2e%2e", "my-etcd?x", "MY-ETCD", "a\x00b", "m\u2024y", "a" * 254])
async def test_what_is_no_name_is_never_asked_for(etcd, label, name):
    """The cluster hears nothing of it, and the detail shows no control character and not all of it."""
    etcd.cluster.fail("get", AssertionError("the cluster was asked"))

    reason, detail = await refused(etcd, **{label: name})

    assert reason is Reason.TARGET_NOT_FOUND
    assert detail.isprintable()
    assert len(detail) < 200


async def test_kubernetes_own_etcd_is_not_covered(etcd):
    """Wherever somebody runs it."""
    etcd.change_pod(0, lambda pod: pod["metadata"]["labels"].update(tier="control-plane"))

    assert await refused(etcd, pod="my-etcd-0") == (
        Reason.TARGET_NOT_COVERED,
        "pod milvus/my-etcd-0 is Kubernetes' own etcd",
    )


@pytest.mark.parametrize(
    ("owners", "kind"),
    [
        ([{"kind": "ReplicaSet", "name": "etcd-1", "uid": "u", "controller": True}], "ReplicaSet"),
        ([{"kind": "Node", "name": "n", "uid": "u", "controller": True}], "Node"),
        ([{"kind": "StatefulSet", "name": "my-etcd", "uid": "u"}], "nothing"),
        ([], "nothing"),
    ],
)
async def test_a_pod_that_no_statefulset_controls_is_not_covered(etcd, owners, kind):
    """A Deployment's pod, a node's own, one that is merely referred to, and one by itself."""
    etcd.change_pod(0, lambda pod: pod["metadata"].update(ownerReferences=owners))

    assert await refused(etcd, pod="my-etcd-0") == (
        Reason.TARGET_NOT_COVERED,
        f"pod milvus/my-etcd-0 is owned by {kind}, not a StatefulSet",
    )


async def test_a_statefulset_of_the_owners_name_that_is_another_is_refused(etcd):
    """The pod's owner was deleted and made anew; the pod is an orphan of the old one."""
    etcd.cluster.take(etcd.set)
    etcd.put_set()

    assert await refused(etcd, pod="my-etcd-0") == (
        Reason.TARGET_CHANGED,
        "StatefulSet milvus/my-etcd is not the one that owns the pod",
    )


async def test_an_owner_that_is_gone_is_not_found(etcd):
    """Its pods outlive it for a while."""
    etcd.cluster.take(etcd.set)

    assert await refused(etcd, pod="my-etcd-0") == (
        Reason.TARGET_NOT_FOUND,
        "there is no StatefulSet milvus/my-etcd",
    )


@pytest.mark.parametrize("labels", [{"pod": "my-etcd-0"}, {"statefulset": "my-etcd"}, {"job": "milvus/my-etcd"}])
async def test_an_operators_statefulset_is_left_to_its_operator(etcd, labels):
    """Whichever label named it."""
    edit_set(etcd, ownerReferences=[{"kind": "EtcdCluster", "name": "prod", "uid": "u"}])

    assert await refused(etcd, **labels) == (
        Reason.TARGET_NOT_COVERED,
        "StatefulSet my-etcd belongs to EtcdCluster prod: its operator cures it",
    )


async def test_a_statefulset_that_is_being_deleted_is_left_alone(etcd):
    """Somebody has decided."""
    edit_set(etcd, deletionTimestamp="2026-11-20T12:00:00Z")

    assert await refused(etcd, statefulset="my-etcd") == (
        Reason.TARGET_NOT_COVERED,
        "StatefulSet my-etcd is being deleted",
    )


@pytest.mark.parametrize("containers", [[], [{"name": "redis"}], [{"name": "etcd-exporter"}]])
async def test_a_statefulset_without_an_etcd_container_is_not_covered(etcd, containers):
    """A job label may name anything."""
    etcd.put_set(template={"spec": {"containers": containers}})

    assert await refused(etcd, job="milvus/my-etcd") == (
        Reason.TARGET_NOT_COVERED,
        "StatefulSet my-etcd has no container called etcd",
    )


@pytest.mark.parametrize("error", [Temporary("busy"), Forbidden("no")])
@pytest.mark.parametrize("labels", [{"pod": "my-etcd-0"}, {"statefulset": "my-etcd"}])
async def test_an_api_server_that_does_not_answer_is_not_an_absence(etcd, error, labels):
    """The error goes up; nothing is `not found` because nobody could look."""
    etcd.cluster.fail("get", error)

    with pytest.raises(type(error)):
        await found(etcd, **labels)
