"""The practice cluster with real etcd processes: the same scenario, and words that etcd itself has written."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from remediator.clocks import FastClock
from remediator.model.objects import CLAIM, POD
from remediator.practice import etcd_client
from remediator.practice.cluster import PracticeCluster
from remediator.practice.scenario_actions import act
from remediator.practice.scenarios import PREFIX, load, play

pytestmark = pytest.mark.real("etcd")
SCENARIO = load(Path(__file__).parents[2] / "rules" / "etcd" / "tests" / "etcd-member-removed.yaml")
FIRST, SECOND = "my-release-etcd-0", "my-release-etcd-1"


def processes(folder: Path) -> list[str]:
    """Ids of the processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if f"--data-dir={folder}".encode() in words:
            found.append(entry.parent.name)
    return found


async def test_a_really_removed_member_loops_and_comes_back_on_an_empty_disk(tmp_path: Path) -> None:
    """
    Real etcd ends with code 0 and the sheet's words; after its claim and pod are replaced it has every key again,
    under a new id; and no process outlives the cluster.
    """
    numbers = itertools.count()
    ids = lambda word: f"{word}-{next(numbers)}"  # noqa: E731 - one line, used once
    async with PracticeCluster(FastClock(3), ids, etcd="real", data_dir=tmp_path) as cluster:
        await play(SCENARIO, cluster)
        ended = cluster.pod("milvus", FIRST)["status"]["containerStatuses"][0]["lastState"]["terminated"]
        log = cluster.kubelet.read("milvus", FIRST, "etcd", True)
        survivors = await etcd_client.members(cluster, "milvus", SECOND)
        claim = cluster.api.get(CLAIM, "milvus", f"data-{FIRST}")
        volume = tmp_path / "volumes" / claim["spec"]["volumeName"]
        had_data = volume.exists()
        old = cluster.pod_uid("milvus", FIRST)

        await act(cluster, "milvus", {"action": "lose-disk", "pod": FIRST})
        await cluster.until(lambda: cluster.pod_uid("milvus", FIRST) not in ("", old), 60)
        await act(cluster, "milvus", {"action": "await-ready", "name": "my-release-etcd"})
        members = {m["name"]: m["ID"] for m in await etcd_client.members(cluster, "milvus", FIRST)}
        keys = await etcd_client.count_keys(cluster, "milvus", FIRST, PREFIX)
        running = len(processes(tmp_path))

    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert '"error":"the member has been permanently removed from the cluster"' in log
    assert '"msg":"data-dir used by this member must be removed"' in log
    assert sorted(m["name"] for m in survivors) == [SECOND, "my-release-etcd-2"]
    assert (had_data, volume.exists()) == (True, False)
    assert set(members) == {FIRST, SECOND, "my-release-etcd-2"}
    assert keys == 20
    assert (running, processes(tmp_path)) == (3, [])


async def test_a_plain_image_joins_as_a_learner_and_is_promoted(tmp_path: Path) -> None:
    """Added as a learner first, a plain image on an empty disk joins, is not ready, and is ready once promoted."""
    numbers = itertools.count()
    ids = lambda word: f"{word}-{next(numbers)}"  # noqa: E731 - one line, used once
    plain = load(SCENARIO_PLAIN)
    async with PracticeCluster(FastClock(3), ids, etcd="real", data_dir=tmp_path) as cluster:
        await play(plain, cluster)
        log = cluster.kubelet.read("milvus", FIRST, "etcd", True)
        address = cluster.pod("milvus", FIRST)["status"]["podIP"]
        body = {"peerURLs": [f"http://{address}:2380"], "isLearner": True}

        async def is_added() -> bool:
            return (await etcd_client.ask(cluster, "milvus", SECOND, "/v3/cluster/member/add", body))[0] == 200

        await cluster.until(is_added, 120, what="the learner's registration")
        listed = await etcd_client.members(cluster, "milvus", SECOND)
        learner = next(m["ID"] for m in listed if m.get("isLearner"))

        async def is_promoted() -> bool:
            path = "/v3/cluster/member/promote"
            return (await etcd_client.ask(cluster, "milvus", SECOND, path, {"ID": learner}))[0] == 200

        await cluster.until(is_promoted, 300, what="the learner's promotion")
        await act(cluster, "milvus", {"action": "await-ready", "name": "my-release-etcd"})
        ready = [p["status"]["containerStatuses"][0]["ready"] for p in cluster.api.list(POD, "milvus")]

    assert "member count is unequal" in log
    assert ready == [True, True, True]


SCENARIO_PLAIN = Path(__file__).parents[2] / "rules" / "etcd" / "tests" / "member-count-unequal.yaml"
