"""
Bad input and trouble, at the running service's own door: a clear error or a recorded refusal, nothing written.

The cluster behind it is healthy and has etcd in it, so a wrong step would find something to break.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from remediator import app
from remediator.clocks import FastClock, new_id
from remediator.demo import SENDER, find, notification, rehearsal_settings, writes_of
from remediator.model.ledger import RunFilter
from remediator.practice.cluster import PracticeCluster
from remediator.practice.scenarios import play
from remediator.terminal.operator import Operator

SPEED = 25.0
HEALTHY = find("removed-but-restarted-fresh")


class Door:
    def __init__(self, folder: Path, cluster: PracticeCluster, running: app.Service, clock: FastClock) -> None:
        self.folder, self.cluster, self.running, self.clock = folder, cluster, running, clock
        self.url = f"http://127.0.0.1:{running.webhook_port}"
        self.headers = {"Authorization": f"Bearer {(folder / SENDER).read_text()}"}

    async def post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        async with (
            ClientSession(headers=self.headers) as session,
            session.post(self.url + "/webhook/alertmanager", data=io.BytesIO(body)) as answer,
        ):
            return answer.status, await answer.json()

    async def alert(self, **labels: str) -> tuple[int, dict[str, Any]]:
        body = notification(HEALTHY, self.clock)
        body["alerts"][0]["labels"] |= labels
        return await self.post(json.dumps(body).encode())

    async def until_all_ended(self) -> list[tuple[str, str]]:
        async with asyncio.timeout(60):
            while True:
                runs = await self.running.store.list(RunFilter(limit=1000))
                if all(run.state.is_final for run in runs):
                    return [(str(run.state), str(run.reason)) for run in reversed(runs)]
                await asyncio.sleep(0.05)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with _door(tmp_path) as made:
        yield made
        assert writes_of(made.cluster) == (), "something was written"
        assert (await made.alert(pod="my-release-etcd-1"))[0] == 202, "the service must live on"


@asynccontextmanager
async def _door(folder: Path) -> AsyncIterator[Door]:
    clock = FastClock(SPEED)
    async with PracticeCluster(clock, new_id, data_dir=folder / "pods") as cluster:
        await play(HEALTHY, cluster)
        settings = rehearsal_settings(folder, HEALTHY, cluster, SPEED)
        async with app.service(settings, clock=clock) as running:
            made = Door(folder, cluster, running, clock)
            await Operator(made.url, folder / "operator.token").post(
                "/api/v1/rules/etcd-member-removed/arm", {"by": "test", "why": "so that nothing but proof holds it"}
            )
            yield made


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"null",
        b"[]",
        b'"alerts"',
        b'{"version":"4","alerts":{}}',
        b'{"version":"5","alerts":[]}',
        b"[" * 100_000,
        b'{"alerts":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
        b"\xff\xfe{}",
        b'{"version":"4","version":"4"}',
        b'{"version":"4","truncatedAlerts":NaN}',
        b"",
    ],
    ids=lambda b: repr(b[:24]),
)
async def test_what_is_not_a_notification_is_400_with_words(door: Door, body: bytes) -> None:
    """Broken, mistyped, too deep: a sentence, a correlation id, and no trace of our insides."""
    status, said = await door.post(body)

    assert status == 400
    assert said["correlation_id"]
    assert "Traceback" not in json.dumps(said)


async def test_hostile_labels_are_skipped_with_a_reason(door: Door) -> None:
    """NUL, lone surrogates, paths and protected namespaces give no run; each is told why."""
    answers = {}
    for name, labels in {
        "nul": {"pod": "my-release\u0000-etcd-0"},
        "surrogate": {"pod": "\ud800"},
        "kube-system": {"namespace": "kube-system"},
        "up": {"namespace": "../milvus"},
        "encoded": {"namespace": "%2e%2e"},
        "elsewhere": {"namespace": "default"},
        "empty": {"namespace": ""},
    }.items():
        status, said = await door.alert(**labels)
        assert status == 202
        assert said["runs"] == []
        answers[name] = said["skipped"][0]["reason"]

    assert answers == {
        "nul": "labels_invalid",
        "surrogate": "labels_invalid",
        "kube-system": "outside_scope",
        "up": "outside_scope",
        "encoded": "outside_scope",
        "elsewhere": "outside_scope",
        "empty": "outside_scope",
    }


async def test_targets_that_are_not_there_are_recorded_refusals(door: Door) -> None:
    """A ghost, a path for a name, an older incarnation, and a pod that no StatefulSet owns."""
    for labels in (
        {"pod": "ghost-0"},
        {"pod": "../my-release-etcd-0"},
        {"pod": "my-release-etcd-0/log"},
        {"pod": "my-release-etcd-0", "uid": "00000000-0000-0000-0000-000000000000"},
    ):
        status, said = await door.alert(**labels)
        assert (status, len(said["runs"])) == (202, 1)

    ended = await door.until_all_ended()

    assert ended == [
        ("refused", "target_not_found"),
        ("refused", "target_not_found"),
        ("refused", "target_not_found"),
        ("refused", "target_changed"),
    ]
    asked = [seen.path for seen in door.cluster.requests if ".." in seen.path or seen.path.endswith("etcd-0/log")]
    assert asked == []


async def test_ten_thousand_alerts_in_one_body_are_accepted_and_kept(door: Door) -> None:
    """A storm of 7 MB is one delivery, one answer, and not one run too many."""
    body = notification(HEALTHY, door.clock)
    alert = body["alerts"][0]
    body["alerts"] = [
        {
            **alert,
            "labels": {**alert["labels"], "alertname": "SomethingElse", "pod": f"web-{i}"},
            "annotations": {"x": "y" * 300},
        }
        for i in range(10_000)
    ]

    status, said = await door.post(json.dumps(body).encode())

    assert status == 202
    assert (said["received"], said["runs_total"], said["skipped_total"]) == (10_000, 0, 10_000)


async def test_the_same_delivery_three_times_is_one_run(door: Door) -> None:
    """Two peers and a retry post the same body: one run, told as such."""
    body = json.dumps(notification(HEALTHY, door.clock)).encode()

    answers = await asyncio.gather(*(door.post(body) for _ in range(3)))

    runs = {entry["run"] for _, said in answers for entry in said["runs"]}
    assert [status for status, _ in answers] == [202, 202, 202]
    assert len(runs) == 1
    assert sum(entry["created"] for _, said in answers for entry in said["runs"]) == 1
    assert await door.until_all_ended() == [("succeeded", "recovered_by_itself")]


async def test_a_wrong_or_missing_credential_is_401_and_files_nothing(door: Door) -> None:
    """Whoever cannot say the secret is told so before the body is read."""
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
        async with (
            ClientSession(headers=headers) as session,
            session.post(door.url + "/webhook/alertmanager", data=b"{}") as answer,
        ):
            assert answer.status == 401

    assert list(await door.running.store.list(RunFilter())) == []
