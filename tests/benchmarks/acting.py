"""
The whole service, as `serve` runs it, with the benchmark's own system in place of those that are shipped.

In: the path of a settings file. Out: a service on its configured ports until SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from remediator import app, logs
from remediator.settings import load
from tests.benchmarks.annotating import SYSTEM


async def main(config: Path) -> None:
    logs.configure("json", "error")
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with app.service(load(config, {}), known={SYSTEM.name: SYSTEM}):
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
