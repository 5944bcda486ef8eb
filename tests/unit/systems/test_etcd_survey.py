"""One look at an etcd: what is read, and what becomes unknown when it cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from remediator.model.calls import Reply
from remediator.model.errors import Forbidden, NotFound, Permanent, Temporary
from remediator.model.evidence import Answer, DiagnosisResult, conclude
from remediator.model.objects import CLAIM, JOB, NODE, POD, STATEFUL_SET, ObjectRef
from remediator.systems.etcd import SYSTEM
from remediator.systems.etcd.facts import Death
from remediator.systems.etcd.images import Family
from remediator.systems.etcd.logs import UNREADABLE
from remediator.systems.etcd.pods import environment
from tests.unit.systems.etcd_look import CLUSTER_ID, url
from tests.unit.systems.etcd_world import ALARM, HASH, LIST, STATUS, told_member


def diagnosis(facts: Any) -> Any:
    return conclude([p.judge(facts) for p in SYSTEM.probes], fault=SYSTEM.fault)


def answer(facts: Any, probe: str) -> Answer:
    return next(p.judge(facts).answer for p in SYSTEM.probes if p.name == probe)


async def test_a_look_sees_the_whole(etcd):
    """Pods in their order, the dead one's words, the living ones' voices, and the storage of what is down."""
    facts = await etcd.look()

    assert (facts.target, facts.replicas, facts.generation, facts.rollout) == (etcd.set, 3, 7, "")
    assert facts.unread == ()
    assert [(p.ordinal, p.is_ready, p.is_crash_looping) for p in facts.pods] == [
        (0, False, True),
        (1, True, False),
        (2, True, False),
    ]
    dead = facts.pods[0]
    assert dead.death == Death(0, "Completed", "2026-11-21T02:51:54Z", "c1")
    assert (dead.words.removed, dead.words.dead_id, dead.restarts) == (True, 0xDEAD0, 14)
    assert (dead.family, dead.state_env, dead.peer_url) == (Family.MILVUS, "existing", url(0))
    assert dead.claim == ObjectRef(CLAIM, "data-my-etcd-0", "milvus")
    assert (set(facts.claims), set(facts.volumes)) == ({"data-my-etcd-0"}, {"pv-0"})
    assert [(v.pod, v.has_leader, v.alarms) for v in facts.voices] == [("my-etcd-1", True, ()), ("my-etcd-2", True, ())]
    assert facts.agreed is not None
    assert [m.name for m in facts.agreed.members] == ["my-etcd-1", "my-etcd-2"]


async def test_two_looks_at_two_deaths_confirm_and_one_does_not(etcd):
    """The second sighting must be of another death; the same one looked at twice is one."""
    notes = await etcd.notes_after()
    again = await etcd.look(notes)
    assert diagnosis(again).result is DiagnosisResult.UNKNOWN
    assert again.pods[0].deaths_seen == 1

    etcd.put_pod(0, healthy=False, restarts=15, container_id="c2")
    second = await etcd.look(notes)

    assert second.pods[0].deaths_seen == 2
    assert diagnosis(second).result is DiagnosisResult.CONFIRMED


async def test_a_death_without_the_text_begins_the_count_again(etcd):
    """What it said before was an old story."""
    notes = await etcd.notes_after()
    etcd.put_pod(0, healthy=False, restarts=15, container_id="c2")
    etcd.cluster.put_log(etcd.pods[0], "etcd", "exiting\n", previous=True)

    assert await etcd.notes_after(notes) == {"sightings": {}, "leaderless": 0}


async def test_a_pod_made_anew_has_no_past(etcd):
    """Sightings belong to one incarnation."""
    notes = await etcd.notes_after()
    etcd.cluster.take(etcd.pods[0])
    etcd.pods[0] = etcd.put_pod(0, healthy=False)

    facts = await etcd.look(notes)

    assert facts.pods[0].deaths_seen == 1


async def test_an_unreadable_log_keeps_the_count_and_says_nothing(etcd):
    """Neither a sighting nor the absence of one."""
    notes = await etcd.notes_after()
    etcd.cluster.put_log(etcd.pods[0], "etcd", "", previous=True, available=False)

    facts = await etcd.look(notes)

    assert facts.pods[0].words == UNREADABLE
    assert facts.pods[0].deaths_seen == 1
    assert answer(facts, "removal_in_log") is Answer.UNKNOWN


@pytest.mark.parametrize("error", [Temporary("busy"), Forbidden("no"), Permanent("odd")])
async def test_a_log_that_cannot_be_read_is_told(etcd, error):
    """And the diagnosis is unknown, not excluded."""
    etcd.cluster.fail("log", error)

    facts = await etcd.look()

    assert facts.unread == (f"log of Pod milvus/my-etcd-0: {error}",)
    assert diagnosis(facts).result is DiagnosisResult.UNKNOWN


async def test_the_log_of_a_death_is_never_another_deaths(etcd):
    """A container that died again while its log was read gives no words at all."""
    real = etcd.cluster.log_of

    def dies_meanwhile(*args: Any, **kwargs: Any) -> Any:
        etcd.put_pod(0, healthy=False, restarts=15, container_id="c2")
        return real(*args, **kwargs)

    etcd.cluster.log_of = dies_meanwhile

    assert (await etcd.look()).pods[0].words == UNREADABLE


async def test_a_container_that_has_just_died_is_read_from_its_current_log(etcd):
    """Until it is started again, its own log is the one that told."""
    died = {"exitCode": 0, "reason": "Completed", "finishedAt": "t", "containerID": "c9"}

    def just_died(pod: Any) -> None:
        pod["status"]["containerStatuses"][0].update(state={"terminated": died}, restartCount=3)

    etcd.change_pod(0, just_died)
    etcd.cluster.put_log(etcd.pods[0], "etcd", "still going down\n", previous=False)
    facts = await etcd.look()

    assert facts.pods[0].is_crash_looping
    assert facts.pods[0].words.line == "still going down"


async def test_jobs_that_cannot_be_listed_leave_the_rest_known(etcd):
    """One thing unread is one thing unknown."""
    etcd.cluster.fail("list", Forbidden("no jobs"))

    with pytest.raises(Forbidden):
        await etcd.look()  # the pods are listed first, and without them there is no look


@pytest.mark.parametrize("resource", [CLAIM, NODE])
async def test_an_object_that_is_gone_is_missing_and_not_unread(etcd, resource):
    """The plan says what is missing; the look does not pretend that it could not see."""
    name = "data-my-etcd-0" if resource is CLAIM else "node-0"
    etcd.cluster.take(ObjectRef(resource, name, "milvus" if resource is CLAIM else ""))

    facts = await etcd.look()

    assert facts.unread == ()
    assert ("data-my-etcd-0" in facts.claims) is (resource is not CLAIM)


async def test_a_target_that_is_gone_or_another_is_no_look(etcd):
    """The only errors a survey raises are the target's own."""
    etcd.cluster.take(etcd.set)

    with pytest.raises(NotFound):
        await etcd.look()


