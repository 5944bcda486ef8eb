"""
A cure of several writes on the practice cluster, frozen in the middle: by each way, with the store and without it.

The whole service runs, over HTTP, on a real journal; the writes are counted at the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from remediator import app
from remediator.clocks import FastClock, new_id
from remediator.demo import OPERATOR, SENDER, find, notification, rehearsal_settings, writes_of
from remediator.model.ledger import RunFilter
from remediator.model.objects import CONFIG_MAP
from remediator.model.reports import Report, StepReported
from remediator.model.runs import Run, RunState, StepState
from remediator.practice.cluster import PracticeCluster
from remediator.practice.faults import Fault
from remediator.practice.scenarios import play
from remediator.settings import Freeze, Settings
from remediator.terminal.operator import Operator, OperatorError

SPEED = 25.0
BROKEN = find("etcd-member-removed")
WHO = {"by": "ada", "why": "test"}
RULE = "etcd-member-removed"


class Plant:
    """A broken cluster, and one service after the other on the same disk."""

    def __init__(self, folder: Path, cluster: PracticeCluster, clock: FastClock) -> None:
        self.folder, self.cluster, self.clock = folder, cluster, clock
        settings = rehearsal_settings(folder, BROKEN, cluster, SPEED)
        self.settings: Settings = settings.model_copy(update={"freeze": Freeze(config_map="milvus/freeze")})
        self.running: Any = None
        self.after_write: list[Callable[[], None]] = []
        self.tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def service(self) -> AsyncIterator[None]:
        async with app.service(self.settings, clock=self.clock, observers=[self._hear]) as self.running:
            yield

    def _hear(self, report: Report) -> None:
        """What is due after a write happens before the run goes on."""
        is_done = isinstance(report, StepReported) and report.state is StepState.DONE and report.step.is_write
        if is_done and self.after_write:
            self.after_write.pop(0)()

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    @property
    def operator(self) -> Operator:
        return Operator(f"http://127.0.0.1:{self.running.webhook_port}", self.folder / OPERATOR)

    async def alert(self) -> None:
        url = f"http://127.0.0.1:{self.running.webhook_port}/webhook/alertmanager"
        headers = {"Authorization": f"Bearer {(self.folder / SENDER).read_text()}"}
        async with (
            ClientSession(headers=headers) as session,
            session.post(url, json=notification(BROKEN, self.clock)) as answer,
        ):
            assert answer.status == 202

    async def metric(self, name: str) -> float:
        url = f"http://127.0.0.1:{self.running.operations_port}/metrics"
        async with ClientSession() as session, session.get(url) as answer:
            lines = (await answer.text()).splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    async def run(self) -> Run:
        (run,) = await self.running.store.list(RunFilter())
        return run

    async def until(self, is_so: Callable[[Run], bool]) -> Run:
        async with asyncio.timeout(60):
            while not is_so(run := await self.run()):
                await asyncio.sleep(0.02)
        return run

    @property
    def writes(self) -> int:
        return len(writes_of(self.cluster))

    # --- the ways ---

    def by_file(self) -> None:
        self.settings.freeze_file.write_text("rack 7\n")

    def by_signal(self) -> None:
        self.running.brakes.signalled()

    def by_config_map(self) -> None:
        meta = {"name": "freeze", "namespace": "milvus"}
        data = {"frozen": "true", "why": "rack 7"}
        self.cluster.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})

    def let_go(self) -> None:
        self.settings.freeze_file.unlink(missing_ok=True)
        for found in self.cluster.api.list(CONFIG_MAP, "milvus"):
            self.cluster.api.delete(CONFIG_MAP, "milvus", found["metadata"]["name"])


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    clock = FastClock(SPEED)
    async with PracticeCluster(clock, new_id, data_dir=tmp_path / "pods") as cluster:
        await play(BROKEN, cluster)
        yield Plant(tmp_path, cluster, clock)


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


@pytest.mark.parametrize("answer", [403, 503, "reset"])
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
