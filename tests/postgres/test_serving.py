"""Two whole services on one database: each alert has one run, and both can tell how it ended."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientSession

from remediator import app
from remediator.clocks import SystemClock, new_id
from remediator.demo import SENDER, find, notification, rehearsal_settings
from remediator.model.ledger import RunFilter
from remediator.practice.cluster import PracticeCluster
from remediator.settings import Postgres, Settings, Store
from tests.postgres.server import Database

pytestmark = pytest.mark.real("postgres")
ETCD = find("removed-but-restarted-fresh")
ALERTS = 12


def _on_database(settings: Settings, database: Database) -> Settings:
    """The same settings, with the journal in that database and the password in a file."""
    password = settings.state_directory.parent / "password"
    password.write_text(database.server.password + "\n")
    url = database.url.replace(f":{database.server.password}@", "@")
    postgres = Postgres(url=url, password_file=password)
    return settings.model_copy(update={"store": Store(postgres=postgres)})


async def _post(port: int, token: str, body: bytes) -> set[str]:
    """The runs that the service names in its answer."""
    async with (
        ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.post(f"http://127.0.0.1:{port}/webhook/alertmanager", data=io.BytesIO(body)) as answer,
    ):
        assert answer.status == 202
        return {entry["run"] for entry in (await answer.json())["runs"]}


async def _all_ended(running: app.Service) -> dict[str, str]:
    async with asyncio.timeout(60):
        while True:
            runs = await running.store.list(RunFilter(limit=1000))
            if all(run.state.is_final for run in runs):
                return {run.id: str(run.reason) for run in runs}
            await asyncio.sleep(0.05)


def _about_ghosts(clock: SystemClock) -> bytes:
    """Alerts about pods that are not there, which are refused without a write."""
    body = notification(ETCD, clock)
    firing = body["alerts"][0]
    body["alerts"] = [{**firing, "labels": {**firing["labels"], "pod": f"ghost-{n}"}} for n in range(ALERTS)]
    return json.dumps(body).encode()


async def test_two_services_share_the_work_and_the_truth(tmp_path: Path, postgres_database: Database) -> None:
    """Both are sent the same twelve alerts at once: twelve runs, which both list with the same end."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(PracticeCluster(clock, new_id, data_dir=tmp_path / "pods"))
        settings = _on_database(rehearsal_settings(tmp_path, ETCD, cluster, 1), postgres_database)
        services = [await stack.enter_async_context(app.service(settings)) for _ in range(2)]
        body, token = _about_ghosts(clock), (tmp_path / SENDER).read_text()

        told = await asyncio.gather(*(_post(running.webhook_port, token, body) for running in services))
        ended = [await _all_ended(running) for running in services]

    assert told[0] == told[1] == set(ended[0])
    assert ended[0] == ended[1] == dict.fromkeys(ended[0], "target_not_found")
    assert len(ended[0]) == ALERTS
    assert postgres_database.sql("SELECT count(*) FROM runs WHERE owner IS NOT NULL") == "0"
