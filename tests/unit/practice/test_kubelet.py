"""What a node does with containers that run, fail and are stopped, as the API server and the logs show it."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remediator.model.objects import EVENT, POD
from remediator.practice.clocks import LeapingClock
from remediator.practice.cluster import PracticeCluster
from remediator.practice.containers import Act, ScriptedRuntime
from remediator.practice.refusals import ApiError

NAMESPACE = "shop"


def pod(**container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"containers": [{"name": "app", "image": "web:1", **container}]},
    }


NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}, "spec": {}}


@pytest.fixture
async def cluster() -> AsyncIterator[PracticeCluster]:
    numbers = itertools.count()
    async with PracticeCluster(LeapingClock(), lambda word: f"{word}-{next(numbers)}", serve_http=False) as made:
        yield made


def status(cluster: PracticeCluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.pod(NAMESPACE, "web")["status"]["containerStatuses"][0]
    return found


def waits(cluster: PracticeCluster, restarts: int) -> bool:
    statuses = cluster.pod(NAMESPACE, "web")["status"].get("containerStatuses", [])
    return bool(statuses) and statuses[0]["restartCount"] == restarts and "waiting" in statuses[0]["state"]


async def play(cluster: PracticeCluster, *acts: Act, **container: Any) -> None:
    cluster.containers.overrides[NAMESPACE, "web"] = ScriptedRuntime(acts, cluster.clock)
    await cluster.apply([NODE, pod(**container)])


async def test_a_crash_loop_has_the_shape_of_a_real_one(cluster: PracticeCluster) -> None:
    """Code 0 is Completed, and the pod is nevertheless in CrashLoopBackOff, not ready, and Running."""
    await play(cluster, Act(5, 0))

    await cluster.until(lambda: waits(cluster, 2), 120)

    seen, found = status(cluster), cluster.pod(NAMESPACE, "web")
    uid = found["metadata"]["uid"]
    ended = seen["lastState"]["terminated"]
    message = f"back-off 20s restarting failed container=app pod=web_shop({uid})"
    assert seen["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    assert (seen["ready"], seen["started"], seen["restartCount"]) == (False, False, 2)
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert set(ended) == {"exitCode", "reason", "startedAt", "finishedAt", "containerID"}
    assert re.fullmatch(r"containerd://[0-9a-f]{64}", ended["containerID"])
    ready = next(c for c in found["status"]["conditions"] if c["type"] == "Ready")
    assert (found["status"]["phase"], ready["status"], ready["reason"]) == ("Running", "False", "ContainersNotReady")
    assert [e["reason"] for e in cluster.api.list(EVENT, NAMESPACE)] == ["BackOff"]


async def test_the_back_off_doubles_to_five_minutes(cluster: PracticeCluster) -> None:
    """The first restart is at once; then 10, 20, 40, 80, 160 and for ever 300 seconds."""
    said: list[str] = []

    def note(change: str, kind: object, found: dict[str, Any]) -> None:
        for entry in found.get("status", {}).get("containerStatuses", []) if kind == POD else []:
            text = entry["state"].get("waiting", {}).get("message", "").split(" ")
            if text[0] == "back-off" and (not said or said[-1] != text[1]):
                said.append(text[1])

    cluster.api.subscribe(note)
    await play(cluster, Act(1, 1))

    await cluster.until(lambda: waits(cluster, 7), 2000)

    assert said == ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s"]
    assert status(cluster)["lastState"]["terminated"]["reason"] == "Error"


async def test_a_long_run_forgives_earlier_crashes(cluster: PracticeCluster) -> None:
    """After ten minutes of running the next crash is restarted at once."""
    await play(cluster, Act(1, 1), Act(1, 1), Act(1, 1), Act(700, 1), Act(9000, 1))

    await cluster.until(lambda: "startedAt" in status_or_empty(cluster, 4), 2000)

    seen = status(cluster)
    assert (seen["restartCount"], list(seen["state"])) == (4, ["running"])


def status_or_empty(cluster: PracticeCluster, restarts: int) -> dict[str, Any]:
    statuses = cluster.pod(NAMESPACE, "web")["status"].get("containerStatuses", [])
    is_there = statuses and statuses[0]["restartCount"] == restarts
    return dict(statuses[0]["state"].get("running", {})) if is_there else {}


async def test_only_the_last_dead_container_can_be_read(cluster: PracticeCluster) -> None:
    """While a container waits to be restarted, its previous and its current log are the same, of the last run."""
    await play(cluster, Act(1, 1, log=["first"]), Act(1, 1, log=["second"]), Act(1, 1, log=["third"]))

    await cluster.until(lambda: waits(cluster, 2), 120)

    logs = [cluster.kubelet.read(NAMESPACE, "web", "app", previous) for previous in (True, False)]
    assert logs == ["third\n", "third\n"]


async def test_a_running_container_has_its_own_log_and_the_previous_one(cluster: PracticeCluster) -> None:
    """Once it runs again, the two logs differ."""
    await play(cluster, Act(1, 1, log=["first"]), Act(9000, 1, log=["second"]))

    await cluster.until(lambda: bool(status_or_empty(cluster, 1)), 120)

    assert cluster.kubelet.read(NAMESPACE, "web", "app", True) == "first\n"
    assert cluster.kubelet.read(NAMESPACE, "web", "app", False) == "second\n"


async def test_logs_that_are_not_there_are_refused_in_the_real_words(cluster: PracticeCluster) -> None:
    """A container that never ended has no previous log: 400, and the kubelet's sentence."""
    await play(cluster, Act(9000, 0))
    await cluster.until(lambda: bool(status_or_empty(cluster, 0)), 60)

    with pytest.raises(ApiError) as refused:
        cluster.kubelet.read(NAMESPACE, "web", "app", True)

    assert refused.value.status == 400
    assert refused.value.message == 'previous terminated container "app" in pod "web" not found'