async def test_a_pod_of_another_owner_is_not_a_pod_of_this_etcd(etcd):
    """Labels are not ownership."""
    etcd.change_pod(2, lambda pod: pod["metadata"]["ownerReferences"][0].update(uid="other"))

    assert [p.ordinal for p in (await etcd.look()).pods] == [0, 1]


# --- what the members say ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [STATUS, LIST, ALARM])
@pytest.mark.parametrize(
    "reply",
    [
        Temporary("no connection"),
        Reply(500, None, "boom"),
        Reply(200, ["odd"]),
        Reply(200, {"members": 7, "alarms": 7}),
    ],
)
async def test_a_member_that_fails_half_way_is_silent(etcd, path, reply):
    """No part of an answer counts without the others."""
    etcd.answer(2, path, reply)

    facts = await etcd.look()
    spoken = {v.pod: v for v in facts.voices}

    assert spoken["my-etcd-2"].status is None
    assert spoken["my-etcd-2"].silent_because
    assert answer(facts, "one_cluster") is Answer.UNKNOWN
    assert answer(facts, "every_voter_is_healthy") is Answer.UNKNOWN


async def test_a_pod_without_an_address_is_silent_and_why_is_known(etcd):
    """It runs, and nobody can ask it."""
    etcd.change_pod(2, lambda pod: pod["status"].pop("podIP"))

    assert next(v.silent_because for v in (await etcd.look()).voices if v.pod == "my-etcd-2") == (
        "the pod has no address yet"
    )


