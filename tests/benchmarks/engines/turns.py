"""
One engine's turn: its process, from an empty database to its figures.

In: a side and a database's URL. Out: what it printed, or why it printed nothing. A turn that fails is told and loses
only itself; a process that does not end in time is killed.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.benchmarks.engines.sides import Side
from tests.benchmarks.processes import ROOT

SECONDS = 180.0
"""What one turn may take at most."""
PACKAGE = "tests.benchmarks.engines"


@dataclass(frozen=True)
class Turn:
    figures: Mapping[str, float] = field(default_factory=dict)
    waits: Mapping[str, list[float]] = field(default_factory=dict)
    missing: str = ""
    """What is not installed, so that this cannot be measured here."""
    failed: str = ""
    """What went wrong."""


async def take(side: Side, url: str) -> Turn:
    return await _told(side.python, side.module, url, json.dumps(asdict(side.amounts)))


async def take_backlog(side: Side, url: str) -> Turn:
    return await _told(side.python, "backlog", url)


async def _told(python: str, module: str, *arguments: str) -> Turn:
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *(python, "-m", f"{PACKAGE}.{module}", *arguments),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        try:
            async with asyncio.timeout(SECONDS):
                said, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return Turn(failed=f"{module} took more than {SECONDS:.0f} s")
        log.seek(0)
        return _read(module, process.returncode, said, log.read())


def _read(module: str, code: int | None, said: bytes, log: bytes) -> Turn:
    if code:
        return Turn(failed=f"{module} ended with {code}: {log.decode(errors='replace')[-1000:]}")
    told: dict[str, Any] = json.loads(said.splitlines()[-1])
    return Turn(told.get("figures", {}), told.get("waits", {}), told.get("missing", ""))


async def can_run_theirs(python: str) -> bool:
    """Whether the other engines are installed."""
    try:
        process = await asyncio.create_subprocess_exec(
            python, "-c", "import dbos, procrastinate", stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return False
    return await process.wait() == 0
