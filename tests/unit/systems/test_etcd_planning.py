"""Plans for removed members: which steps, in which order, on which objects, and when there is no plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remediator.model.objects import CLAIM, POD, VOLUME, ObjectRef
from remediator.model.plans import Effect
from remediator.model.systems import Draft, NoDraft
from remediator.model.verdicts import Reason
from remediator.systems import discover
from remediator.systems.etcd.facts import EtcdFacts
from remediator.systems.etcd.images import Family
from remediator.systems.etcd.planning import PARAMETERS, PROVEN, STILL, plan
from remediator.systems.etcd.probes import PROBES
from tests.unit.systems.etcd_look import (
    SET,
    claim,
    cluster,
    member,
    silent,
    url,
    volume,
    volume_ref,
    with_members,
    with_pod,
)

DEFAULTS = {name: parameter.default for name, parameter in PARAMETERS.items()}
MILVUS_ROUND = [
    "etcd.snapshot",
    "kubernetes.retain_volume",
    "kubernetes.delete_claim",
    "kubernetes.delete_pod",
    "etcd.await_member",
    "etcd.settle",
]
PLAIN_ROUND = [
    "etcd.snapshot",
    "kubernetes.retain_volume",
    "etcd.add_learner",
    "kubernetes.delete_claim",
    "kubernetes.delete_pod",
    "etcd.await_member",
    "etcd.promote",
    "etcd.await_member",
    "etcd.settle",
]


def of_family(family: Family, replicas: int = 3, removed: tuple[int, ...] = (0,), **changes: Any) -> EtcdFacts:
    facts = cluster(replicas, removed)
    return replace(facts, pods=tuple(replace(p, family=family, **changes) for p in facts.pods))


def drafted(facts: EtcdFacts, **parameters: Any) -> Draft:
    found = plan(facts, {**DEFAULTS, **parameters})
    assert isinstance(found, Draft), found
    return found


def refused(facts: EtcdFacts, **parameters: Any) -> NoDraft:
    found = plan(facts, {**DEFAULTS, **parameters})
    assert isinstance(found, NoDraft), found
    return found


# --- one member --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [Family.MILVUS, Family.BITNAMI_OLD])
def test_an_image_that_registers_itself_is_given_an_empty_disk(family):
    """Snapshot first, then the volume is kept, the claim and the pod go, and the member is waited for."""
    draft = drafted(of_family(family))

    assert [s.verb for s in draft.steps] == MILVUS_ROUND
    assert [s.seq for s in draft.steps] == list(range(6))
    assert draft.ask == ""
    assert draft.summary == (
        "replace my-etcd-0 of StatefulSet milvus/my-etcd, one at a time, on a fresh volume; "
        "2 voters registered, 2 healthy, quorum 2"
    )


def test_a_plain_image_joins_as_a_learner_and_is_promoted():
    """Registered before its disk goes, promoted when it has caught up, and Ready at the end."""
    draft = drafted(of_family(Family.PLAIN))

    assert [s.verb for s in draft.steps] == PLAIN_ROUND
    assert [s.args["learner"] for s in draft.steps if s.verb == "etcd.await_member"] == [True, False]


@pytest.mark.parametrize("family", [Family.MILVUS, Family.PLAIN])
def test_nothing_is_destroyed_before_a_snapshot_and_a_kept_volume(family):
    """The order of every round: backup, keep, then delete."""
    verbs = [s.verb for s in drafted(of_family(family)).steps]
    first_delete = next(i for i, verb in enumerate(verbs) if "delete" in verb)

    assert set(verbs[:2]) == {"etcd.snapshot", "kubernetes.retain_volume"}
    assert first_delete > 1
    assert verbs.index("kubernetes.delete_claim") < verbs.index("kubernetes.delete_pod")


@pytest.mark.parametrize("family", [Family.MILVUS, Family.PLAIN])
def test_each_step_may_touch_exactly_its_object(family):
    """The removed member's volume, claim and pod; the registration goes through the healthy members' pods."""
    keepers = tuple(ObjectRef(POD, f"my-etcd-{n}", "milvus", f"uid-pod-{n}") for n in (1, 2))
    reach = {
        "etcd.snapshot": (),
        "kubernetes.retain_volume": (volume_ref(0),),
        "etcd.add_learner": keepers,
        "kubernetes.delete_claim": (ObjectRef(CLAIM, "data-my-etcd-0", "milvus", "uid-claim-0"),),
        "kubernetes.delete_pod": (ObjectRef(POD, "my-etcd-0", "milvus", "uid-pod-0"),),
        "etcd.promote": keepers,
        "etcd.await_member": (),
        "etcd.settle": (),
    }

    for step in drafted(of_family(family)).steps:
        assert step.may_touch == reach[step.verb]
        assert bool(step.may_touch) is step.is_write
        if step.verb.startswith("kubernetes."):
            assert step.may_touch == (step.target,)
        assert all(ref.uid for ref in step.may_touch)


def test_no_healthy_members_object_is_ever_a_target_of_a_delete():
    """Members are chosen by the member list, not by their ordinal."""
    for removed in ((0,), (1,), (2,), (0, 3), (2, 4)):
        facts = cluster(5, removed)
        deletes = [s.target.name for s in drafted(facts).steps if "delete" in s.verb or "retain" in s.verb]
        expected = {f"{kind}{n}" for n in removed for kind in ("pv-", "data-my-etcd-", "my-etcd-")}
        assert set(deletes) == expected


@pytest.mark.parametrize("family", [Family.MILVUS, Family.PLAIN])
def test_every_write_is_preceded_by_the_evidence_it_rests_on(family):
    """The first touch of a member wants the whole proof; every write wants one healthy, quiet cluster."""
    steps = {s.verb: s for s in drafted(of_family(family)).steps if s.is_write}
    first_of_disk = "kubernetes.delete_claim" if family is Family.MILVUS else "etcd.add_learner"

    assert steps["kubernetes.retain_volume"].requires == (*PROVEN, "crash_looping")
    assert steps[first_of_disk].requires == PROVEN
    assert steps["kubernetes.delete_pod"].requires == STILL
    for step in steps.values():
        assert {"one_cluster", "quorum_holds", "no_alarm"} <= set(step.requires)
        assert set(step.requires) <= {p.name for p in PROBES}


@pytest.mark.parametrize("family", [Family.MILVUS, Family.PLAIN])
def test_every_verb_exists_and_has_the_effect_the_plan_says(family):
    """A plan names other systems' verbs by name; recovery rests on their effect."""
    verbs = {name: verb for system in discover().values() for name, verb in system.verbs.items()}

    for step in drafted(of_family(family)).steps:
        assert verbs[step.verb].effect is step.effect
        assert step.timeout > timedelta(0)
        assert step.why


