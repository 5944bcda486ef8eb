"""The kube client at a whole API server: Events it accepts, watches it compacts, writes it applies and forgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remediator.kube import EventRecorder, watch
from remediator.model.errors import AnswerLost
from remediator.model.objects import EVENT, NAMESPACE, ObjectRef, ResourceType
from remediator.model.plans import Plan
from remediator.model.reports import Planned
from remediator.model.runs import Run, RunState
from remediator.model.verdicts import Permit
from remediator.practice.http import Fault
from tests.fakes.fake_clock import FakeClock
from tests.fakes.served_cluster import Served, served

CONFIG = ResourceType("v1", "ConfigMap", "configmaps")
REF = ObjectRef(CONFIG, "settings", "shop")
AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, FakeClock()) as cluster:
        cluster.create(NAMESPACE, {"metadata": {"name": "shop"}})
        cluster.create(CONFIG, {"metadata": {"name": "settings", "namespace": "shop"}, "data": {"a": "1"}})
        yield cluster


async def test_the_api_server_accepts_our_events(cluster: Served) -> None:
    """An Event about a live object is stored whole, and found by the object it regards."""
    target = ObjectRef.of(CONFIG, await cluster.view().get(REF))
    run = Run("run-1", "rule", "r1", "e", {}, "", RunState.PENDING, AT, AT, target=target)
    events = EventRecorder(cluster.client, cluster.clock, lambda word: f"{word}_Ab12")
    task = asyncio.create_task(events.run())

    events(Planned(run, Plan("rule", "r1", target, "do it", ())))
    assert await events.drain(5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    (event,) = await cluster.view().list(EVENT, "shop")
    assert (event["metadata"]["name"], event["reason"]) == ("settings.event-ab12", "RemediationPlanned")
    assert event["regarding"]["uid"] == target.uid


async def test_a_watch_survives_a_restart_and_a_compaction(cluster: Served) -> None:
    """Cut in the middle it misses nothing; with its version forgotten it starts from everything there is."""
    seen = []
    async with aclosing(watch(cluster.client, CONFIG, "shop", chance=lambda: 0.0)) as events:
        async for event in events:
            seen.append((str(event.change), [item["data"]["a"] for item in event.items]))
            if len(seen) == 1:
                cluster.change(REF, a="2")
            elif len(seen) == 2:
                cluster.server.cut_watches()
                cluster.change(REF, a="3")
            elif len(seen) == 3:
                cluster.server.cut_watches()
                cluster.change(REF, a="4")
                cluster.server.compact()
            else:
                break

    assert seen == [("LISTED", ["1"]), ("MODIFIED", ["2"]), ("MODIFIED", ["3"]), ("LISTED", ["4"])]


@pytest.mark.parametrize("verb", ["patch", "delete"])
async def test_a_write_that_was_applied_and_forgotten_has_one_effect(cluster: Served, verb: str) -> None:
    """The caller hears that the answer is lost, the server saw one request, and the world shows it was applied."""
    live = await cluster.view().get(REF)
    handle = cluster.bind(Permit("run-1", 1, 1, (REF,), cluster.clock.monotonic() + 5))
    cluster.server.faults.append(Fault(lambda seen: seen.is_write, "applied_then_reset"))

    with pytest.raises(AnswerLost):
        await (handle.patch(live, REF, {"data": {"a": "2"}}) if verb == "patch" else handle.delete(live, REF))

    left = cluster.now(REF)
    assert [seen.verb for seen in cluster.server.requests if seen.is_write] == [verb]
    assert (left and left["data"]) == ({"a": "2"} if verb == "patch" else None)
