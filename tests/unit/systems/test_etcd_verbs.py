"""What can be done to an etcd: each verb looks, acts once, and recognises its own effect."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remediator.model.calls import Reply
from remediator.model.errors import AnswerLost, Permanent, PermitRefused, Temporary
from remediator.model.objects import CLAIM, POD, STATEFUL_SET, ObjectRef
from remediator.model.plans import Effect, Step
from remediator.model.systems import AlreadyDone, Blocked, Done, Failed, Found, Ready, Retry
from remediator.model.verdicts import Reason
from remediator.systems.etcd.verbs import VERBS
from tests.unit.systems.etcd_look import CLUSTER_ID, url
from tests.unit.systems.etcd_world import ADD, DATA, LIST, PROMOTE, STATUS, EtcdWorld, told_member

GOOD = DATA + hashlib.sha256(DATA).digest()
LEARNER = told_member(9, name="", peerURLs=[url(0)], isLearner=True)


def step(etcd: EtcdWorld, verb: str, target: ObjectRef | None = None, **args: Any) -> Step:
    keepers = (etcd.pods[1], etcd.pods[2])
    through, cluster = [k.as_json() for k in keepers], f"{CLUSTER_ID:x}"
    given = {"through": through, "cluster_id": cluster, "peer_url": url(0), "pod": "my-etcd-0", **args}
    return Step(0, verb, target or keepers[0], given, VERBS[verb].effect, timedelta(60), "a test", may_touch=keepers)


async def prepared(etcd: EtcdWorld, made: Step) -> Any:
    return await VERBS[made.verb].prepare(etcd.read(), "run-1", made)


async def probed(etcd: EtcdWorld, made: Step) -> Found:
    return await VERBS[made.verb].probe(etcd.read(), "run-1", made, {})


async def applied(etcd: EtcdWorld, made: Step, intent: Any = None) -> Any:
    """Apply with the intent that preparing gives."""
    if intent is None:
        ready = await prepared(etcd, made)
        assert isinstance(ready, Ready), ready
        intent = ready.intent
    return await VERBS[made.verb].apply(etcd.write(*made.may_touch), made, intent)


def test_what_each_verb_leaves_behind():
    """Recovery rests on these."""
    assert {name: verb.effect for name, verb in VERBS.items()} == {
        "etcd.snapshot": Effect.NONE,
        "etcd.add_learner": Effect.DESTRUCTIVE,
        "etcd.promote": Effect.DESTRUCTIVE,
        "etcd.await_member": Effect.NONE,
        "etcd.settle": Effect.NONE,
    }


# --- snapshot ----------------------------------------------------------------------------------------------


def a_snapshot(etcd: EtcdWorld, min_revision: int = 500) -> Step:
    sources = [etcd.pods[1].as_json(), etcd.pods[2].as_json()]
    return step(etcd, "etcd.snapshot", etcd.set, **{"from": sources, "backup": "a.db", "min_revision": min_revision})


async def test_another_cluster_under_a_keepers_address_is_not_saved(etcd):
    """An address may have passed to another pod: its snapshot would be of somebody else's data."""
    for n in (1, 2):
        etcd.speak(n, header={"cluster_id": "7", "member_id": "1", "revision": "500"})

    with pytest.raises(Temporary):
        await applied(etcd, a_snapshot(etcd))


async def test_a_snapshot_of_a_healthy_member_is_saved_whole(etcd):
    """And then it is there: the step is done before it is begun."""
    etcd.snapshot(1, GOOD)
    made = a_snapshot(etcd)

    done = await applied(etcd, made)

    sha = hashlib.sha256(GOOD).hexdigest()
    assert done == Done(changed=False, detail=f"{len(GOOD)} bytes at revision ≥ 500, sha256 {sha[:12]}…")
    assert await prepared(etcd, made) == AlreadyDone(f"the snapshot is there: {len(GOOD)} bytes, sha256 {sha[:12]}…")
    assert await probed(etcd, made) is Found.DONE


