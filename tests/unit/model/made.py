"""Runs, plans and rules of the trade, made in one line, for tests of rooms that only look at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from remediator.model.evidence import Answer, Diagnosis, DiagnosisResult, Evidence, Weight
from remediator.model.objects import CLAIM, STATEFUL_SET, ObjectRef
from remediator.model.plans import Change, Effect, Plan, Step
from remediator.model.runs import Run, RunState
from remediator.model.verdicts import Reason

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TARGET = ObjectRef(STATEFUL_SET, "my-release-etcd", "milvus", "uid-set")
A_CLAIM = ObjectRef(CLAIM, "data-my-release-etcd-0", "milvus", "uid-claim")
LABELS = {"alertname": "KubePodCrashLooping", "namespace": "milvus", "pod": "my-release-etcd-0"}


def make_run(**changes: Any) -> Run:
    """A pending run with a target, an hour old."""
    run = Run(
        id="run-1",
        rule="etcd-member-removed",
        rule_revision="r1",
        episode="0123456789abcdef01234567@2026-11-20T11:00:00Z",
        labels=LABELS,
        starts_at="2026-11-20T11:00:00Z",
        state=RunState.PENDING,
        created_at=NOW - timedelta(hours=1),
        due_at=NOW,
        target=TARGET,
    )
    return replace(run, **changes)


def make_step(seq: int = 0, **changes: Any) -> Step:
    """A step that deletes a claim."""
    step = Step(
        seq=seq,
        verb="kubernetes.delete_claim",
        target=A_CLAIM,
        args={"backup": "my-release-etcd-0.snapshot.db"},
        effect=Effect.DESTRUCTIVE,
        timeout=timedelta(seconds=60),
        why="the data directory carries the removed id",
        changes=(Change("PersistentVolumeClaim data", "bound to pv-0", "deleted, its volume kept"),),
        requires=("quorum_holds", "no_alarm"),
        may_touch=(A_CLAIM,),
    )
    return replace(step, **changes)


def make_plan(*steps: Step, **changes: Any) -> Plan:
    """A plan of these steps; one that deletes a claim, when none is given."""
    plan = Plan(
        rule="etcd-member-removed",
        rule_revision="r1",
        target=TARGET,
        summary="replace my-release-etcd-0",
        steps=steps or (make_step(),),
        arithmetic=("now: 2 voters, 2 healthy, quorum 2",),
    )
    return replace(plan, **changes)


def make_evidence(
    answer: Answer = Answer.YES,
    weight: Weight = Weight.REQUIRED,
    probe: str = "quorum_holds",
    reason: Reason = Reason.NOT_CONFIRMED,
) -> Evidence:
    return Evidence(probe, f"Is it so that {probe}?", answer, f"what {probe} saw", weight, reason)


def make_diagnosis(result: DiagnosisResult = DiagnosisResult.CONFIRMED, *evidence: Evidence) -> Diagnosis:
    return Diagnosis(result, Reason.CONFIRMED, "a member was removed", evidence or (make_evidence(),))


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Mapping[tuple[str | int, ...], Any]:
    """Every scalar of a JSON value by the way to it."""
    if isinstance(value, Mapping):
        return {k: v for key, inner in value.items() for k, v in leaves(inner, (*path, key)).items()}
    if isinstance(value, list):
        return {k: v for i, inner in enumerate(value) for k, v in leaves(inner, (*path, i)).items()}
    return {path: value}