async def test_lost_logs_answer_with_a_sentence(cluster: PracticeCluster) -> None:
    """The answer is a success whose text is no log."""
    await play(cluster, Act(1, 1, log=["words"]))
    await cluster.until(lambda: waits(cluster, 1), 60)

    cluster.kubelet.lose_logs(NAMESPACE, "web")

    text = cluster.kubelet.read(NAMESPACE, "web", "app", True)
    assert text == f"unable to retrieve container logs for {status(cluster)['lastState']['terminated']['containerID']}"


async def test_a_kill_for_memory_says_so(cluster: PracticeCluster) -> None:
    """The script's reason is the one that is shown."""
    await play(cluster, Act(1, 137, "OOMKilled"))

    await cluster.until(lambda: waits(cluster, 1), 60)

    ended = status(cluster)["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


async def test_ready_waits_for_the_probe(cluster: PracticeCluster) -> None:
    """A container with a readiness probe is running but not ready until its delay is over and it is healthy."""
    await play(cluster, Act(9000, 0, healthy=True), readinessProbe={"initialDelaySeconds": 60})
    await cluster.until(lambda: bool(status_or_empty(cluster, 0)), 30)

    early = status(cluster)["ready"]
    await cluster.until(lambda: status(cluster)["ready"], 90)

    assert early is False
    assert cluster.clock.monotonic() >= 60


async def test_a_failing_liveness_probe_restarts_the_container(cluster: PracticeCluster) -> None:
    """An unhealthy container is ended, and started again in the same pod."""
    await play(cluster, Act(9000, 0, healthy=False), livenessProbe={"periodSeconds": 10, "failureThreshold": 2})

    await cluster.until(lambda: bool(status_or_empty(cluster, 1)), 120)

    assert status(cluster)["lastState"]["terminated"]["exitCode"] == 137


async def test_a_deleted_pod_goes_when_its_containers_have_ended(cluster: PracticeCluster) -> None:
    """A pod that is waiting in back-off goes too."""
    await play(cluster, Act(1, 1))
    await cluster.until(lambda: waits(cluster, 3), 200)

    cluster.api.delete(POD, NAMESPACE, "web")
    await cluster.until(lambda: not cluster.api.list(POD, NAMESPACE), 60)

    with pytest.raises(ApiError) as refused:
        cluster.kubelet.read(NAMESPACE, "web", "app", True)
    assert refused.value.status == 404


async def test_a_pod_waits_for_a_node(cluster: PracticeCluster) -> None:
    """Without a node nothing runs; a node that comes takes the waiting pod."""
    await cluster.apply([pod()])
    await cluster.clock.sleep(30)
    before = cluster.pod(NAMESPACE, "web")

    await cluster.apply([NODE])
    await cluster.until(lambda: bool(status_or_empty(cluster, 0)), 30)

    assert ("nodeName" in before["spec"], before["status"]["phase"]) == (False, "Pending")
    assert cluster.pod(NAMESPACE, "web")["spec"]["nodeName"] == "a"


async def test_a_pod_waits_for_its_claim(cluster: PracticeCluster) -> None:
    """A container does not start before its claim is bound."""
    mounted = pod()
    mounted["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "files"}}]
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "files", "namespace": NAMESPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    disk = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "disk", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "practice.local/disk",
    }
    await cluster.apply([NODE, mounted])
    await cluster.clock.sleep(30)
    before = status(cluster)["state"]

    await cluster.apply([disk, claim])
    await cluster.until(lambda: bool(status_or_empty(cluster, 0)), 30)

    assert before == {"waiting": {"reason": "ContainerCreating"}}