@pytest.mark.parametrize("data", [b"", GOOD[:-1], GOOD[1:], GOOD[:-33] + b"x" + GOOD[-32:], b"\0" * 32])
async def test_a_snapshot_that_fails_its_checksum_is_no_backup(etcd, data):
    """Nothing is kept under its name."""
    etcd.snapshot(1, data)
    made = a_snapshot(etcd)

    with pytest.raises(Permanent, match="fails its own checksum"):
        await applied(etcd, made)
    assert etcd.backups.kept == {}
    assert await probed(etcd, made) is Found.NOT_DONE


async def test_without_a_place_for_backups_nothing_is_begun(etcd):
    """The operator sets one."""
    etcd.backups.is_configured = False

    assert await prepared(etcd, a_snapshot(etcd)) == Blocked(
        Reason.APPROVAL_NEEDED, "no backup_directory is configured, so no snapshot can be kept"
    )


async def test_a_member_that_is_behind_is_not_saved(etcd):
    """Its copy would lose what was acknowledged."""
    etcd.snapshot(1, GOOD)

    assert isinstance(await applied(etcd, a_snapshot(etcd, min_revision=501)), Retry)
    assert etcd.backups.kept == {}


@pytest.mark.parametrize("status", [{"leader": None}, {"isLearner": True}, {"header": "odd"}])
async def test_only_a_voter_with_a_leader_is_saved(etcd, status):
    """The next of the healthy members is asked instead."""
    etcd.speak(1, **status)
    etcd.snapshot(2, GOOD)

    assert isinstance(await applied(etcd, a_snapshot(etcd)), Done)


async def test_when_no_healthy_member_answers_it_is_tried_again(etcd):
    """Temporary, with a pause."""
    etcd.speak(1, leader=None)
    etcd.answer(2, STATUS, Temporary("no connection"))

    with pytest.raises(Temporary, match=r"none of 2 healthy members of cluster [0-9a-f]+ answers with a leader"):
        await applied(etcd, a_snapshot(etcd))


async def test_a_member_made_anew_is_not_asked(etcd):
    """The plan's healthy member was one incarnation; another may have an empty disk."""
    etcd.cluster.take(etcd.pods[1])
    etcd.put_pod(1, healthy=True)
    etcd.snapshot(2, GOOD)

    assert isinstance(await applied(etcd, a_snapshot(etcd)), Done)
    assert {door.pod.name for door, _ in etcd.endpoints.asked} == {"my-etcd-2"}


# --- add_learner -------------------------------------------------------------------------------------------


async def test_a_learner_is_registered_through_a_healthy_member(etcd):
    """One call, to the pod that the permit names."""
    etcd.answer(1, ADD, Reply(200, {"member": {"ID": "169", "peerURLs": [url(0)], "isLearner": True}}))
    made = step(etcd, "etcd.add_learner")
    assert await probed(etcd, made) is Found.NOT_DONE

    assert await applied(etcd, made) == Done(changed=True, detail="my-etcd-0 is registered as learner a9")

    assert [(s.door.pod.name, s.call.path, s.call.body) for s in etcd.endpoints.sent] == [
        ("my-etcd-1", ADD, {"peerURLs": [url(0)], "isLearner": True})
    ]
    etcd.members(told_member(1), told_member(2), LEARNER)
    assert await probed(etcd, made) is Found.DONE
    assert await prepared(etcd, made) == AlreadyDone(f"{url(0)} is registered as a9")


async def test_an_address_of_a_started_member_is_not_registered_again(etcd):
    """Somebody else was faster, or it was never removed."""
    etcd.members(told_member(0), told_member(1), told_member(2))

    assert await prepared(etcd, step(etcd, "etcd.add_learner")) == Blocked(
        Reason.TARGET_CHANGED, f"{url(0)} is a started member, a0"
    )


async def test_another_learner_is_waited_for_by_a_person(etcd):
    """etcd allows one."""
    etcd.members(told_member(1), told_member(2), told_member(7, isLearner=True))

    assert await prepared(etcd, step(etcd, "etcd.add_learner")) == Blocked(
        Reason.TARGET_CHANGED, "another learner is registered; etcd allows one"
    )


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(503, {"error": "etcdserver: unhealthy cluster"}), Temporary),
        (Reply(400, {"error": "etcdserver: too many learner members in cluster"}), Temporary),
        (Reply(503, {"error": "etcdserver: request timed out"}), AnswerLost),
        (Reply(502, None, "a proxy's unhealthy cluster"), AnswerLost),
        (Reply(200, {}), AnswerLost),
        (Reply(200, None, "<html>"), AnswerLost),
        (Reply(200, {"member": []}), Permanent),
    ],
)
async def test_a_registration_that_is_refused_is_not_done(etcd, reply, error):
    """etcd's own refusals are tried again; any other answer proves nothing, and is never a success."""
    etcd.answer(1, ADD, reply)

    with pytest.raises(error):
        await applied(etcd, step(etcd, "etcd.add_learner"))


