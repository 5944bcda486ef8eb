"""Scenario files: each loads, breaks what it says, and a wrong one is refused by name and field."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from remediator.clocks import FastClock
from remediator.model.objects import POD
from remediator.model.runs import RunState
from remediator.model.verdicts import Reason
from remediator.practice.clocks import LeapingClock
from remediator.practice.cluster import PracticeCluster
from remediator.practice.scenario_actions import UnknownAction, act
from remediator.practice.scenarios import BadScenario, Scenario, find_scenarios, load, play

RULES = Path(__file__).parents[3] / "rules"
ETCD = find_scenarios(RULES / "etcd")
BY_NAME = {scenario.name: scenario for scenario in ETCD}

LAST_WORDS = {
    "already-bootstrapped": (1, "has already been bootstrapped"),
    "clean-exit-without-text": (0, "received signal; shutting down"),
    "cluster-id-mismatch": (1, "cluster ID mismatch"),
    "corruption": (2, "walpb: crc mismatch"),
    "disk-io-error": (1, "input/output error"),
    "etcd-member-removed": (0, "permanently removed from the cluster"),
    "flocked": (1, "is flocked by another process"),
    "image-heals-itself": (0, "permanently removed from the cluster"),
    "kubernetes-own-etcd": (0, "permanently removed from the cluster"),
    "log-unavailable": (0, "unable to retrieve container logs for containerd://"),
    "member-count-unequal": (1, "member count is unequal"),
    "more-removed-than-allowed": (0, "permanently removed from the cluster"),
    "nospace-alarm": (0, "permanently removed from the cluster"),
    "oom-killed": (137, "server has been already initialized"),
    "operator-owned": (0, "permanently removed from the cluster"),
    "plain-image-member-removed": (0, "permanently removed from the cluster"),
    "removed-with-state-new": (0, "permanently removed from the cluster"),
    "rollout-in-progress": (0, "permanently removed from the cluster"),
    "single-survivor": (0, "permanently removed from the cluster"),
    "text-only-once": (1, "failed to publish local member"),
    "tls-flag-error": (1, "tls: failed to find any PEM data"),
    "two-clusters": (0, "permanently removed from the cluster"),
    "two-of-five-removed": (0, "permanently removed from the cluster"),
}
"""How the alert's container last ended, and what it said, once the fault is visible."""


def practice(**words: Any) -> PracticeCluster:
    numbers = itertools.count()
    return PracticeCluster(LeapingClock(), lambda word: f"{word}-{next(numbers)}", serve_http=False, **words)


@pytest.mark.parametrize("scenario", [BY_NAME[n] for n in LAST_WORDS], ids=list(LAST_WORDS))
async def test_the_fault_is_visible_as_the_scenario_says(scenario: Scenario) -> None:
    """The alert's pod is in CrashLoopBackOff, and its last run ended and spoke as that fault does."""
    pod = scenario.alert.labels["pod"]
    async with practice() as cluster:
        await play(scenario, cluster)

        seen = cluster.pod(scenario.namespace, pod)["status"]["containerStatuses"][0]
        log = cluster.kubelet.read(scenario.namespace, pod, "etcd", True)

    code, words = LAST_WORDS[scenario.name]
    assert seen["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert seen["restartCount"] >= 2
    assert seen["lastState"]["terminated"]["exitCode"] == code
    assert words in log


async def test_lost_quorum_leaves_every_pod_running() -> None:
    """No container ended; no pod is ready."""
    async with practice() as cluster:
        await play(BY_NAME["quorum-lost"], cluster)
        seen = [p["status"]["containerStatuses"][0] for p in cluster.api.list(POD, "milvus")]

    assert [(list(s["state"]), s["ready"], s["restartCount"]) for s in seen] == [(["running"], False, 0)] * 3


async def test_somebody_else_was_faster() -> None:
    """All three pods are ready when the alert arrives."""
    async with practice() as cluster:
        await play(BY_NAME["removed-but-restarted-fresh"], cluster)
        ready = [p["status"]["containerStatuses"][0]["ready"] for p in cluster.api.list(POD, "milvus")]

    assert ready == [True, True, True]


def test_only_cures_expect_a_write() -> None:
    """A scenario that ends in anything but a cure must cost nothing."""
    writing = {s.name for s in ETCD if s.expect.writes != 0}

    assert writing == {s.name for s in ETCD if s.expect.reason is Reason.CURED}
    assert len(ETCD) - len(writing) >= 8
    assert len(ETCD) >= 20
    assert {s.name for s in ETCD} == {*LAST_WORDS, "quorum-lost", "removed-but-restarted-fresh"}
    assert [s.name for s in ETCD if s.demo] == ["etcd-member-removed"]
    assert BY_NAME["etcd-member-removed"].expect.outcome is RunState.SUCCEEDED


def test_a_scenario_is_plain_data() -> None:
    """It can be written as JSON, for reports."""
    written = json.loads(json.dumps([s.as_json() for s in ETCD]))

    assert [s["name"] for s in written] == [s.name for s in ETCD]


async def test_the_same_scenario_runs_the_same_twice() -> None:
    """With a clock that leaps, two runs give the same objects to the last field."""

    async def objects() -> list[dict[str, Any]]:
        async with practice() as cluster:
            await play(BY_NAME["etcd-member-removed"], cluster)
            return cluster.api.list(POD)

    assert await objects() == await objects()


async def test_the_removed_member_plays_over_http() -> None:
    """With sockets and a fast clock the fault is the same, and the API server tells it to whoever has the token."""
    numbers = itertools.count()
    async with PracticeCluster(FastClock(20), lambda word: f"{word}-{next(numbers)}") as cluster:
        await play(BY_NAME["etcd-member-removed"], cluster)
        statuses = cluster.pod("milvus", "my-release-etcd-0")["status"]["containerStatuses"]

        assert cluster.base_url.startswith("http://127.0.0.1:")
        assert cluster.requests == []

    assert statuses[0]["lastState"]["terminated"]["reason"] == "Completed"


GOOD = """
name: it
system: etcd
what: A test.
alert: {labels: {alertname: A}}
expect: {outcome: refused, reason: lookalike, writes: 0}
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name: it", "name: other"), 'name is "other"; it must be the file\'s name, "it"'),
        (("what: A test.", "why: A test."), "a scenario has no field why"),
        (("system: etcd\n", ""), "the field 'system' is missing"),
        (("outcome: refused", "outcome: fine"), "'fine' is not a valid RunState"),
        (("what: A test.", "what: x\netcd: {size: 3}"), "etcd has no field size"),
        (("name: it", "name: [it"), "cannot be read as YAML"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_field(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """The message says which file, which field and what was expected."""
    path = tmp_path / "it.yaml"
    path.write_text(GOOD.replace(*change))

    with pytest.raises(BadScenario) as refused:
        load(path)

    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)


async def test_an_unknown_action_names_those_that_exist() -> None:
    """A scenario's author is told what there is."""
    async with practice() as cluster:
        with pytest.raises(UnknownAction) as refused:
            await act(cluster, "milvus", {"action": "remove-membre"})
        with pytest.raises(UnknownAction) as incomplete:
            await act(cluster, "milvus", {"action": "kill"})

    assert "remove-member" in str(refused.value)
    assert str(incomplete.value) == "action \"kill\" needs the word 'pod'"