def test_the_snapshot_is_of_healthy_members_at_their_newest_revision():
    """An older copy would lose what was acknowledged."""
    step = drafted(cluster()).steps[0]

    assert (step.target, step.effect, step.timeout) == (SET, Effect.NONE, timedelta(minutes=10))
    assert [ref["name"] for ref in step.args["from"]] == ["my-etcd-1", "my-etcd-2"]
    assert (step.args["backup"], step.args["min_revision"]) == ("my-etcd-0.snapshot.db", 502)


def test_the_wait_knows_the_old_incarnations_and_what_must_not_move():
    """The new member is told from the old one, and a disturbance from the wait."""
    step = next(s for s in drafted(cluster()).steps if s.verb == "etcd.await_member")

    assert step.target == ObjectRef(POD, "my-etcd-0", "milvus")
    assert step.args == {
        "set": SET.as_json(),
        "old_pod_uid": "uid-pod-0",
        "old_claim_uid": "uid-claim-0",
        "old_id": "dead0",
        "peer_url": url(0),
        "cluster_id": "9491c1ff1b697b36",
        "generation": 7,
        "keepers": {"my-etcd-1": {"uid": "uid-pod-1", "restarts": 0}, "my-etcd-2": {"uid": "uid-pod-2", "restarts": 0}},
        "learner": False,
    }


