"""
The processes a benchmark runs: the service as its users start it, a bare server, a cluster that does not answer.

In: a folder and a port. Out: a process that listens, ended with SIGTERM when its user leaves. Never ends a process that
it did not start.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks.bodies import NAMESPACE
from tests.benchmarks.sender import Load, argument
from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 30.0
"""Seconds a process may take to listen, or to end."""


IDLE_SECONDS = 5.0


@asynccontextmanager
async def running(*arguments: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=ROOT,
            env=_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), PATIENCE)
                except TimeoutError:
                    process.kill()
                    await process.wait()


def _environment() -> dict[str, str]:
    """Modules are compiled once and kept, as in an installed image, whatever this shell says."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(ROOT / "build" / "pycache")}


async def answers_200(port: int, path: str) -> bool:
    """Whether a GET is answered with 200 just now."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    status = await reader.readline()
    writer.close()
    return b" 200 " in status


async def listening(process: asyncio.subprocess.Process, port: int, path: str, log: Path) -> float:
    """Seconds until the process listens; it must not end meanwhile."""
    began = time.perf_counter()
    while not await answers_200(port, path) if path else not _listens(port):
        if process.returncode is not None or time.perf_counter() - began > PATIENCE:
            said = log.read_text()[-2000:]  # noqa: ASYNC240 - nothing else runs any more
            raise RuntimeError(f"a process of the benchmark does not listen: {said}")
        await asyncio.sleep(0.005)
    return time.perf_counter() - began


def _listens(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def bare_server(folder: Path) -> AsyncIterator[int]:
    """The port of a bare server."""
    port, log = free_port(), folder / "bare.log"
    async with running("-m", "tests.benchmarks.bare", str(port), log=log) as process:
        await listening(process, port, "", log)
        yield port


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """The port of a cluster that takes connections and never says a word, so that runs wait and cost nothing."""
    open_connections: set[asyncio.StreamWriter] = set()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_connections.add(writer)
        try:
            while await reader.read(1 << 16):
                pass
        except OSError:
            return
        finally:
            open_connections.discard(writer)
            writer.close()

    port = free_port()
    server = await asyncio.start_server(listen, "127.0.0.1", port)
    try:
        yield port
    finally:
        server.close()
        for writer in list(open_connections):
            writer.close()
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Serving:
    """A running service."""

    pid: int
    port: int
    operations_port: int
    token: str
    ready_seconds: float
    """From the start of the process until it said that it is ready."""


@asynccontextmanager
async def service(folder: Path, cluster: str) -> AsyncIterator[Serving]:
    """The service as `remediator serve` runs it, with one rule, an empty journal and the cluster at this address."""
    folder.mkdir()  # noqa: ASYNC240 - nothing else runs yet
    port, operations, token = free_port(), free_port(), secrets.token_hex(32)
    config, log = _configure(folder, port, operations, token, cluster), folder / "service.log"
    began = time.perf_counter()
    async with running("-m", "remediator", "serve", "--config", str(config), log=log) as process:
        await listening(process, operations, "/readyz", log)
        yield Serving(process.pid, port, operations, token, time.perf_counter() - began)


def _configure(folder: Path, port: int, operations: int, token: str, cluster: str) -> Path:
    for name in ("sender.token", "cluster.token"):
        (folder / name).write_text(token)
    rules = folder / "rules"
    rules.mkdir()
    (rules / "rule.yaml").write_text(yaml.safe_dump(_rule(), sort_keys=False))
    config = folder / "remediator.yaml"
    told = {
        "rules": [str(rules)],
        "state_directory": str(folder / "state"),
        "listen": {"host": "127.0.0.1", "port": port},
        "operations": {"host": "127.0.0.1", "port": operations},
        "webhook": {"auth": {"bearer_files": [str(folder / "sender.token")]}},
        "kubernetes": {"server": cluster, "token_file": str(folder / "cluster.token")},
    }
    config.write_text(json.dumps(told))
    return config


def _rule() -> Mapping[str, Any]:
    """The shipped rule, with a wider match."""
    shipped: dict[str, Any] = yaml.safe_load((ROOT / "rules" / "etcd" / "member-removed.yaml").read_text("utf-8"))
    return {**shipped, "match": ['alertname="BenchMatched"'], "where": {"namespaces": [NAMESPACE]}}


async def idle(serving: Serving) -> float:
    """The MiB of memory that are this process's own share, after it had nothing to do for a while."""
    await asyncio.sleep(IDLE_SECONDS)
    told = Path(f"/proc/{serving.pid}/smaps_rollup").read_text("ascii")  # noqa: ASYNC240 - the kernel's memory
    return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("Pss:")) / 1024


async def sent(load: Load) -> tuple[float, Mapping[str, int]]:
    """Seconds it took a process of its own to send the load, and how often each status came back."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.sender", argument(load), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the sender of the benchmark failed; what it said is above")
    said = json.loads(told.splitlines()[-1])
    return said["seconds"], said["answers"]