@pytest.mark.parametrize(("verb", "path"), [("etcd.add_learner", ADD), ("etcd.promote", PROMOTE)])
async def test_a_membership_is_changed_only_under_a_permit_for_that_pod(etcd, verb, path):
    """A permit for another pod sends nothing."""
    if verb == "etcd.promote":
        etcd.members(told_member(1), told_member(2), LEARNER)
    etcd.answer(1, path, Reply(200, {"member": {"ID": "9"}}))
    made = step(etcd, verb)
    ready = await prepared(etcd, made)

    with pytest.raises(PermitRefused):
        await VERBS[verb].apply(etcd.write(etcd.pods[0]), made, ready.intent)
    assert etcd.endpoints.sent == []


@pytest.mark.parametrize("verb", ["etcd.add_learner", "etcd.promote"])
async def test_a_member_that_is_gone_since_the_look_is_not_asked_to_act(etcd, verb):
    """Nothing was sent, and the step failed."""
    if verb == "etcd.promote":
        etcd.members(told_member(1), told_member(2), LEARNER)
    made = step(etcd, verb)
    ready = await prepared(etcd, made)
    etcd.cluster.take(etcd.pods[1])

    result = await VERBS[verb].apply(etcd.write(*made.may_touch), made, ready.intent)

    assert isinstance(result, Failed)
    assert result.reason is Reason.TARGET_CHANGED
    assert etcd.endpoints.sent == []


@pytest.mark.parametrize("verb", ["etcd.add_learner", "etcd.promote"])
@pytest.mark.parametrize("path", [STATUS, LIST])
async def test_silent_members_leave_an_interrupted_change_unknown(etcd, verb, path):
    """Neither done nor not done."""
    for n in (1, 2):
        etcd.answer(n, path, Temporary("no connection"))

    assert await probed(etcd, step(etcd, verb)) is Found.UNKNOWN


# --- promote -----------------------------------------------------------------------------------------------


async def test_a_learner_that_has_caught_up_is_promoted(etcd):
    """By the id under which its address is registered."""
    etcd.members(told_member(1), told_member(2), {**LEARNER, "ID": str(2**63 + 1)})
    etcd.answer(1, PROMOTE, Reply(200, {"header": {}}))
    made = step(etcd, "etcd.promote")
    assert await probed(etcd, made) is Found.NOT_DONE

    assert await applied(etcd, made) == Done(changed=True, detail="my-etcd-0 votes")
    assert [s.call.body for s in etcd.endpoints.sent] == [{"ID": "9223372036854775809"}]

    etcd.members(told_member(0), told_member(1), told_member(2))
    assert await probed(etcd, made) is Found.DONE
    assert await prepared(etcd, made) == AlreadyDone("my-etcd-0 votes already")


async def test_a_registration_that_is_gone_is_not_promoted(etcd):
    """Somebody took it back."""
    made = step(etcd, "etcd.promote")

    assert await prepared(etcd, made) == Blocked(Reason.TARGET_CHANGED, f"{url(0)} is not registered any more")
    assert await probed(etcd, made) is Found.NOT_DONE


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (
            Reply(400, {"error": "etcdserver: can only promote a learner member which is in sync with leader"}),
            Temporary,
        ),
        (Reply(503, {"error": "etcdserver: unhealthy cluster"}), Temporary),
        (Reply(503, None, "no healthy upstream"), AnswerLost),
        (Reply(500, {"error": "etcdserver: request timed out"}), AnswerLost),
        (Reply(200, {}), AnswerLost),
    ],
)
async def test_a_promotion_that_is_refused_is_tried_again_and_a_lost_one_is_asked_about(etcd, reply, error):
    """Only etcd's own words say that nothing was proposed."""
    etcd.members(told_member(1), told_member(2), LEARNER)
    etcd.answer(1, PROMOTE, reply)

    with pytest.raises(error):
        await applied(etcd, step(etcd, "etcd.promote"))