def test_a_registration_goes_through_healthy_members_under_the_pods_own_address():
    """And so does the promotion."""
    steps = [s for s in drafted(of_family(Family.PLAIN)).steps if s.verb in ("etcd.add_learner", "etcd.promote")]

    for step in steps:
        assert step.target.name == "my-etcd-1"
        assert [ref["name"] for ref in step.args["through"]] == ["my-etcd-1", "my-etcd-2"]
        assert (step.args["peer_url"], step.args["pod"]) == (url(0), "my-etcd-0")


def test_the_parameters_set_the_times():
    """How long a member may take, and the pause between two."""
    steps = drafted(cluster(), member_timeout=90.0, settle=20.0).steps

    assert next(s for s in steps if s.verb == "etcd.await_member").timeout == timedelta(seconds=90)
    assert (steps[-1].args, steps[-1].timeout) == ({"seconds": 20.0}, timedelta(seconds=200))


# --- several members ---------------------------------------------------------------------------------------


def test_two_members_are_replaced_one_after_the_other():
    """Two whole rounds, each with its own snapshot, and nothing of the second before the first has settled."""
    draft = drafted(cluster(5, (1, 4)))

    assert [s.verb for s in draft.steps] == MILVUS_ROUND * 2
    assert [s.seq for s in draft.steps] == list(range(12))
    assert [s.args["backup"] for s in draft.steps if s.verb == "etcd.snapshot"] == [
        "my-etcd-1.snapshot.db",
        "my-etcd-4.snapshot.db",
    ]
    assert draft.arithmetic == (
        "now: 3 voters, 3 healthy, quorum 2",
        "my-etcd-1 joins: 4 voters, quorum 3, 3 healthy before it runs, 4 after",
        "my-etcd-4 joins: 5 voters, quorum 3, 4 healthy before it runs, 5 after",
    )


@pytest.mark.parametrize("replicas", [3, 4, 5, 6, 7])
def test_the_sums_never_show_fewer_healthy_than_the_quorum(replicas):
    """Whatever the size: before each new member runs, the quorum of the larger membership is there."""
    for count in range(1, replicas - 1):
        for line in drafted(cluster(replicas, tuple(range(count))), max_members=7).arithmetic[1:]:
            quorum = int(line.split("quorum ")[1].split(",")[0])
            before = int(line.split(" healthy before")[0].rsplit(" ", 1)[1])
            assert before >= quorum


def test_more_members_than_the_rule_allows_need_a_person():
    """The limit itself is allowed."""
    assert drafted(cluster(5, (0, 1)), max_members=2)
    assert refused(cluster(5, (0, 1)), max_members=1) == NoDraft(
        Reason.APPROVAL_NEEDED, "2 members are out; the rule lets one run replace 1"
    )


# --- no plan -----------------------------------------------------------------------------------------------


def test_a_single_survivor_needs_a_person():
    """A second voter would make the quorum two before it runs, and that cannot be undone."""
    found = refused(cluster(3, (0, 1)), max_members=4)

    assert found.reason is Reason.APPROVAL_NEEDED
    assert found.detail.startswith("one voter is left")


@pytest.mark.parametrize("facts", [cluster(3, ()), cluster(voices=()), cluster(voices=(silent(1), silent(2)))])
def test_without_a_removed_or_a_healthy_member_there_is_no_plan(facts):
    """Nothing to replace, or nobody to keep."""
    assert refused(facts).reason is Reason.NO_SAFE_PLAN


@pytest.mark.parametrize("family", [Family.UNKNOWN, Family.BITNAMI_NEW])
def test_an_entrypoint_that_is_not_known_has_no_plan(family):
    """Nobody has read what it does with an empty disk."""
    assert refused(of_family(family)) == NoDraft(
        Reason.NO_SAFE_PLAN, f"the entrypoint of the image is not one we know to rejoin (my-etcd-0: {family})"
    )


