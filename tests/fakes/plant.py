"""
A broken practice cluster, and the whole service on it: one process after the other on the same disk.

Over HTTP, on a real journal. `after_write` is what happens right after the next writes, before the run goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from remediator import app
from remediator.clocks import FastClock, new_id
from remediator.demo import OPERATOR, SENDER, find, notification, rehearsal_settings, writes_of
from remediator.model.ledger import RunFilter
from remediator.model.objects import CONFIG_MAP
from remediator.model.reports import Report, StepReported
from remediator.model.runs import Run, StepState
from remediator.practice.cluster import PracticeCluster
from remediator.practice.scenarios import play
from remediator.settings import Freeze, Settings
from remediator.terminal.operator import Operator

SPEED = 25.0
BROKEN = find("etcd-member-removed")
WHO = {"by": "ada", "why": "test"}
RULE = "etcd-member-removed"


@asynccontextmanager
async def planted(folder: Path) -> AsyncIterator[Plant]:
    """An etcd of three with a member that was removed for good."""
    clock = FastClock(SPEED)
    async with PracticeCluster(clock, new_id, data_dir=folder / "pods") as cluster:
        await play(BROKEN, cluster)
        yield Plant(folder, cluster, clock)


class Plant:
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
