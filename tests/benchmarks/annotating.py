"""
The smallest system there can be: it looks at a StatefulSet once, and writes one annotation on it.

It is for measuring what the service itself adds between an alert and the first write. A shipped system looks longer,
on purpose: etcd's waits for the same word in two deaths of a container, which takes minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from remediator.model.evidence import Answer, Evidence
from remediator.model.objects import STATEFUL_SET, ObjectRef
from remediator.model.plans import Change, Effect, Plan, Step
from remediator.model.seams import ReadAccess, WriteAccess
from remediator.model.systems import (
    AlreadyDone,
    Done,
    Draft,
    Found,
    Health,
    Located,
    Prepared,
    Probe,
    Ready,
    Remedy,
    StepResult,
    Surveyed,
    System,
)

NOTE = "bench.remediator.dev/cured"
Facts = Mapping[str, Any]


def _is_noted(live: Mapping[str, Any]) -> bool:
    return NOTE in live["metadata"].get("annotations", {})


async def _locate(read: ReadAccess, labels: Mapping[str, str]) -> Located:
    live = await read.cluster.get(ObjectRef(STATEFUL_SET, labels["statefulset"], labels["namespace"]))
    return Located(ObjectRef.of(STATEFUL_SET, live))


async def _survey(read: ReadAccess, target: ObjectRef, _: Mapping[str, Any]) -> Surveyed[Facts]:
    return Surveyed({"target": target, "is_well": _is_noted(await read.cluster.get(target))})


def _is_ill(facts: Facts) -> Evidence:
    answer = Answer.NO if facts["is_well"] else Answer.YES
    return Evidence("is-ill", "Is it without the annotation?", answer, "looked at the live object")


def _health(facts: Facts, _: Plan | None) -> Health:
    return Health(facts["is_well"], "annotated" if facts["is_well"] else "not annotated")


def _plan(facts: Facts, _: Mapping[str, Any]) -> Draft:
    target = facts["target"]
    note = Change(f"metadata.annotations.{NOTE}", "", "yes")
    step = Step(
        0,
        "bench.annotate",
        target,
        {},
        Effect.IDEMPOTENT,
        timedelta(seconds=30),
        "it is without",
        (note,),
        ("is-ill",),
        (target,),
    )
    return Draft("annotate it", (step,))


class Annotate:
    effect = Effect.IDEMPOTENT

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        live = await read.cluster.get(step.target)
        return AlreadyDone("annotated") if _is_noted(live) else Ready({"metadata": dict(live["metadata"])})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        await write.cluster.patch(intent, step.target, {"metadata": {"annotations": {NOTE: "yes"}}})
        return Done(changed=True, detail="annotated")

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        return Found.DONE if _is_noted(await read.cluster.get(step.target)) else Found.NOT_DONE


SYSTEM: System[Facts] = System(
    name="bench",
    what="a StatefulSet that wants an annotation",
    verbs={"bench.annotate": Annotate()},
    locate=_locate,
    survey=_survey,
    probes=(Probe("is-ill", _is_ill),),
    fault="the annotation is not there",
    remedies={"annotate": Remedy("annotate", "annotate it", {}, _plan)},
    health=_health,
    facts_json=lambda facts: {"is_well": facts["is_well"]},
)
