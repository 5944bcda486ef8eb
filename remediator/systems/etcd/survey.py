"""
Look at a whole etcd StatefulSet once: objects from the API server, and what every running member says.

Read-only. What could not be read is recorded as not known, with why; it is never left out, so that no judgement
can mistake silence for health or for death.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from remediator.model.calls import Door, LogText
from remediator.model.errors import NotFound, RemoteError
from remediator.model.objects import JOB, NODE, POD, STATEFUL_SET, VOLUME, Manifest, ObjectRef, is_ready
from remediator.model.seams import ReadAccess
from remediator.model.systems import Surveyed
from remediator.systems.etcd import api
from remediator.systems.etcd.facts import EtcdFacts, PodFacts, Voice
from remediator.systems.etcd.logs import UNREADABLE, LastWords, read_last_words
from remediator.systems.etcd.pods import CONTAINER, death_in, pod_facts

SIGHTINGS_KEPT = 4
"""More than any rule may ask for."""


async def look(read: ReadAccess, target: ObjectRef, notes: Mapping[str, Any]) -> Surveyed[EtcdFacts]:
    """Survey the StatefulSet `target`. Raises RemoteError only when the StatefulSet itself cannot be read."""
    owner = await read.cluster.get(target)
    pods = await _pods(read, owner)
    seen = [pod_facts(pod, read.clock.now()) for pod in pods]
    unread: set[str] = set()
    jobs, (claims, volumes, nodes) = await asyncio.gather(
        _jobs(read, target.namespace, unread), _storage_and_nodes(read, seen, unread)
    )
    spoken, words = await asyncio.gather(
        asyncio.gather(*(_listen(read, p) for p in seen if p.is_running)),
        asyncio.gather(*(_last_words(read, p, unread) for p in seen)),
    )
    seen = [replace(p, words=w) for p, w in zip(seen, words, strict=True)]
    noted = _note_sightings(seen, notes)
    seen = [replace(p, deaths_seen=len(noted.get(p.ref.uid, ()))) for p in seen]
    revision, voices = await _hash_all(read, seen, spoken)
    leaderless = _leaderless_looks(voices, notes)
    facts = EtcdFacts(
        target=ObjectRef.of(STATEFUL_SET, owner),
        at=read.clock.now(),
        replicas=int(owner["spec"].get("replicas", 1)),
        generation=int(owner["metadata"].get("generation", 0)),
        rollout=_rollout(owner, jobs, nodes, seen),
        pods=tuple(sorted(seen, key=lambda p: p.ordinal)),
        voices=tuple(voices),
        claims=claims,
        volumes=volumes,
        hash_revision=revision,
        leaderless_looks=leaderless,
        unread=tuple(sorted(unread)),
    )
    return Surveyed(facts, {"sightings": noted, "leaderless": leaderless})


def _leaderless_looks(voices: Sequence[Voice], notes: Mapping[str, Any]) -> int:
    """An election takes a second; quorum that is lost stays lost."""
    spoke = [v for v in voices if v.status is not None]
    is_leaderless = bool(spoke) and not any(v.has_leader for v in spoke)
    return int(notes.get("leaderless", 0)) + 1 if is_leaderless else 0


async def _pods(read: ReadAccess, owner: Manifest) -> list[Manifest]:
    selector = owner["spec"]["selector"].get("matchLabels", {})
    listed = await read.cluster.list(POD, owner["metadata"]["namespace"], labels=selector)
    return [pod for pod in listed if _is_owned(pod, owner)]


async def _jobs(read: ReadAccess, namespace: str, unread: set[str]) -> Sequence[Manifest]:
    try:
        return await read.cluster.list(JOB, namespace)
    except RemoteError as error:
        unread.add(f"jobs in {namespace}: {error}")
        return ()


def _is_owned(pod: Manifest, owner: Manifest) -> bool:
    references = pod["metadata"].get("ownerReferences", ())
    return any(r.get("uid") == owner["metadata"]["uid"] and r.get("controller") for r in references)


async def _storage_and_nodes(
    read: ReadAccess, pods: Sequence[PodFacts], unread: set[str]
) -> tuple[dict[str, Manifest], dict[str, Manifest], dict[str, Manifest]]:
    """Claims by name and volumes by name of the pods that are down, and the nodes of all."""
    claim_refs = [p.claim for p in pods if not p.is_ready and p.claim is not None]
    node_refs = {p.node: ObjectRef(NODE, p.node) for p in pods if p.node}
    claims, nodes = await asyncio.gather(
        _get_all(read, claim_refs, unread), _get_all(read, list(node_refs.values()), unread)
    )
    volume_names = [c["spec"].get("volumeName", "") for c in claims.values()]
    volumes = await _get_all(read, [ObjectRef(VOLUME, name) for name in volume_names if name], unread)
    return claims, volumes, nodes


async def _get_all(read: ReadAccess, refs: Sequence[ObjectRef], unread: set[str]) -> dict[str, Manifest]:
    async def one(ref: ObjectRef) -> tuple[str, Manifest | None]:
        try:
            return ref.name, await read.cluster.get(ref)
        except NotFound:
            return ref.name, None
        except RemoteError as error:
            unread.add(f"{ref}: {error}")
            return ref.name, None

    return {name: found for name, found in await asyncio.gather(*map(one, refs)) if found is not None}


# --- the log -----------------------------------------------------------------------------------------------


async def _last_words(read: ReadAccess, pod: PodFacts, unread: set[str]) -> LastWords:
    """
    The log of the death in `pod`, and of no other.

    The pod is read again afterwards: had the container died once more meanwhile, one log would count as two.
    """
    if pod.is_ready or pod.death is None:
        return UNREADABLE
    try:
        log = await _log_of_the_dead(read, pod)
        again = await read.cluster.get(pod.ref)
    except RemoteError as error:
        unread.add(f"log of {pod.ref}: {error}")
        return UNREADABLE
    if log is None or not log.available or death_in(again) != pod.death:
        return UNREADABLE
    return read_last_words(log.text)


async def _log_of_the_dead(read: ReadAccess, pod: PodFacts) -> LogText | None:
    """A container that has ended and not been started again is the current one; else it is the previous one."""
    for previous in (not pod.has_just_died, pod.has_just_died):
        try:
            return await read.cluster.log(pod.ref, CONTAINER, previous=previous)
        except NotFound:
            if pod.is_running:
                return None  # the current log is of the living
    return None


def _note_sightings(pods: Sequence[PodFacts], notes: Mapping[str, Any]) -> dict[str, list[str]]:
    """Deaths whose log told of the removal, by pod uid. A pod whose latest log does not say so starts again."""
    before: Mapping[str, list[str]] = notes.get("sightings", {})
    noted: dict[str, list[str]] = {}
    for pod in pods:
        if pod.death is None or not pod.words.available:
            if pod.ref.uid in before:
                noted[pod.ref.uid] = before[pod.ref.uid]
            continue
        if not pod.words.removed:
            continue
        death = pod.death.container_id or f"{pod.restarts}@{pod.death.finished_at}"
        known = before.get(pod.ref.uid, [])
        noted[pod.ref.uid] = known if death in known else [*known, death][-SIGHTINGS_KEPT:]
    return noted


# --- the members -------------------------------------------------------------------------------------------


def door_of(pod: PodFacts) -> Door:
    return Door(pod.ref, pod.address, api.CLIENT_PORT)


async def _listen(read: ReadAccess, pod: PodFacts) -> Voice:
    """Ask one running member everything. A member that fails half-way counts as silent."""
    if not pod.address:
        return Voice(pod.ref.name, "the pod has no address yet")
    door = door_of(pod)
    try:
        state = await api.status(read.endpoints, door)
        if state.is_learner:
            return Voice(pod.ref.name, status=state, alarms=())  # a learner answers nothing else
        own = await api.member_list(read.endpoints, door, linearizable=False)
        raised = await api.alarms(read.endpoints, door)
    except RemoteError as error:
        return Voice(pod.ref.name, str(error))
    return Voice(
        pod.ref.name,
        own_view=own,
        agreed_view=await _agreed_view(read, door) if state.leader else None,
        status=state,
        alarms=raised,
    )


async def _agreed_view(read: ReadAccess, door: Door) -> api.MemberList | None:
    try:
        return await api.member_list(read.endpoints, door, linearizable=True)
    except RemoteError:
        return None


async def _hash_all(read: ReadAccess, pods: Sequence[PodFacts], voices: Sequence[Voice]) -> tuple[int, list[Voice]]:
    """Once every pod is Ready, compare the data itself: the hash of every member at one revision they all have."""
    speaking = [v for v in voices if v.status is not None]
    if len(speaking) < len(pods) or not speaking or any(not p.is_ready for p in pods):
        return 0, list(voices)
    revision = min(v.status.revision for v in speaking if v.status)
    doors = {p.ref.name: door_of(p) for p in pods}

    async def hashed(voice: Voice) -> Voice:
        try:
            return replace(voice, hash=await api.hash_at(read.endpoints, doors[voice.pod], revision))
        except RemoteError:
            return voice

    return revision, list(await asyncio.gather(*map(hashed, speaking)))


# --- who else is at work -----------------------------------------------------------------------------------


def _rollout(owner: Manifest, jobs: Sequence[Manifest], nodes: Mapping[str, Manifest], pods: Sequence[PodFacts]) -> str:
    state = owner.get("status", {})
    if int(state.get("observedGeneration", 0)) < int(owner["metadata"].get("generation", 0)):
        return "the StatefulSet controller has not seen the newest specification yet"
    if state.get("currentRevision") != state.get("updateRevision"):
        return f"a rollout to {state.get('updateRevision')} is in progress"
    for job in jobs:
        name = str(job["metadata"]["name"])
        if name.startswith(f"{owner['metadata']['name']}-pre-upgrade") and job.get("status", {}).get("active"):
            return f"the Helm job {name} is at work"
    drained = sorted({p.node for p in pods if nodes.get(p.node, {}).get("spec", {}).get("unschedulable")})
    if drained:
        return f"node {drained[0]} is cordoned"
    away = sorted({p.node for p in pods if p.node in nodes and not is_ready(nodes[p.node])})
    if away:
        return f"node {away[0]} is not Ready"
    return ""