# --- await_member ------------------------------------------------------------------------------------------


def a_wait(etcd: EtcdWorld, **args: Any) -> Step:
    given = {
        "set": etcd.set.as_json(),
        "old_pod_uid": etcd.pods[0].uid,
        "old_claim_uid": claim_uid(etcd),
        "old_id": "dead0",
        "peer_url": url(0),
        "cluster_id": f"{CLUSTER_ID:x}",
        "generation": 7,
        "keepers": {p.name: {"uid": p.uid, "restarts": 0} for p in (etcd.pods[1], etcd.pods[2])},
        "learner": False,
        **args,
    }
    return Step(0, "etcd.await_member", ObjectRef(POD, "my-etcd-0", "milvus"), given, Effect.NONE, timedelta(60), "")


def claim_uid(etcd: EtcdWorld) -> str:
    live: Any = etcd.cluster.now(ObjectRef(CLAIM, "data-my-etcd-0", "milvus"))
    return str(live["metadata"]["uid"])


def made_anew(etcd: EtcdWorld, *, claim: bool = True, ready: bool = True) -> None:
    """The pod, and its claim, as the controller makes them again."""
    if claim:
        etcd.cluster.take(ObjectRef(CLAIM, "data-my-etcd-0", "milvus"))
    etcd.cluster.take(etcd.pods[0])
    etcd.pods[0] = etcd.put_pod(0, healthy=True)
    if not ready:
        etcd.change_pod(0, lambda pod: pod["status"].update(conditions=[]))


def joined(etcd: EtcdWorld, **member: Any) -> None:
    """The new member is registered under a new id and answers."""
    etcd.speak(0, header={"cluster_id": str(CLUSTER_ID), "member_id": str(0xA9), "revision": "500"})
    etcd.members(told_member(1), told_member(2), told_member(0, ID=str(0xA9), **member), at=(0, 1, 2))


async def test_a_member_that_votes_in_sync_and_is_ready_has_arrived(etcd):
    """Under a new id, on a new claim, in a new pod."""
    made = a_wait(etcd)
    made_anew(etcd)
    joined(etcd)

    assert await applied(etcd, made) == Done(
        changed=False, detail="my-etcd-0 joined as voter a9; 3 voters registered, 3 healthy, quorum 2"
    )
    assert await probed(etcd, made) is Found.NOT_DONE


async def test_what_is_waited_for_in_turn(etcd):
    """Pod, claim, registration, start, answer, sync, Ready: each is named while it is missing."""
    made = a_wait(etcd)

    async def waits() -> str:
        result = await applied(etcd, made)
        assert isinstance(result, Retry), result
        return result.detail

    assert await waits() == "the new pod does not exist yet"
    made_anew(etcd, claim=False, ready=False)
    assert await waits() == "the new claim does not exist yet"
    etcd.cluster.take(ObjectRef(CLAIM, "data-my-etcd-0", "milvus"))
    assert await waits() == "the new claim does not exist yet"
    etcd.cluster.put(CLAIM, {"metadata": {"name": "data-my-etcd-0", "namespace": "milvus"}, "spec": {}})
    assert await waits() == f"{url(0)} is not registered yet"
    etcd.members(told_member(1), told_member(2), told_member(0, ID=str(0xDEAD0)))
    assert await waits() == f"{url(0)} is registered under its removed id dead0"
    etcd.members(told_member(1), told_member(2), told_member(0, ID=str(0xA9), name=""))
    assert await waits() == "member a9 is registered and has not started yet"
    etcd.members(told_member(1), told_member(2), told_member(0, ID=str(0xA9)))
    assert await waits() == "member a9 does not answer yet"
    joined(etcd)
    header = {"cluster_id": str(CLUSTER_ID), "member_id": str(0xA9), "revision": "1"}
    etcd.speak(0, header=header, raftAppliedIndex="899")
    assert await waits() == "member a9 is 101 entries behind"
    etcd.speak(0, header=header, raftAppliedIndex="900")
    assert await waits() == "my-etcd-0 is not Ready yet"