def test_removed_members_of_two_images_have_no_plan():
    """A rollout that stopped half-way."""
    found = refused(with_pod(cluster(5, (0, 1)), 1, family=Family.PLAIN))

    assert found.reason is Reason.NO_SAFE_PLAN
    assert "my-etcd-0: milvus, my-etcd-1: plain" in found.detail


@pytest.mark.parametrize("family", [Family.MILVUS, Family.BITNAMI_OLD, Family.PLAIN])
@pytest.mark.parametrize(
    ("state", "told"), [("new", "new"), ("", "unset"), ("$(STATE)", "$(STATE)"), ("Existing", "Existing")]
)
def test_any_state_but_existing_needs_a_person(family, state, told):
    """On an empty disk the member would bootstrap under the very id that was removed."""
    found = refused(of_family(family, state_env=state))

    assert found.reason is Reason.APPROVAL_NEEDED
    assert found.detail.startswith(f"ETCD_INITIAL_CLUSTER_STATE is {told}:")


def test_two_members_of_a_plain_image_need_a_person():
    """Each join wants another ETCD_INITIAL_CLUSTER."""
    assert refused(of_family(Family.PLAIN, 5, (0, 1))).reason is Reason.APPROVAL_NEEDED


@pytest.mark.parametrize(
    ("replicas", "removed", "passes"), [(3, (0,), True), (5, (0, 1), True), (5, (0, 1, 2), False), (7, (0, 1, 2), True)]
)
def test_an_old_bitnami_image_rejoins_only_behind_its_own_gate(replicas, removed, passes):
    """(pods with an address + 1) // 2 healthy others, or it waits for ever."""
    found = plan(of_family(Family.BITNAMI_OLD, replicas, removed), {**DEFAULTS, "max_members": 4})

    assert isinstance(found, Draft) is passes
    if isinstance(found, NoDraft):
        assert found == NoDraft(
            Reason.APPROVAL_NEEDED, "this image rejoins only with 3 healthy others, and 2 are healthy"
        )


def test_a_membership_that_cannot_bear_one_more_voter_has_no_plan():
    """Three voters of which one is away: a fourth would need three."""
    facts = with_members(cluster(), member(1), member(2), member(7))

    assert refused(facts) == NoDraft(
        Reason.NO_SAFE_PLAN, "one more voter would lose the quorum: 3 voters registered, 2 healthy, quorum 2"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"claims": {}}, "the claim of my-etcd-0 was not found"),
        ({"volumes": {}}, "the volume behind PersistentVolumeClaim milvus/data-my-etcd-0 was not found"),
        (
            {"claims": {"data-my-etcd-0": {**claim(0), "spec": {}}}},
            "the volume behind PersistentVolumeClaim milvus/data-my-etcd-0 was not found",
        ),
    ],
)
def test_without_its_claim_and_volume_a_member_is_not_replaced(change, told):
    """What is not found cannot be kept."""
    assert refused(replace(cluster(), **change)) == NoDraft(Reason.NO_SAFE_PLAN, told)


def test_a_pod_without_a_claim_is_not_replaced():
    """An emptyDir, or two volumes in one container."""
    assert refused(with_pod(cluster(), 0, claim=None)) == NoDraft(
        Reason.NO_SAFE_PLAN, "the claim of my-etcd-0 was not found"
    )


def test_one_member_without_storage_stops_the_plan_for_all():
    """Half a plan is none."""
    facts = replace(cluster(5, (0, 1)), claims={"data-my-etcd-0": claim(0)}, volumes={"pv-0": volume(0)})

    assert refused(facts).detail == "the claim of my-etcd-1 was not found"


def test_a_volume_that_was_never_told_a_policy_is_shown_as_deleted():
    """Delete is what Kubernetes makes of silence for a dynamic volume."""
    bare = {"metadata": volume(0)["metadata"], "spec": {"claimRef": volume(0)["spec"]["claimRef"]}}
    step = drafted(cluster(volumes={"pv-0": bare})).steps[1]

    assert (step.target.resource, step.changes[0].before, step.changes[0].after) == (VOLUME, "Delete", "Retain")
