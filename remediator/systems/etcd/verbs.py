"""
What can be done to an etcd: save a snapshot, register a learner, promote it, and wait for a member.

Every verb looks before it acts and recognises its own effect in the member list, so an interrupted one is
settled by asking the members. Waiting verbs stop at the first sign that the cluster is not as it was left.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from remediator.model.calls import Door
from remediator.model.errors import NotFound, Permanent, RemoteError, Temporary
from remediator.model.objects import CLAIM, POD, ObjectRef
from remediator.model.plans import Effect, Step
from remediator.model.seams import ReadAccess, WriteAccess
from remediator.model.systems import (
    AlreadyDone,
    Blocked,
    Done,
    Failed,
    Found,
    Prepared,
    Ready,
    Retry,
    StepResult,
    Verb,
)
from remediator.model.verdicts import Reason
from remediator.systems.etcd import api
from remediator.systems.etcd.facts import EtcdFacts, PodFacts
from remediator.systems.etcd.quorum import quorum_of
from remediator.systems.etcd.survey import look

POLL = 2.0
"""Seconds between two looks while waiting."""
SHA256_BYTES = 32
REMOVED_AGAIN = ("cluster_id_mismatch", "already_bootstrapped")


async def _door(read: ReadAccess | WriteAccess, ref: ObjectRef) -> Door | None:
    """Where this very pod answers now; None when it is gone or has no address."""
    try:
        pod = await read.cluster.get(ref)
    except Permanent:
        return None
    address = str(pod.get("status", {}).get("podIP", ""))
    return Door(ref, address, api.CLIENT_PORT) if address else None


async def _voter_door(read: ReadAccess | WriteAccess, refs: list[Mapping[str, Any]], cluster_id: str) -> Door:
    """
    The first of these pods that answers for this very cluster, has a leader and is no learner.

    Raises Temporary when none does: an address may have passed to another pod, and another cluster may answer there.
    """
    for data in refs:
        door = await _door(read, ObjectRef.from_json(data))
        if door is None:
            continue
        try:
            said = await api.status(read.endpoints, door)
        except RemoteError:
            continue
        if said.leader and not said.is_learner and f"{said.cluster_id:x}" == cluster_id:
            return door
    raise Temporary(f"none of {len(refs)} healthy members of cluster {cluster_id} answers with a leader", after=POLL)


async def _members(read: ReadAccess, step: Step) -> tuple[Door, api.MemberList]:
    """A healthy member that may change the membership, and the list that a quorum agrees on."""
    door = await _voter_door(read, step.args["through"], str(step.args["cluster_id"]))
    return door, await api.member_list(read.endpoints, door, linearizable=True)


# --- snapshot ----------------------------------------------------------------------------------------------


class Snapshot:
    """Save a snapshot of a healthy member as this run's backup, and prove it by its own checksum."""

    effect = Effect.NONE

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        if not read.backups.is_configured:
            return Blocked(Reason.APPROVAL_NEEDED, "no backup_directory is configured, so no snapshot can be kept")
        saved = await read.backups.find(run_id, str(step.args["backup"]))
        if saved is not None and saved.size > SHA256_BYTES:
            return AlreadyDone(f"the snapshot is there: {saved.size} bytes, sha256 {saved.sha256[:12]}…")
        return Ready({})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        door = await _voter_door(write, step.args["from"], str(step.args["cluster_id"]))
        said = await api.status(write.endpoints, door)
        if said.revision < int(step.args["min_revision"]):
            return Retry(POLL, f"{door.pod} stands at revision {said.revision}, behind {step.args['min_revision']}")
        checked = _checksummed(api.snapshot(write.endpoints, door), str(door.pod))
        saved = await write.backups.save(write.run_id, str(step.args["backup"]), checked)
        return Done(
            changed=False, detail=f"{saved.size} bytes at revision ≥ {said.revision}, sha256 {saved.sha256[:12]}…"
        )

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        saved = await read.backups.find(run_id, str(step.args["backup"]))
        return Found.DONE if saved is not None and saved.size > SHA256_BYTES else Found.NOT_DONE


