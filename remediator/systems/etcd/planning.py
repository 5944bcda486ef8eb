"""
Plan the replacement of removed members, one at a time, in an order that never risks the quorum.

Pure: one look in, steps out, or the reason why there is no safe way. Members are chosen by the member list,
never by ordinal; the old data is kept on a retained volume, and nothing goes before a snapshot is proven.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from remediator.model.objects import POD, VOLUME, ObjectRef
from remediator.model.plans import Change, Effect, Step
from remediator.model.systems import Draft, NoDraft, Parameter, ParameterKind, Remedy
from remediator.model.verdicts import Reason
from remediator.systems.etcd.facts import EtcdFacts, PodFacts
from remediator.systems.etcd.images import Family
from remediator.systems.etcd.quorum import Quorum, healthy_pods, quorum_of, removed_pods

STILL = ("one_cluster", "quorum_holds", "every_voter_is_healthy", "no_alarm", "undisturbed")
"""Must still hold right before every write."""
PROVEN = (*STILL, "removed_members_proven", "removal_in_log")
"""Must still hold right before anything of a removed member is touched for the first time."""

PARAMETERS = {
    "max_members": Parameter(ParameterKind.INTEGER, 2, "replace at most so many members in one run", 1, 4),
    "member_timeout": Parameter(
        ParameterKind.DURATION, 600.0, "how long a replaced member may take to be Ready", 30, 3600
    ),
    "settle": Parameter(
        ParameterKind.DURATION, 6.0, "pause between two members; etcd itself wants more than 5 s", 6, 600
    ),
}


@dataclass(frozen=True)
class _Removed:
    """A removed member's pod with everything its replacement touches."""

    pod: PodFacts
    claim: ObjectRef
    volume: ObjectRef
    policy: str


def plan(facts: EtcdFacts, parameters: Mapping[str, Any]) -> Draft | NoDraft:
    """The rounds, or why there are none."""
    quorum, removed, keepers = quorum_of(facts), removed_pods(facts), healthy_pods(facts)
    if quorum is None or not removed or not keepers:
        return NoDraft(Reason.NO_SAFE_PLAN, "no healthy member, or no removed one, in this look")
    objection = _objection(facts, quorum, removed, parameters)
    if objection is not None:
        return objection
    steps: list[Step] = []
    for pod in removed:
        member = _with_storage(facts, pod)
        if isinstance(member, str):
            return NoDraft(Reason.NO_SAFE_PLAN, member)
        steps.extend(_round(len(steps), member, facts, keepers, parameters))
    names = ", ".join(pod.ref.name for pod in removed)
    return Draft(
        summary=f"replace {names} of {facts.target}, one at a time, on a fresh volume; {quorum}",
        steps=tuple(steps),
        arithmetic=tuple(_arithmetic(quorum, removed)),
    )


def _objection(
    facts: EtcdFacts, quorum: Quorum, removed: tuple[PodFacts, ...], parameters: Mapping[str, Any]
) -> NoDraft | None:
    """Why these members must not be replaced without a person; None when nothing speaks against it."""
    families = {p.family for p in removed}
    if len(quorum.voters) == 1:
        return NoDraft(
            Reason.APPROVAL_NEEDED,
            "one voter is left: adding a second makes the quorum two before it runs; a person must decide",
        )
    if len(removed) > int(parameters["max_members"]):
        return NoDraft(
            Reason.APPROVAL_NEEDED,
            f"{len(removed)} members are out; the rule lets one run replace {parameters['max_members']}",
        )
    if len(families) != 1 or not families & {Family.MILVUS, Family.BITNAMI_OLD, Family.PLAIN}:
        told = ", ".join(sorted(f"{p.ref.name}: {p.family}" for p in removed))
        return NoDraft(Reason.NO_SAFE_PLAN, f"the entrypoint of the image is not one we know to rejoin ({told})")
    unfinished = _unfinished(facts, removed)
    if unfinished:
        return NoDraft(Reason.APPROVAL_NEEDED, unfinished)
    if not quorum.survives_one_more_voter():
        return NoDraft(Reason.NO_SAFE_PLAN, f"one more voter would lose the quorum: {quorum}")
    return _entrypoint_objection(facts, quorum, removed, families.pop())


def _unfinished(facts: EtcdFacts, removed: tuple[PodFacts, ...]) -> str:
    """Somebody's half-done replacement, in words: a learner, or a member that has never started; "" when none."""
    own = {p.peer_url for p in removed if p.family is Family.PLAIN}
    for member in facts.agreed.members if facts.agreed else ():
        is_ours = any(url.rstrip("/") in own for url in member.peer_urls)
        if (member.is_learner or not member.is_started) and not is_ours:
            what = "a learner" if member.is_learner else "a member that has never started"
            return f"{what}, {member.hex_id}, is registered already: somebody's replacement is half done"
    return ""


