"""What a run's target is told about it, and that telling never hurts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from remediator.kube import EventRecorder, KubeAsked
from remediator.model.objects import CLAIM, VOLUME, ObjectRef
from remediator.model.plans import Effect, Plan, Step
from remediator.model.reports import Admitted, HealthLooked, Planned, Report, StepReported, Transitioned
from remediator.model.runs import Run, RunEvent, RunState, StepState
from remediator.model.verdicts import Reason
from tests.fakes.scripted_cluster import REF, World, status
from tests.fakes.scripted_server import Raw, Say

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RUN = Run("run-1", "etcd-lost-member", "r1", "e", {}, "", RunState.PENDING, AT, AT, target=REF)
STEP = Step(1, "etcd.remove_member", REF, {}, Effect.DESTRUCTIVE, timedelta(seconds=30), "it is lost")
PLAN = Plan("etcd-lost-member", "r1", REF, "replace member etcd-0", (STEP,))


def moved(
    event: RunEvent, to: RunState, before: RunState, reason: Reason | None = None, *, touched: bool = False
) -> Transitioned:
    return Transitioned(replace(RUN, state=to, touched=touched), before, event, reason, "seen", AT)


def recorder(world: World) -> EventRecorder:
    numbers = count(1)
    return EventRecorder(world.client, world.clock, lambda word: f"{word}-{next(numbers)}", instance="pod-a")


async def posted(world: World, *reports: Report) -> list[dict[str, Any]]:
    """The Events posted for these reports."""
    world.server.script[:0] = [Say(201, {})] * len(reports)
    await told(world, recorder(world), *reports)
    return [request.json for request in world.server.requests]


async def told(world: World, events: EventRecorder, *reports: Report) -> bool:
    task = asyncio.create_task(events.run())
    for report in reports:
        events(report)
    is_drained = await events.drain(2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return is_drained


async def test_an_event_is_on_the_target_itself(world: World) -> None:
    """It regards exactly the target's incarnation, in its namespace, under a name built here."""
    (event,) = await posted(world, Planned(RUN, PLAN))

    assert world.server.requests[0].target == "/apis/events.k8s.io/v1/namespaces/shop/events"
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "data-0.event-1", "namespace": "shop"},
        "eventTime": "2026-11-20T12:00:00.000000Z",
        "reportingController": "remediator.dev/remediator",
        "reportingInstance": "pod-a",
        "action": "Plan",
        "reason": "RemediationPlanned",
        "type": "Normal",
        "note": "rule etcd-lost-member, run run-1: replace member etcd-0",
        "regarding": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "name": "data-0",
            "namespace": "shop",
            "uid": "u-1",
        },
    }


_S, _E = RunState, RunEvent


@pytest.mark.parametrize(
    ("report", "reason", "kind"),
    [
        (moved(_E.ALLOWED, _S.RUNNING, _S.PENDING), "RemediationStarted", "Normal"),
        (StepReported(RUN, STEP, 1, StepState.DONE, "removed", at=AT), "RemediationStepDone", "Normal"),
        (moved(_E.CURED, _S.SUCCEEDED, _S.VERIFYING, Reason.CURED, touched=True), "RemediationSucceeded", "Normal"),
        (moved(_E.REFUSED, _S.REFUSED, _S.PENDING, Reason.QUORUM_LOST), "RemediationRefused", "Normal"),
        (
            moved(_E.ASKED, _S.AWAITING_APPROVAL, _S.PENDING, Reason.APPROVAL_NEEDED),
            "RemediationAwaitingApproval",
            "Normal",
        ),
        (moved(_E.GAVE_UP, _S.ESCALATED, _S.PENDING, Reason.WAITED_TOO_LONG), "RemediationEscalated", "Warning"),
        (
            moved(_E.STOPPED, _S.ESCALATED, _S.RUNNING, Reason.STEP_FAILED, touched=True),
            "RemediationFailed",
            "Warning",
        ),
        (moved(_E.GAVE_UP, _S.ESCALATED, _S.VERIFYING, Reason.NOT_CURED), "RemediationFailed", "Warning"),
    ],
)
async def test_what_each_report_is_called(world: World, report: Report, reason: str, kind: str) -> None:
    """Every report that matters to the target's reader has its own documented reason."""
    (event,) = await posted(world, report)

    assert (event["reason"], event["type"]) == (reason, kind)


@pytest.mark.parametrize(
    "report",
    [
        Admitted(RUN),
        HealthLooked(RUN, True, "well"),
        StepReported(RUN, STEP, 1, StepState.INTENT, "", at=AT),
        moved(_E.HELD, _S.HELD, _S.PENDING, Reason.COOLING_DOWN),
        moved(_E.WITHDRAWN, _S.CANCELLED, _S.PENDING, Reason.RESOLVED),
        Planned(replace(RUN, target=None), PLAN),
    ],
)
async def test_other_reports_are_no_events(world: World, report: Report) -> None:
    """What the target's reader has no use for, or has no known target, is not posted."""
    assert await posted(world, report) == []


async def test_a_note_is_one_short_line(world: World) -> None:
    """A plan's summary with control characters and many-byte letters still fits in 1 kB."""
    plan = replace(PLAN, summary="a\x1b[31m\n\u2028" + "é" * 2000)

    (event,) = await posted(world, Planned(RUN, plan))

    assert event["note"].isprintable()
    assert 1000 < len(event["note"].encode()) <= 1024


async def test_a_cluster_wide_target_has_its_events_in_default(world: World) -> None:
    """The API server wants Events about objects without a namespace there."""
    run = replace(RUN, target=ObjectRef(VOLUME, "pv-1", uid="v-1"))

    (event,) = await posted(world, Planned(run, PLAN))

    assert event["metadata"]["namespace"] == "default"
    assert event["regarding"] == {"apiVersion": "v1", "kind": "PersistentVolume", "name": "pv-1", "uid": "v-1"}


async def test_the_longest_name_still_makes_a_name(world: World) -> None:
    """A target name of full length is shortened, so that the Event's own name is one the server takes."""
    run = replace(RUN, target=ObjectRef(CLAIM, "a" * 253, "shop"))

    (event,) = await posted(world, Planned(run, PLAN))

    assert event["metadata"]["name"] == "a" * 245 + ".event-1"


async def test_what_cannot_be_posted_is_counted_and_forgotten(world: World) -> None:
    """Refused, lost and unanswered Events disturb nobody; the next one is posted all the same."""
    world.server.will(Say(403, status(403, "Forbidden", "no")), Raw(then="reset"), Raw(then="hang"), Say(201, {}))

    assert await told(world, recorder(world), *[Planned(RUN, PLAN)] * 4)

    codes = ["403", "no_answer", "no_answer", "201"]
    assert world.told == [KubeAsked("create", "events", code, 0.0) for code in codes]


async def test_too_many_events_are_dropped_and_counted(world: World) -> None:
    """With nobody posting, an observer still never waits: beyond the queue's length reports are dropped."""
    events = recorder(world)

    for _ in range(503):
        events(Planned(RUN, PLAN))

    assert world.told == [KubeAsked("create", "events", "dropped", 0.0)] * 3
    assert not await events.drain(0.01)