async def test_a_member_without_a_leader_gives_no_agreed_list(etcd):
    """It is not even asked for the members' agreement."""
    etcd.speak(1, leader=None)
    etcd.speak(2, leader=None)

    facts = await etcd.look()
    again = await etcd.look(await etcd.notes_after())

    assert facts.agreed is None
    assert {call.body["linearizable"] for _, call in etcd.endpoints.asked if call.path == LIST} == {False}
    assert answer(facts, "quorum_lost") is Answer.UNKNOWN  # it may be an election
    assert answer(again, "quorum_lost") is Answer.YES


async def test_once_every_pod_is_ready_the_data_is_compared_at_one_revision(etcd):
    """At the lowest revision all have; a member that gives no hash is not taken to be equal."""
    etcd.pods[0] = etcd.put_pod(0, healthy=True)
    etcd.speak(0, header={"cluster_id": str(CLUSTER_ID), "member_id": str(0xA0), "revision": "450"})
    etcd.members(told_member(0), told_member(1), told_member(2), at=(0, 1, 2))
    facts = await etcd.look()

    assert facts.hash_revision == 450
    assert [v.hash for v in facts.voices] == [77, 77, 77]
    assert SYSTEM.health is not None
    assert SYSTEM.health(facts, None).met

    etcd.answer(1, HASH, Temporary("compacted"))
    assert not SYSTEM.health(await etcd.look(), None).met


# --- who else is at work -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"observedGeneration": 6}, "the StatefulSet controller has not seen the newest specification yet"),
        ({}, "the StatefulSet controller has not seen the newest specification yet"),
        (
            {"observedGeneration": 7, "currentRevision": "a", "updateRevision": "b"},
            "a rollout to b is in progress",
        ),
        ({"observedGeneration": 7, "currentRevision": "a", "updateRevision": "a"}, ""),
    ],
)
async def test_a_rollout_is_seen(etcd, status, told):
    """Also one that the controller has not begun."""
    live = etcd.cluster.now(etcd.set)
    live["status"] = status
    etcd.cluster.put(STATEFUL_SET, live)

    assert (await etcd.look()).rollout == told


@pytest.mark.parametrize(
    ("name", "active", "told"),
    [
        ("my-etcd-pre-upgrade", 1, "the Helm job my-etcd-pre-upgrade is at work"),
        ("my-etcd-pre-upgrade-x7", 1, "the Helm job my-etcd-pre-upgrade-x7 is at work"),
        ("my-etcd-pre-upgrade", 0, ""),
        ("other-pre-upgrade", 1, ""),
    ],
)
async def test_a_helm_job_that_is_active_is_seen(etcd, name, active, told):
    """A finished one, or another release's, is not at work here."""
    etcd.cluster.put(JOB, {"metadata": {"name": name, "namespace": "milvus"}, "status": {"active": active}})

    assert (await etcd.look()).rollout == told


async def test_a_cordoned_node_of_any_pod_is_a_drain(etcd):
    """Also of a healthy one: it will be moved."""
    etcd.cluster.put(NODE, {"metadata": {"name": "node-2"}, "spec": {"unschedulable": True}})

    assert (await etcd.look()).rollout == "node node-2 is cordoned"


# --- the environment ---------------------------------------------------------------------------------------


def pod_with(*env: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": "my-etcd-0", "namespace": "milvus"},
        "spec": {"containers": [{"name": "etcd", "env": list(env)}]},
    }


def from_field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def test_variables_are_expanded_as_the_kubelet_does():
    """Only those that stand before, and an unknown one stays as it is written."""
    env = environment(
        pod_with(
            from_field("POD", "metadata.name"),
            from_field("NS", "metadata.namespace"),
            {"name": "A", "value": "http://$(POD).headless.$(NS).svc:2380"},
            {"name": "B", "value": "$(LATER) $(NOWHERE)"},
            {"name": "LATER", "value": "x"},
            {"name": "EMPTY"},
        )
    )

    assert env == {
        "POD": "my-etcd-0",
        "NS": "milvus",
        "A": "http://my-etcd-0.headless.milvus.svc:2380",
        "B": "$(LATER) $(NOWHERE)",
        "LATER": "x",
        "EMPTY": "",
    }


