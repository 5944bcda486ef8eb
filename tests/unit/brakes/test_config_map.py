"""The ConfigMap that freezes: what counts as yes, as no, and as not known."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from remediator.brakes.config_map import LOOK_SECONDS, ConfigMapBrake
from remediator.model.brakes import Engaged, Released, Unreadable
from remediator.model.errors import Forbidden, Permanent, RemoteError, Temporary
from remediator.model.objects import CONFIG_MAP, Manifest, ObjectRef
from tests.fakes.fake_clock import FakeClock
from tests.fakes.fake_cluster import FakeCluster
from tests.simulation.loop import VirtualLoop, run_in

REF = ObjectRef(CONFIG_MAP, "freeze", "ops")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(FakeClock())


def put(cluster: FakeCluster, **rest: Any) -> ConfigMapBrake:
    cluster.put(CONFIG_MAP, {"metadata": {"name": "freeze", "namespace": "ops"}, **rest})
    return ConfigMapBrake(cluster.view(), REF)


@pytest.mark.parametrize("value", ["true", "True", " TRUE\n", "yes", "1", "on", "no", "tru"])
async def test_any_value_but_an_empty_one_and_false_freezes(cluster: FakeCluster, value: str) -> None:
    """Who writes something there at night means it; a slip of the pen is no reason to go on."""
    brake = put(cluster, data={"frozen": value, "why": "rack 7"})

    assert await brake.look() == Engaged(
        "configmap ops/freeze", "rack 7", 'set data.frozen of ConfigMap ops/freeze to "false"'
    )


@pytest.mark.parametrize(
    "rest",
    [
        {},
        {"data": None},
        {"data": {}},
        {"data": {"frozen": "false"}},
        {"data": {"frozen": " False "}},
        {"data": {"frozen": ""}},
        {"data": {"why": "once"}},
        {"binaryData": {"frozen": "dHJ1ZQ=="}},
    ],
)
async def test_one_that_says_nothing_or_false_does_not(cluster: FakeCluster, rest: dict[str, Any]) -> None:
    """Only `data.frozen` counts."""
    assert await put(cluster, **rest).look() == Released("configmap ops/freeze")


async def test_one_that_is_not_there_asks_for_nothing(cluster: FakeCluster) -> None:
    """It is made to freeze; what was frozen by it stays frozen by the switch that was thrown then."""
    assert await ConfigMapBrake(cluster.view(), REF).look() == Released("configmap ops/freeze")


@pytest.mark.parametrize("error", [Forbidden("no"), Temporary("later"), Permanent("a redirect")])
async def test_one_that_may_not_be_read_is_not_known(cluster: FakeCluster, error: RemoteError) -> None:
    """A missing permission is no permission to act."""
    brake = put(cluster)
    cluster.fail("get", error)

    assert await brake.look() == Unreadable("configmap ops/freeze", str(error))


def test_an_api_server_that_does_not_answer_is_not_waited_for() -> None:
    """Half the time a permit lasts, and not a moment more."""
    loop = VirtualLoop(0)

    class Silent:
        async def get(self, ref: ObjectRef) -> Manifest:
            await asyncio.sleep(10)
            raise AssertionError("it was waited for")

    async def look() -> tuple[object, float]:
        return await ConfigMapBrake(Silent(), REF).look(), loop.time()

    state, took = run_in(loop, look())
    assert state == Unreadable("configmap ops/freeze", "no answer within 1 s")
    assert took == LOOK_SECONDS