async def _checksummed(chunks: AsyncIterator[bytes], source: str) -> AsyncIterator[bytes]:
    """
    Pass a snapshot through, and raise Permanent at its end unless its last 32 bytes are the SHA-256 of the rest.

    Raising before the end keeps an unproven file from being renamed into place.
    """
    digest, tail, length = hashlib.sha256(), b"", 0
    async for chunk in chunks:
        length += len(chunk)
        held = tail + chunk
        digest.update(held[:-SHA256_BYTES])
        tail = held[-SHA256_BYTES:]
        yield chunk
    if length <= SHA256_BYTES or digest.digest() != tail:
        raise Permanent(f"the snapshot of {source} fails its own checksum ({length} bytes)")


# --- membership --------------------------------------------------------------------------------------------


class AddLearner:
    """Register a peer address as a learner: it costs no quorum until it is promoted."""

    effect = Effect.DESTRUCTIVE

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        door, listed = await _members(read, step)
        known = listed.at(str(step.args["peer_url"]))
        if known is not None and not known.is_started:
            return AlreadyDone(f"{step.args['peer_url']} is registered as {known.hex_id}")
        if known is not None:
            return Blocked(Reason.TARGET_CHANGED, f"{step.args['peer_url']} is a started member, {known.hex_id}")
        if any(m.is_learner for m in listed.members):
            return Blocked(Reason.TARGET_CHANGED, "another learner is registered; etcd allows one")
        return Ready({"through": door.pod.as_json()})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        door = await _door(write, ObjectRef.from_json(intent["through"]))
        if door is None:
            return Failed(Reason.TARGET_CHANGED, "the member that should register it is gone")
        reply = await write.endpoints.send(door, api.add_learner(str(step.args["peer_url"])))
        body = api.written(reply, f"{door.pod} member add")
        added = api.members_of({"members": [body.get("member")]})[0]
        return Done(changed=True, detail=f"{step.args['pod']} is registered as learner {added.hex_id}")

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        try:
            _, listed = await _members(read, step)
        except RemoteError:
            return Found.UNKNOWN
        return Found.DONE if listed.at(str(step.args["peer_url"])) else Found.NOT_DONE


class Promote:
    """Make a learner that has caught up a voter."""

    effect = Effect.DESTRUCTIVE

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        door, listed = await _members(read, step)
        known = listed.at(str(step.args["peer_url"]))
        if known is None:
            return Blocked(Reason.TARGET_CHANGED, f"{step.args['peer_url']} is not registered any more")
        if not known.is_learner:
            return AlreadyDone(f"{step.args['pod']} votes already")
        return Ready({"through": door.pod.as_json(), "id": known.hex_id})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        door = await _door(write, ObjectRef.from_json(intent["through"]))
        if door is None:
            return Failed(Reason.TARGET_CHANGED, "the member that should promote it is gone")
        reply = await write.endpoints.send(door, api.promote(int(intent["id"], 16)))
        api.written(reply, f"{door.pod} member promote")
        return Done(changed=True, detail=f"{step.args['pod']} votes")

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        try:
            _, listed = await _members(read, step)
        except RemoteError:
            return Found.UNKNOWN
        known = listed.at(str(step.args["peer_url"]))
        return Found.DONE if known is not None and not known.is_learner else Found.NOT_DONE


# --- waiting -----------------------------------------------------------------------------------------------


class AwaitMember:
    """Wait until a replaced member has joined (as a learner) or votes and its pod is Ready."""

    effect = Effect.NONE

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        return Ready({})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        facts = await _look(write, ObjectRef.from_json(step.args["set"]))
        alarm = _stop_at_once(facts, step)
        if alarm:
            return Failed(Reason.STEP_FAILED, alarm)
        claim_is_new = await _claim_is_new(write, step)
        waiting_for = _waiting_for(facts, step, claim_is_new=claim_is_new)
        if waiting_for:
            return Retry(POLL, waiting_for)
        return Done(changed=False, detail=f"{step.target.name} {_joined_as(facts, step)}")

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        return Found.NOT_DONE


async def _look(write: WriteAccess, target: ObjectRef) -> EtcdFacts:
    """The survey through the reading half of a write handle."""
    return (await look(ReadAccess(write.cluster, write.endpoints, write.backups, write.clock), target, {})).facts


def _stop_at_once(facts: EtcdFacts, step: Step) -> str:
    """The signs of the sheet that something else is going on; "" when there is none."""
    if facts.generation != step.args["generation"]:
        return "somebody changed the StatefulSet while its member was being replaced"
    clusters = {f"{v.own_view.cluster_id:x}" for v in facts.steady_voices if v.own_view}
    if clusters - {step.args["cluster_id"]}:
        return f"a second cluster answers: {', '.join(sorted(clusters))}"
    for name, was in step.args["keepers"].items():
        keeper = next((p for p in facts.pods if p.ref.name == name), None)
        if keeper is None or keeper.ref.uid != was["uid"] or keeper.restarts != was["restarts"]:
            return f"the healthy member {name} was restarted or replaced while we waited"
    pod = _new_pod(facts, step)
    return _bad_words(pod) if pod is not None else ""