@pytest.mark.parametrize(
    "source",
    [
        {"configMapKeyRef": {"name": "c", "key": "k"}},
        {"secretKeyRef": {"name": "c", "key": "k"}},
        {"fieldRef": {"fieldPath": "status.podIP"}},
    ],
)
def test_a_variable_from_elsewhere_is_not_an_empty_one(source):
    """It is not known, and neither is what is made of it."""
    env = environment(pod_with({"name": "X", "valueFrom": source}, {"name": "Y", "value": "http://$(X):2380"}))

    assert env == {"X": "$(X)", "Y": "http://$(X):2380"}


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ([{"name": "ETCD_INITIAL_ADVERTISE_PEER_URLS", "value": "http://a:2380/,http://b:2380"}], "http://a:2380"),
        ([{"name": "ETCD_INITIAL_CLUSTER", "value": "my-etcd-1=http://x:1,my-etcd-0=http://y:2/"}], "http://y:2"),
        ([{"name": "ETCD_INITIAL_CLUSTER", "value": "my-etcd-1=http://x:1"}], ""),
        (
            [
                {"name": "ETCD_INITIAL_ADVERTISE_PEER_URLS", "value": "http://$(HOST):2380"},
                {"name": "ETCD_INITIAL_CLUSTER", "value": "my-etcd-0=http://y:2"},
            ],
            "http://y:2",
        ),
        ([{"name": "ETCD_INITIAL_CLUSTER", "value": "my-etcd-0=http://my-etcd-0.$(SUFFIX):2380"}], ""),
        ([], ""),
    ],
)
async def test_a_peer_address_is_known_or_it_is_not(etcd, env, told):
    """An address with a hole in it would be registered nowhere, and look like a removal."""
    etcd.change_pod(0, lambda pod: pod["spec"]["containers"][0].update(env=env))

    facts = await etcd.look()

    assert facts.pods[0].peer_url == told
    if not told:
        assert answer(facts, "removed_members_proven") is Answer.UNKNOWN


@pytest.mark.parametrize(
    ("mounts", "claims", "told"),
    [
        (["data"], {"data": "c1"}, "c1"),
        (["data"], {"data": "c1", "other": "c2"}, "c1"),
        (["data", "other"], {"data": "c1", "other": "c2"}, ""),
        ([], {"data": "c1"}, ""),
        (["data"], {}, ""),
    ],
)
async def test_the_claim_is_the_one_that_etcd_mounts(etcd, mounts, claims, told):
    """None, or more than one, and nobody knows which holds the data."""

    def change(pod: Any) -> None:
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": name} for name in mounts]
        pod["spec"]["volumes"] = [{"name": n, "persistentVolumeClaim": {"claimName": c}} for n, c in claims.items()]

    etcd.change_pod(0, change)

    claim = (await etcd.look()).pods[0].claim
    assert (claim.name if claim else "") == told


@pytest.mark.parametrize(
    ("state", "restarts", "looping"),
    [
        ({"waiting": {"reason": "CrashLoopBackOff"}}, 1, True),
        ({"waiting": {"reason": "ImagePullBackOff"}}, 9, False),
        ({"terminated": {"exitCode": 0}}, 2, False),
        ({"terminated": {"exitCode": 0}}, 3, True),
        ({"running": {}}, 50, False),
    ],
)
async def test_what_counts_as_crash_looping(etcd, state, restarts, looping):
    """Waiting for its next start, or ended after three of them."""

    def change(pod: Any) -> None:
        pod["status"]["containerStatuses"][0].update(state=state, restartCount=restarts)

    etcd.change_pod(0, change)

    assert (await etcd.look()).pods[0].is_crash_looping is looping


async def test_a_pod_that_has_no_status_yet_is_down_and_has_not_died(etcd):
    """Just made: nothing is known of it, and nothing is made up."""
    etcd.change_pod(0, lambda pod: pod.pop("status"))

    pod = (await etcd.look()).pods[0]

    assert (pod.is_ready, pod.is_running, pod.is_crash_looping, pod.death, pod.restarts) == (
        False,
        False,
        False,
        None,
        0,
    )
    assert pod.ref.resource is POD


async def test_a_pod_that_is_ready_between_two_crashes_is_down_with_its_storage(etcd):
    """Without a readiness probe a container is Ready for the second it lives: that is no health."""
    manifest = etcd.pod_manifest(0, healthy=False)
    manifest["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    state = manifest["status"]["containerStatuses"][0]
    state["lastState"]["terminated"]["finishedAt"] = etcd.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    etcd.cluster.put(POD, manifest)

    facts = await etcd.look()

    assert [p.ref.name for p in facts.down] == ["my-etcd-0"]
    assert list(facts.claims) == ["data-my-etcd-0"]
    assert list(facts.volumes) == ["pv-0"]
