"""The webhook in front of a real Alertmanager: every way it may authenticate, and a store that is down for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, ClientSession

from remediator.credentials import Credentials
from remediator.model.errors import StoreUnavailable
from remediator.receiver.notices import RequestAnswered
from tests.ports import free_port
from tests.unit.receiver.webhook_door import TOKEN, Door

MakeDoor = Callable[..., Awaitable[Door]]
CONFIG = """
route: {{receiver: remediator, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - name: remediator
    webhook_configs:
      - url: {url}
        http_config: {http_config}
"""
BEARER = f"{{authorization: {{credentials: {TOKEN}}}}}"
BASIC = f"{{basic_auth: {{username: am, password: {TOKEN}}}}}"
ALERT = [{"labels": {"alertname": "EtcdDown", "severity": "critical", "pod": "etcd-0"}}]

pytestmark = pytest.mark.real("prometheus-alertmanager")


@asynccontextmanager
async def alertmanager(folder: Path, url: str, http_config: str) -> AsyncIterator[str]:
    """A real Alertmanager that posts to `url`; yields its own address once it is ready."""
    config = folder / "alertmanager.yml"
    await asyncio.to_thread(config.write_text, CONFIG.format(url=url, http_config=http_config))
    address = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(20), ClientSession() as session:
            while not await is_ready(session, address):
                await asyncio.sleep(0.05)
            async with session.post(f"http://{address}/api/v2/alerts", json=ALERT) as answer:
                assert answer.status == 200
        yield address
    finally:
        process.terminate()
        await process.wait()


async def is_ready(session: ClientSession, address: str) -> bool:
    try:
        async with session.get(f"http://{address}/-/ready") as answer:
            return answer.status == 200
    except ClientConnectionError:
        return False


async def until_filed(door: Door) -> None:
    async with asyncio.timeout(20):
        await door.desk.filed.wait()


def codes(door: Door) -> list[int]:
    return [notice.code for notice in door.notices if isinstance(notice, RequestAnswered)]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("http_config", [BEARER, BASIC])
async def test_an_alert_arrives(
    make_door: MakeDoor, tmp_path: Path, token_file: Path, http_config: str, slash: str
) -> None:
    """Bearer or basic, with a slash at the end or without: the first attempt is filed."""
    door = await make_door(credentials=Credentials.from_files([token_file], username="am", passwords=[token_file]))
    async with alertmanager(tmp_path, door.url() + slash, http_config):
        await until_filed(door)
    (candidate,) = door.desk.deliveries[0].candidates
    assert (candidate.alert.labels, codes(door)[:1]) == (ALERT[0]["labels"], [202])


async def test_an_alert_arrives_once_the_store_is_back(door: Door, tmp_path: Path) -> None:
    """Answered 503, Alertmanager comes again by itself within seconds, and nothing is lost."""
    left = [2]

    async def fail_twice() -> None:
        if left[0]:
            left[0] -= 1
            raise StoreUnavailable("the disk is full")

    door.desk.before = fail_twice
    async with alertmanager(tmp_path, door.url(), BEARER):
        await until_filed(door)
    assert codes(door)[:3] == [503, 503, 202]
