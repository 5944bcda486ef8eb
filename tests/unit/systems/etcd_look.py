"""
One look at an etcd, built by hand: `cluster(3, removed=(0,))` is three pods of which the first was removed.

Every part can be changed afterwards by name, so that a test shows only what it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from remediator.model.objects import CLAIM, POD, STATEFUL_SET, VOLUME, ObjectRef
from remediator.systems.etcd.api import Member, MemberList, Status
from remediator.systems.etcd.facts import Death, EtcdFacts, PodFacts, Voice
from remediator.systems.etcd.images import Family
from remediator.systems.etcd.logs import LastWords

SET = ObjectRef(STATEFUL_SET, "my-etcd", "milvus", "uid-set")
CLUSTER_ID = 0x9491C1FF1B697B36
SAID = '"error":"the member has been permanently removed from the cluster"'


def url(n: int) -> str:
    return f"http://my-etcd-{n}.my-etcd-headless.milvus.svc.cluster.local:2380"


def member(n: int, **changes: Any) -> Member:
    """The member of pod `n`: its id is 0xa0 + n."""
    return replace(Member(0xA0 + n, f"my-etcd-{n}", (url(n),), is_learner=False), **changes)


def healthy_pod(n: int, **changes: Any) -> PodFacts:
    pod = PodFacts(
        ref=ObjectRef(POD, f"my-etcd-{n}", "milvus", f"uid-pod-{n}"),
        ordinal=n,
        address=f"10.0.0.{n + 1}",
        node=f"node-{n}",
        is_ready=True,
        is_running=True,
        is_crash_looping=False,
        restarts=0,
        death=None,
        peer_url=url(n),
        family=Family.MILVUS,
        state_env="existing",
        claim=ObjectRef(CLAIM, f"data-my-etcd-{n}", "milvus"),
    )
    return replace(pod, **changes)


def removed_pod(n: int, **changes: Any) -> PodFacts:
    """Crash-looping, and its last words told of the removal in two deaths."""
    pod = healthy_pod(
        n,
        is_ready=False,
        is_running=False,
        is_crash_looping=True,
        restarts=14,
        death=Death(0, "Completed", "2026-11-21T02:51:54Z", f"containerd://c{n}"),
        words=LastWords(available=True, removed=True, dead_id=0xDEAD0 + n, line=SAID),
        deaths_seen=2,
    )
    return replace(pod, **changes)


def status(n: int, **changes: Any) -> Status:
    """What member `n` says of itself; the leader is 0xa9 unless told."""
    said = Status(
        cluster_id=CLUSTER_ID,
        member_id=0xA0 + n,
        revision=500 + n,
        leader=0xA9,
        raft_index=1000,
        applied_index=1000,
        is_learner=False,
        errors=(),
    )
    return replace(said, **changes)


def voice(n: int, members: Sequence[Member], **changes: Any) -> Voice:
    listed = MemberList(CLUSTER_ID, 0xA0 + n, tuple(members))
    spoken = Voice(f"my-etcd-{n}", own_view=listed, agreed_view=listed, status=status(n), alarms=(), hash=None)
    return replace(spoken, **changes)


def cluster(replicas: int = 3, removed: Sequence[int] = (0,), **changes: Any) -> EtcdFacts:
    """`replicas` pods; those in `removed` were removed, and the others are the whole, healthy membership."""
    ours = [n for n in range(replicas) if n not in removed]
    members = [member(n) for n in ours]
    all_well = not removed
    look = EtcdFacts(
        target=SET,
        at=datetime(2026, 11, 21, 3, 0, tzinfo=UTC),
        replicas=replicas,
        generation=7,
        rollout="",
        pods=tuple(removed_pod(n) if n in removed else healthy_pod(n) for n in range(replicas)),
        voices=tuple(voice(n, members, hash=77 if all_well else None) for n in ours),
        claims={f"data-my-etcd-{n}": claim(n) for n in removed},
        volumes={f"pv-{n}": volume(n) for n in removed},
        hash_revision=500 if all_well else 0,
    )
    return replace(look, **changes)


def claim(n: int) -> dict[str, Any]:
    return {
        "metadata": {"name": f"data-my-etcd-{n}", "namespace": "milvus", "uid": f"uid-claim-{n}"},
        "spec": {"volumeName": f"pv-{n}"},
        "status": {"phase": "Bound"},
    }


def volume(n: int) -> dict[str, Any]:
    return {
        "metadata": {"name": f"pv-{n}", "uid": f"uid-pv-{n}"},
        "spec": {"persistentVolumeReclaimPolicy": "Delete", "claimRef": {"uid": f"uid-claim-{n}"}},
    }


def volume_ref(n: int) -> ObjectRef:
    return ObjectRef(VOLUME, f"pv-{n}", uid=f"uid-pv-{n}")


def with_pod(facts: EtcdFacts, n: int, **changes: Any) -> EtcdFacts:
    """The same look, with pod `n` changed."""
    return replace(facts, pods=tuple(replace(p, **changes) if p.ordinal == n else p for p in facts.pods))


def with_voice(facts: EtcdFacts, n: int, **changes: Any) -> EtcdFacts:
    """The same look, with what pod `n` said changed; `status_x` changes `x` of its status."""
    state = {k.removeprefix("status_"): v for k, v in changes.items() if k.startswith("status_")}
    rest = {k: v for k, v in changes.items() if not k.startswith("status_")}

    def told(spoken: Voice) -> Voice:
        if spoken.pod != f"my-etcd-{n}":
            return spoken
        if state and spoken.status:
            spoken = replace(spoken, status=replace(spoken.status, **state))
        return replace(spoken, **rest)

    return replace(facts, voices=tuple(map(told, facts.voices)))


def with_members(facts: EtcdFacts, *members: Member) -> EtcdFacts:
    """The same look, with every member telling of these members."""
    listed = MemberList(CLUSTER_ID, 0xA0, members)
    return replace(facts, voices=tuple(replace(v, own_view=listed, agreed_view=listed) for v in facts.voices))


def silent(n: int) -> Voice:
    return Voice(f"my-etcd-{n}", "no connection")