def _entrypoint_objection(
    facts: EtcdFacts, quorum: Quorum, removed: tuple[PodFacts, ...], family: Family
) -> NoDraft | None:
    states = {p.state_env for p in removed}
    if states != {"existing"}:
        told = ", ".join(sorted(s or "unset" for s in states))
        return NoDraft(
            Reason.APPROVAL_NEEDED,
            f"ETCD_INITIAL_CLUSTER_STATE is {told}: on an empty disk the member would bootstrap under its removed id",
        )
    if family is Family.PLAIN and len(removed) > 1:
        return NoDraft(
            Reason.APPROVAL_NEEDED,
            f"{len(removed)} members of a plain image are out: each join needs another ETCD_INITIAL_CLUSTER",
        )
    if family is Family.BITNAMI_OLD:
        gate = (sum(bool(p.address) for p in facts.pods) + 1) // 2
        if len(quorum.healthy) < gate:
            return NoDraft(
                Reason.APPROVAL_NEEDED,
                f"this image rejoins only with {gate} healthy others, and {len(quorum.healthy)} are healthy",
            )
    return None


def _with_storage(facts: EtcdFacts, pod: PodFacts) -> _Removed | str:
    """The pod with its claim and volume, or what is missing, in words."""
    claim = facts.claims.get(pod.claim.name) if pod.claim else None
    if pod.claim is None or claim is None:
        return f"the claim of {pod.ref.name} was not found"
    volume = facts.volumes.get(claim["spec"].get("volumeName", ""))
    if volume is None:
        return f"the volume behind {pod.claim} was not found"
    holder = volume["spec"].get("claimRef", {}).get("uid")
    if claim.get("status", {}).get("phase") != "Bound" or holder != claim["metadata"]["uid"]:
        return f"{pod.claim} and volume {volume['metadata']['name']} are not bound to each other"
    return _Removed(
        pod,
        ObjectRef(pod.claim.resource, pod.claim.name, pod.claim.namespace, claim["metadata"]["uid"]),
        ObjectRef.of(VOLUME, volume),
        str(volume["spec"].get("persistentVolumeReclaimPolicy", "Delete")),
    )


def _arithmetic(quorum: Quorum, removed: tuple[PodFacts, ...]) -> Iterator[str]:
    voters, healthy = len(quorum.voters), len(quorum.healthy)
    yield f"now: {voters} voters, {healthy} healthy, quorum {quorum.needed}"
    for pod in removed:
        needed = (voters + 1) // 2 + 1
        yield (
            f"{pod.ref.name} joins: {voters + 1} voters, quorum {needed}, "
            f"{healthy} healthy before it runs, {healthy + 1} after"
        )
        voters, healthy = voters + 1, healthy + 1


# --- one round ---------------------------------------------------------------------------------------------


def _round(
    first: int, member: _Removed, facts: EtcdFacts, keepers: tuple[PodFacts, ...], parameters: Mapping[str, Any]
) -> list[Step]:
    pod, timeout = member.pod, timedelta(seconds=float(parameters["member_timeout"]))
    backup = f"{pod.ref.name}.snapshot.db"
    steps = [_snapshot(facts, keepers, backup), _retain(member)]
    if pod.family is Family.PLAIN:
        steps.append(_register(member, facts, keepers))
    steps += [_delete_claim(member, backup), _delete_pod(member)]
    waiting = _watch_args(member, facts, keepers)
    if pod.family is Family.PLAIN:
        steps += [_await(member, waiting, timeout, learner=True), _promote(member, facts, keepers)]
    steps.append(_await(member, waiting, timeout, learner=False))
    steps.append(_settle(facts, float(parameters["settle"])))
    return [replace(step, seq=first + i) for i, step in enumerate(steps)]


def _snapshot(facts: EtcdFacts, keepers: tuple[PodFacts, ...], backup: str) -> Step:
    revisions = [v.status.revision for v in facts.voices if v.status and v.pod in {k.ref.name for k in keepers}]
    return Step(
        seq=0,
        verb="etcd.snapshot",
        target=facts.target,
        args={
            "from": [_at(k) for k in keepers],
            "cluster_id": _cluster_id(facts),
            "backup": backup,
            "min_revision": max(revisions, default=0),
        },
        effect=Effect.NONE,
        timeout=timedelta(minutes=10),
        why="nothing is destroyed before a healthy member's snapshot is saved and its hash checked",
        changes=(Change("backup", "none", backup),),
    )


def _retain(member: _Removed) -> Step:
    return Step(
        seq=0,
        verb="kubernetes.retain_volume",
        target=member.volume,
        args={"claim_uid": member.claim.uid},
        effect=Effect.IDEMPOTENT,
        timeout=timedelta(seconds=30),
        why="the removed member's old data outlives its claim, so this can be undone",
        changes=(Change("spec.persistentVolumeReclaimPolicy", member.policy, "Retain"),),
        requires=(*PROVEN, "crash_looping"),
        may_touch=(member.volume,),
    )


