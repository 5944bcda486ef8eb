"""
Quorum by etcd's own arithmetic: from the member list, never from the number of pods.

    V  voters in the linearizable list            Q  V // 2 + 1
    H  voters whose own status names the same leader and cluster, and whose applied index is near the highest
"""

from __future__ import annotations

from dataclasses import dataclass

from remediator.systems.etcd.api import Member, MemberList
from remediator.systems.etcd.facts import EtcdFacts, PodFacts

NEAR = 1000
"""Raft entries a healthy member may be behind (a busy cluster applies thousands each second)."""


@dataclass(frozen=True)
class Quorum:
    voters: tuple[Member, ...]
    healthy: tuple[Member, ...]

    @property
    def needed(self) -> int:
        return len(self.voters) // 2 + 1

    @property
    def holds(self) -> bool:
        return bool(self.voters) and len(self.healthy) >= self.needed

    @property
    def all_voters_are_healthy(self) -> bool:
        return bool(self.voters) and len(self.healthy) == len(self.voters)

    def survives_one_more_voter(self, more: int = 1) -> bool:
        """Whether the quorum of `more` additional voters is there before any of them runs."""
        return len(self.healthy) >= (len(self.voters) + more) // 2 + 1

    def __str__(self) -> str:
        return f"{len(self.voters)} voters registered, {len(self.healthy)} healthy, quorum {self.needed}"


def quorum_of(facts: EtcdFacts) -> Quorum | None:
    """None when no member that has a leader gave the linearizable list."""
    agreed = facts.agreed
    if agreed is None:
        return None
    healthy = tuple(m for m in agreed.voters if _is_healthy(m, agreed, facts))
    return Quorum(agreed.voters, healthy)


def _is_healthy(member: Member, agreed: MemberList, facts: EtcdFacts) -> bool:
    voices = [v for v in facts.steady_voices if v.status and v.status.member_id == member.id]
    if not member.is_started or len(voices) != 1:
        return False
    said = voices[0].status
    states = [v.status for v in facts.voices if v.status and v.status.cluster_id == agreed.cluster_id]
    leader = next((v.status.leader for v in facts.voices if v.agreed_view is agreed and v.status), 0)
    highest = max((s.applied_index for s in states), default=0)
    return (
        said is not None
        and said.cluster_id == agreed.cluster_id
        and said.leader == leader != 0
        and highest - said.applied_index <= NEAR
    )


def healthy_pods(facts: EtcdFacts) -> tuple[PodFacts, ...]:
    """Pods that run a healthy voter."""
    quorum = quorum_of(facts)
    if quorum is None:
        return ()
    ids = {m.id for m in quorum.healthy}
    names = {v.pod for v in facts.voices if v.status and v.status.member_id in ids}
    return tuple(p for p in facts.pods if p.ref.name in names)


def removed_pods(facts: EtcdFacts) -> tuple[PodFacts, ...]:
    """
    Pods whose member is proven to have been removed: it died, its last words say so, and the members agree.

    A registration under the pod's address with another id is one that was made and never started.
    """
    agreed = facts.agreed
    if agreed is None:
        return ()
    return tuple(p for p in facts.pods if is_removed(p, agreed))


def is_removed(pod: PodFacts, agreed: MemberList) -> bool:
    if pod.is_ready or not pod.restarts or not pod.words.removed or not pod.peer_url:
        return False
    registered = agreed.at(pod.peer_url)
    if registered is None:
        return True
    return not registered.is_started and registered.id != pod.words.dead_id != 0
