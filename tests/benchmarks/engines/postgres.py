"""
A real PostgreSQL for the run: Debian's, fsync on, on the disk that the others use.

In: nothing. Out: a server on a free port of the loopback, with an empty database for whoever asks; stopped and removed
when its user leaves. Raises `Missing` where it is not installed. As root it runs as the package's own user, because
PostgreSQL refuses root.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.benchmarks.engines.stores import Missing
from tests.benchmarks.processes import PATIENCE, free_port

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
USER = "postgres"


class Server:
    def __init__(self, port: int) -> None:
        self._port = port

    async def empty_database(self, name: str) -> str:
        """The URL of a new database."""
        await _run(PROGRAMS / "createdb", "--host", "127.0.0.1", "--port", str(self._port), "--username", USER, name)
        return f"postgresql://{USER}@127.0.0.1:{self._port}/{name}"


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    if not (PROGRAMS / "postgres").exists():
        raise Missing("PostgreSQL: install postgresql-15")
    home = Path(tempfile.mkdtemp(prefix="remediator-bench-postgres-"))
    try:
        if _as_user():
            shutil.chown(home, USER)
        arguments = ("--pgdata", str(home / "data"), "--username", USER, "--auth", "trust", "--encoding", "UTF8")
        await _run(PROGRAMS / "initdb", *arguments, **_as_user())
        async with _serving(home) as port:
            yield Server(port)
    finally:
        shutil.rmtree(home)


@asynccontextmanager
async def _serving(home: Path) -> AsyncIterator[int]:
    port, log = free_port(), home / "log"
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *(PROGRAMS / "postgres", "-D", home / "data", "-p", str(port), "-k", home),
            *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"),
            stdout=said,
            stderr=said,
            **_as_user(),
        )
        try:
            await _ready(port, process, log)
            yield port
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)  # a fast shutdown: nobody's work is waited for
            await process.wait()


async def _ready(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}")  # noqa: ASYNC240
            asked = await asyncio.create_subprocess_exec(
                *(PROGRAMS / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))
            )
            if await asked.wait() == 0:
                return
            await asyncio.sleep(0.05)


async def _run(program: Path, *arguments: str, **who: str) -> None:
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd="/", **who
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{program.name} failed: {said.decode(errors='replace')[-2000:]}")


def _as_user() -> dict[str, str]:
    return {"user": USER} if os.getuid() == 0 else {}