def _register(member: _Removed, facts: EtcdFacts, keepers: tuple[PodFacts, ...]) -> Step:
    pod = member.pod
    return Step(
        seq=0,
        verb="etcd.add_learner",
        target=keepers[0].ref,
        args=_membership_args(member, facts, keepers),
        effect=Effect.DESTRUCTIVE,
        timeout=timedelta(seconds=60),
        why="a plain image starts only as a registered member; a learner costs no quorum until it is promoted",
        changes=(Change("members", "without " + pod.ref.name, f"{pod.ref.name} as a learner"),),
        requires=PROVEN,
        may_touch=tuple(k.ref for k in keepers),
    )


def _delete_claim(member: _Removed, backup: str) -> Step:
    return Step(
        seq=0,
        verb="kubernetes.delete_claim",
        target=member.claim,
        args={"backup": backup},
        effect=Effect.DESTRUCTIVE,
        timeout=timedelta(seconds=60),
        why="the data directory carries the removed id for ever; the claim goes once its pod does",
        changes=(Change("claim", f"bound to {member.volume.name}", "deleted; its volume is kept"),),
        requires=STILL if member.pod.family is Family.PLAIN else PROVEN,
        may_touch=(member.claim,),
    )


def _delete_pod(member: _Removed) -> Step:
    pod = member.pod
    return Step(
        seq=0,
        verb="kubernetes.delete_pod",
        target=pod.ref,
        args={},
        effect=Effect.DESTRUCTIVE,
        timeout=timedelta(seconds=60),
        why="the StatefulSet makes the pod again, with a new and empty volume",
        changes=(Change("pod", f"crash-looping, {pod.restarts} restarts", "made anew by its StatefulSet"),),
        requires=STILL,
        may_touch=(pod.ref,),
    )


def _promote(member: _Removed, facts: EtcdFacts, keepers: tuple[PodFacts, ...]) -> Step:
    return Step(
        seq=0,
        verb="etcd.promote",
        target=keepers[0].ref,
        args=_membership_args(member, facts, keepers),
        effect=Effect.DESTRUCTIVE,
        timeout=timedelta(minutes=2),
        why="in sync with the leader, it may vote",
        changes=(Change("members", f"{member.pod.ref.name} is a learner", "a voter"),),
        requires=("one_cluster", "quorum_holds", "no_alarm"),
        may_touch=tuple(k.ref for k in keepers),
    )


def _await(member: _Removed, watched: Mapping[str, Any], timeout: timedelta, *, learner: bool) -> Step:
    what = "join as a learner and catch up" if learner else "be a voter, in sync and Ready"
    return Step(
        seq=0,
        verb="etcd.await_member",
        target=ObjectRef(POD, member.pod.ref.name, member.pod.ref.namespace),
        args={**watched, "learner": learner},
        effect=Effect.NONE,
        timeout=timeout,
        why=f"wait for {member.pod.ref.name} to {what}",
    )


def _settle(facts: EtcdFacts, seconds: float) -> Step:
    return Step(
        seq=0,
        verb="etcd.settle",
        target=facts.target,
        args={"seconds": seconds},
        effect=Effect.NONE,
        timeout=timedelta(seconds=seconds * 4 + 120),
        why="etcd refuses the next membership change until every voter has been connected for 5 s",
    )


def _watch_args(member: _Removed, facts: EtcdFacts, keepers: tuple[PodFacts, ...]) -> dict[str, Any]:
    """What the new member is recognised by, and what must not move while we wait for it."""
    return {
        "set": facts.target.as_json(),
        "old_pod_uid": member.pod.ref.uid,
        "old_claim_uid": member.claim.uid,
        "old_id": f"{member.pod.words.dead_id:x}",
        "peer_url": member.pod.peer_url,
        "cluster_id": _cluster_id(facts),
        "generation": facts.generation,
        "keepers": {k.ref.name: {"uid": k.ref.uid, "restarts": k.restarts} for k in keepers},
    }


def _membership_args(member: _Removed, facts: EtcdFacts, keepers: tuple[PodFacts, ...]) -> dict[str, Any]:
    return {
        "through": [_at(k) for k in keepers],
        "cluster_id": _cluster_id(facts),
        "peer_url": member.pod.peer_url,
        "pod": member.pod.ref.name,
    }


def _cluster_id(facts: EtcdFacts) -> str:
    return f"{facts.agreed.cluster_id:x}" if facts.agreed else ""


def _at(pod: PodFacts) -> dict[str, Any]:
    return pod.ref.as_json()


REPLACE_REMOVED_MEMBERS: Remedy[EtcdFacts] = Remedy(
    name="replace-removed-members",
    what="snapshot, keep the old volume, and let each removed member join again on an empty one",
    parameters=PARAMETERS,
    plan=plan,
)
