"""
A cure of several writes on the practice cluster, frozen in the middle: by each way, with the store and without it.

The whole service runs, over HTTP, on a real journal; the writes are counted at the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from remediator.model.runs import Run, RunState
from remediator.practice.faults import Fault
from remediator.terminal.operator import OperatorError
from tests.fakes.plant import RULE, WHO, Plant, planted


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    async with planted(tmp_path) as plant:
        yield plant


def is_frozen(run: Run) -> bool:
    return run.state is RunState.HELD and str(run.reason) == "frozen"


WAYS = ["by_file", "by_signal", "by_config_map"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_freeze_in_the_middle_lasts_until_it_is_unfrozen(plant: Plant, way: str) -> None:
    """No second write; not after a restart, not when the brake is let go, only after an unfreeze; then it is cured."""
    async with plant.service():
        await plant.operator.post(f"/api/v1/rules/{RULE}/arm", WHO)
        plant.after_write.append(getattr(plant, way))
        await plant.alert()
        await plant.until(is_frozen)
        assert (plant.writes, await plant.metric("remediator_frozen")) == (1, 1.0)
        with pytest.raises(OperatorError, match="409: nothing was changed, because the freeze is still held by"):
            await plant.operator.post("/api/v1/unfreeze", WHO)
        frozen = await plant.running.store.switch("freeze")
        assert (frozen.on, frozen.by.split()[0]) == (True, {"by_config_map": "configmap"}.get(way, "file"))

    async with plant.service():
        plant.let_go()
        seen = (await plant.run()).version
        await plant.until(lambda run: is_frozen(run) and run.version > seen + 3)
        assert (plant.writes, await plant.metric("remediator_frozen")) == (1, 1.0)

        await plant.operator.post("/api/v1/unfreeze", WHO)
        run = await plant.until(lambda run: run.state.is_final)
        assert (run.state, str(run.reason)) == (RunState.SUCCEEDED, "cured")
        assert await plant.metric("remediator_frozen") == 0.0


@pytest.mark.parametrize("way", WAYS)
async def test_a_freeze_can_be_thrown_while_the_store_is_away(plant: Plant, way: str) -> None:
    """Shown at once; and the next process, whose store answers, is frozen before it writes anything, and records it."""

    def lose_the_store_and_freeze() -> None:
        plant.soon(plant.running.store.close())
        getattr(plant, way)()

    async with plant.service():
        await plant.operator.post(f"/api/v1/rules/{RULE}/arm", WHO)
        plant.after_write.append(lose_the_store_and_freeze)
        await plant.alert()
        async with asyncio.timeout(60):
            while not plant.tasks:
                await asyncio.sleep(0.02)
        await asyncio.gather(*plant.tasks)
        async with asyncio.timeout(60):
            while await plant.metric("remediator_frozen") == 0.0:
                await asyncio.sleep(0.02)
        with pytest.raises(OperatorError, match="make the freeze file or send SIGUSR1 instead"):
            await plant.operator.post("/api/v1/freeze", WHO)

    async with plant.service():
        await plant.until(is_frozen)
        assert plant.writes == 1
        assert (await plant.running.store.switch("freeze")).on


@pytest.mark.parametrize("answer", [403, 503, "hang"])
async def test_a_config_map_that_cannot_be_read_holds_the_run(plant: Plant, answer: Any) -> None:
    """Nobody knows whether it says freeze; once it can be read, and does not, the run goes on."""
    faults = plant.cluster.server.faults

    def hide() -> None:
        faults.append(Fault(lambda seen: seen.resource == "configmaps", answer, times=100_000))

    async with plant.service():
        await plant.operator.post(f"/api/v1/rules/{RULE}/arm", WHO)
        plant.after_write.append(hide)
        await plant.alert()
        run = await plant.until(lambda run: run.state is RunState.HELD and "freeze" in run.detail)
        assert (str(run.reason), plant.writes) == ("evidence_unknown", 1)
        assert run.detail.startswith("cannot tell whether configmap milvus/freeze says freeze")
        assert await plant.metric("remediator_brakes_unreadable") == 1.0

        faults.clear()
        run = await plant.until(lambda run: run.state.is_final)
        assert (run.state, str(run.reason)) == (RunState.SUCCEEDED, "cured")
