"""A process of its own, as an operator starts it, and the signals that they send it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.terminal.operator import Operator, OperatorError

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-more-than-thirty-two-bytes"
WHO = {"by": "ada", "why": "rack 7"}


@dataclass
class Process:
    child: asyncio.subprocess.Process
    operator: Operator

    async def until_frozen(self) -> Any:
        async with asyncio.timeout(30):
            while not (said := await self.operator.get("/api/v1/switches"))["switches"]:
                await asyncio.sleep(0.02)
        return said


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Process]:
    """`remediator serve`, ready; ended by SIGTERM, with 0."""
    command = [sys.executable, "-m", "remediator", "serve", "--config", str(folder / "remediator.yaml")]
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    try:
        assert child.stderr is not None
        async with asyncio.timeout(60):
            while (line := json.loads(await child.stderr.readline()))["event"] != "ready":
                pass
        yield Process(child, Operator(f"http://127.0.0.1:{line['webhook_port']}", folder / "token"))
        child.terminate()
        async with asyncio.timeout(30):
            await child.communicate()
        assert child.returncode == 0
    finally:
        if child.returncode is None:
            child.kill()
            await child.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Settings of a service whose cluster nobody answers for: nothing here needs one."""
    (tmp_path / "token").write_text(SECRET)
    settings = {
        "rules": [str(ROOT / "rules")],
        "state_directory": str(tmp_path / "state"),
        "listen": {"host": "127.0.0.1", "port": 0},
        "operations": {"host": "127.0.0.1", "port": 0},
        "webhook": {"auth": {"bearer_files": [str(tmp_path / "token")]}},
        "operators": {"token_files": [str(tmp_path / "token")]},
        "kubernetes": {"server": "http://127.0.0.1:9"},
    }
    (tmp_path / "remediator.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


async def test_sigusr1_freezes_and_the_next_process_is_frozen(folder: Path) -> None:
    """The file says who and when; it is removed and the service unfrozen by hand, in this order."""
    file = folder / "state" / "FREEZE"
    async with serving(folder) as process:
        process.child.send_signal(signal.SIGUSR1)
        said = await process.until_frozen()
    why = file.read_text().strip()
    assert why.startswith("signal SIGUSR1 at ")
    assert said["frozen"]
    assert [(s["name"], s["on"], s["by"], s["why"]) for s in said["switches"]] == [
        ("freeze", True, f"file {file}", why)
    ]

    async with serving(folder) as process:
        assert (await process.operator.get("/api/v1/switches"))["frozen"]
        with pytest.raises(OperatorError, match=f"409: .* remove the file {file}; then unfreeze"):
            await process.operator.post("/api/v1/unfreeze", WHO)
        file.unlink()
        assert not (await process.operator.post("/api/v1/unfreeze", WHO))["on"]
        assert not (await process.operator.get("/api/v1/switches"))["frozen"]
