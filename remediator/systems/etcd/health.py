"""
When an etcd is well: every replica a started voter, one leader, nobody behind, equal data, every pod Ready.

Pure, over one look. With the plan that was carried out, it must also hold at least the data it had before.
"""

from __future__ import annotations

from collections.abc import Iterator

from remediator.model.plans import Plan
from remediator.model.systems import Health
from remediator.systems.etcd.facts import EtcdFacts
from remediator.systems.etcd.quorum import quorum_of

BEHIND = 100
"""Raft entries a member may lag when all is well."""


def health(facts: EtcdFacts, plan: Plan | None) -> Health:
    """Well only when nothing speaks against it."""
    objection = next(_objections(facts, plan), "")
    if objection:
        return Health(False, objection)
    quorum = quorum_of(facts)
    return Health(True, f"{quorum}; every pod Ready; data equal at revision {facts.hash_revision}")


def _objections(facts: EtcdFacts, plan: Plan | None) -> Iterator[str]:
    yield from (f"could not read {what}" for what in facts.unread)
    if len(facts.pods) != facts.replicas:
        yield f"{len(facts.pods)} of {facts.replicas} pods exist"
    yield from (f"{p.ref.name} is not Ready" for p in facts.down)
    yield from _membership(facts)
    yield from _agreement(facts)
    if plan is not None:
        yield from _no_loss(facts, plan)


def _membership(facts: EtcdFacts) -> Iterator[str]:
    agreed, quorum = facts.agreed, quorum_of(facts)
    if agreed is None or quorum is None:
        yield "no member gave the linearizable member list"
        return
    yield from (f"member {m.hex_id} has not started" for m in agreed.members if not m.is_started)
    yield from (f"member {m.name} is still a learner" for m in agreed.members if m.is_learner)
    if len(quorum.voters) != facts.replicas:
        yield f"{len(quorum.voters)} of {facts.replicas} members are registered"
    if not quorum.all_voters_are_healthy:
        yield f"not every voter is healthy: {quorum}"


def _agreement(facts: EtcdFacts) -> Iterator[str]:
    states = [v.status for v in facts.voices if v.status]
    if len(states) != facts.replicas:
        yield f"{len(states)} of {facts.replicas} members answer"
        return
    if len({s.leader for s in states}) != 1:
        yield "the members do not agree on one leader"
    highest = max(s.applied_index for s in states)
    yield from (
        f"member {s.member_id:x} is {highest - s.applied_index} entries behind"
        for s in states
        if highest - s.applied_index > BEHIND
    )
    yield from (f"member {s.member_id:x} reports {s.errors[0]}" for s in states if s.errors)
    yield from (f"alarm {v.alarms[0]} is raised" for v in facts.voices if v.alarms)
    hashes = {v.hash for v in facts.voices}
    if len(hashes) != 1 or None in hashes:
        yield f"the data is not known to be equal at revision {facts.hash_revision}"


def _no_loss(facts: EtcdFacts, plan: Plan) -> Iterator[str]:
    wanted = max((int(s.args.get("min_revision", 0)) for s in plan.steps), default=0)
    if facts.hash_revision < wanted:
        yield f"the data stands at revision {facts.hash_revision}, and stood at {wanted} before"
