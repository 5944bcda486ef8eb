"""The world of the kube tests: a client, and an API server that does exactly what a test scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remediator.kube import KubeAccess, KubeAsked, KubeClient
from tests.fakes.fake_clock import FakeClock
from tests.fakes.scripted_cluster import TOKEN, World
from tests.fakes.scripted_server import ScriptedServer


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    told: list[KubeAsked] = []
    clock = FakeClock()
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN + "\n")
    async with ScriptedServer() as server:
        access = KubeAccess(server=server.url, token_file=str(token_file), request_timeout=0.5)
        client = await KubeClient.connect(access, clock=clock, tell=told.append)
        yield World(server, client, clock, token_file, told)
        await client.close()
