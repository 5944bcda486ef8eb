"""
etcd in a StatefulSet (Milvus and others): a member was permanently removed while the others keep quorum.

`locating` finds the StatefulSet, `survey` looks (`pods` reads one pod, `facts` are what was seen), `probes` judge,
`planning` plans, `verbs` act, `health` verifies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remediator.model.systems import System
from remediator.systems.etcd.facts import EtcdFacts
from remediator.systems.etcd.health import health
from remediator.systems.etcd.locating import locate
from remediator.systems.etcd.planning import REPLACE_REMOVED_MEMBERS
from remediator.systems.etcd.probes import PROBES
from remediator.systems.etcd.quorum import healthy_pods, quorum_of, removed_pods
from remediator.systems.etcd.survey import look
from remediator.systems.etcd.verbs import VERBS


def facts_json(facts: EtcdFacts) -> Mapping[str, Any]:
    """What a rule's conditions may ask about."""
    quorum = quorum_of(facts)
    return {
        "replicas": facts.replicas,
        "pods": len(facts.pods),
        "ready": len(facts.pods) - len(facts.down),
        "voters": len(quorum.voters) if quorum else 0,
        "healthy": len(healthy_pods(facts)),
        "removed": [p.ref.name for p in removed_pods(facts)],
        "families": sorted({str(p.family) for p in facts.pods}),
    }


SYSTEM: System[EtcdFacts] = System(
    name="etcd",
    what="etcd in a StatefulSet, as Milvus runs it",
    verbs=VERBS,
    locate=locate,
    survey=look,
    probes=PROBES,
    fault="members were permanently removed from a cluster that keeps its quorum",
    remedies={REPLACE_REMOVED_MEMBERS.name: REPLACE_REMOVED_MEMBERS},
    health=health,
    facts_json=facts_json,
)