def _bad_words(pod: PodFacts) -> str:
    if pod.words.removed:
        return f"{pod.ref.name} says again that it was removed: {pod.words.line[:160]}"
    for name, line in pod.words.lookalikes:
        if name in REMOVED_AGAIN:
            return f"{pod.ref.name} says {line[:160]}"
    return ""


def _new_pod(facts: EtcdFacts, step: Step) -> PodFacts | None:
    return next(
        (p for p in facts.pods if p.ref.name == step.target.name and p.ref.uid != step.args["old_pod_uid"]), None
    )


async def _claim_is_new(write: WriteAccess, step: Step) -> bool:
    try:
        pod = await write.cluster.get(ObjectRef(POD, step.target.name, step.target.namespace))
        names = [
            v["persistentVolumeClaim"]["claimName"] for v in pod["spec"]["volumes"] if "persistentVolumeClaim" in v
        ]
        claims = [await write.cluster.get(ObjectRef(CLAIM, name, step.target.namespace)) for name in names]
    except NotFound:
        return False
    return bool(claims) and step.args["old_claim_uid"] not in {c["metadata"]["uid"] for c in claims}


def _waiting_for(facts: EtcdFacts, step: Step, *, claim_is_new: bool) -> str:
    """What is still missing, in words; "" when the member has arrived."""
    pod, agreed = _new_pod(facts, step), facts.agreed
    if pod is None:
        return "the new pod does not exist yet"
    if not claim_is_new:
        return "the new claim does not exist yet"
    if agreed is None:
        return "no healthy member gives the member list"
    wanted = step.args["peer_url"]
    member = agreed.at(wanted)
    if member is None:
        return f"{wanted} is not registered yet"
    if member.hex_id == step.args["old_id"]:
        return f"{wanted} is registered under its removed id {member.hex_id}"
    if not member.is_started:
        return f"member {member.hex_id} is registered and has not started yet"
    return _not_in_sync(facts, pod, member) or _not_serving(facts, pod, member, learner=step.args["learner"])


def _not_in_sync(facts: EtcdFacts, pod: PodFacts, member: api.Member) -> str:
    voice = next((v for v in facts.voices if v.pod == pod.ref.name), None)
    if voice is None or voice.status is None:
        return f"member {member.hex_id} does not answer yet"
    highest = max(v.status.applied_index for v in facts.voices if v.status)
    behind = highest - voice.status.applied_index
    return f"member {member.hex_id} is {behind} entries behind" if behind > 100 else ""


def _not_serving(facts: EtcdFacts, pod: PodFacts, member: api.Member, *, learner: bool) -> str:
    if learner:
        return ""
    if member.is_learner:
        return f"member {member.hex_id} is still a learner"
    return "" if pod.is_ready else f"{pod.ref.name} is not Ready yet"


def _joined_as(facts: EtcdFacts, step: Step) -> str:
    member = facts.agreed.at(step.args["peer_url"]) if facts.agreed else None
    role = "learner" if step.args["learner"] else "voter"
    return f"joined as {role} {member.hex_id if member else '?'}; {quorum_of(facts)}"


class Settle:
    """Let the cluster be for a while, and see that every voter is healthy at the end of it."""

    effect = Effect.NONE

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        return Ready({"until_after": read.clock.now().isoformat()})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        waited = (write.clock.now() - datetime.fromisoformat(intent["until_after"])).total_seconds()
        if waited < float(step.args["seconds"]):
            return Retry(float(step.args["seconds"]) - waited, "letting the members connect")
        facts = await _look(write, step.target)
        quorum = quorum_of(facts)
        if quorum is None or not quorum.all_voters_are_healthy:
            return Retry(POLL, f"not every voter is healthy: {quorum}")
        return Done(changed=False, detail=str(quorum))

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        return Found.NOT_DONE


VERBS: Mapping[str, Verb] = {
    "etcd.snapshot": Snapshot(),
    "etcd.add_learner": AddLearner(),
    "etcd.promote": Promote(),
    "etcd.await_member": AwaitMember(),
    "etcd.settle": Settle(),
}