async def test_a_learner_has_arrived_before_it_is_ready(etcd):
    """Its pod becomes Ready only as a voter."""
    learning, voting = a_wait(etcd, learner=True), a_wait(etcd)
    made_anew(etcd, ready=False)
    joined(etcd, isLearner=True)

    assert isinstance(await applied(etcd, learning), Done)
    assert await applied(etcd, voting) == Retry(2.0, "member a9 is still a learner")


async def test_a_changed_statefulset_stops_the_wait(etcd):
    """Somebody else is at work."""
    assert await applied(etcd, a_wait(etcd, generation=6)) == Failed(
        Reason.STEP_FAILED, "somebody changed the StatefulSet while its member was being replaced"
    )


async def test_a_second_cluster_stops_the_wait(etcd):
    """The new member bootstrapped by itself."""
    made = a_wait(etcd)
    made_anew(etcd)
    joined(etcd)
    etcd.answer(0, LIST, Reply(200, {"header": {"cluster_id": "7"}, "members": [told_member(0)]}))

    assert await applied(etcd, made) == Failed(Reason.STEP_FAILED, "a second cluster answers: 7, 9491c1ff1b697b36")


@pytest.mark.parametrize("what", ["restarted", "replaced", "gone"])
async def test_a_healthy_member_that_moves_stops_the_wait(etcd, what):
    """One more and the quorum may be lost."""
    made = a_wait(etcd)
    if what == "restarted":
        etcd.change_pod(2, lambda pod: pod["status"]["containerStatuses"][0].update(restartCount=1))
    else:
        etcd.cluster.take(etcd.pods[2])
    if what == "replaced":
        etcd.put_pod(2, healthy=True)

    assert await applied(etcd, made) == Failed(
        Reason.STEP_FAILED, "the healthy member my-etcd-2 was restarted or replaced while we waited"
    )


@pytest.mark.parametrize(
    ("said", "stops"),
    [
        ("member a0 has already been bootstrapped", True),
        ("cluster ID mismatch", True),
        (
            "the member has been permanently removed from the cluster\ndata-dir used by this member must be removed",
            True,
        ),
        ("listening", False),
    ],
)
async def test_a_new_pod_that_dies_of_its_past_stops_the_wait(etcd, said, stops):
    """The same fault again is not waited out."""
    made = a_wait(etcd)
    etcd.cluster.take(etcd.pods[0])
    etcd.pods[0] = etcd.put_pod(0, healthy=False, restarts=1)
    etcd.cluster.put_log(etcd.pods[0], "etcd", said + "\n", previous=True)

    assert isinstance(await applied(etcd, made), Failed) is stops


# --- settle ------------------------------------------------------------------------------------------------


async def test_settling_waits_its_time_and_then_for_every_voter(etcd):
    """Six seconds by the clock, then one look at the whole."""
    made = step(etcd, "etcd.settle", etcd.set, seconds=6.0)
    ready = await prepared(etcd, made)

    etcd.clock.advance(5.0)
    assert await applied(etcd, made, ready.intent) == Retry(1.0, "letting the members connect")
    etcd.clock.advance(1.0)
    assert await applied(etcd, made, ready.intent) == Done(
        changed=False, detail="2 voters registered, 2 healthy, quorum 2"
    )


@pytest.mark.parametrize("silent", [(2,), (1, 2)])
async def test_settling_goes_on_while_a_voter_is_away(etcd, silent):
    """One away, or nobody to ask."""
    made = replace(step(etcd, "etcd.settle", etcd.set, seconds=0.0), may_touch=())
    for n in silent:
        etcd.answer(n, STATUS, Temporary("no connection"))

    result = await applied(etcd, made)

    assert isinstance(result, Retry)
    assert result.detail.startswith("not every voter is healthy")


async def test_a_target_that_is_gone_ends_a_wait_with_its_error(etcd):
    """There is nothing left to wait for."""
    made = step(etcd, "etcd.settle", etcd.set, seconds=0.0)
    etcd.cluster.take(ObjectRef(STATEFUL_SET, "my-etcd", "milvus"))

    with pytest.raises(Permanent):
        await applied(etcd, made)
