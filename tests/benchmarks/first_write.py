"""
How long from an alert's POST to the first write the API server sees.

Twenty alerts a second, each for another StatefulSet, at the whole service in a process of its own and the practice API
server in another; the rule is armed and acts by itself. The sender notes the wall clock right before it writes.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from remediator.terminal.operator import Operator
from tests.benchmarks.bodies import NAMESPACE, notification
from tests.benchmarks.cluster import TOKEN
from tests.benchmarks.processes import ROOT, listening, running
from tests.benchmarks.sender import PATH
from tests.ports import free_port

RATE = 20.0
RULE: Mapping[str, Any] = {
    "name": "annotate",
    "system": "bench",
    "mode": "auto",
    "match": ['alertname="BenchMatched"'],
    "where": {"namespaces": [NAMESPACE]},
    "remedy": {"name": "annotate"},
    "limits": {"per_rule": "9999 per 1h", "per_target": "10 per 1h"},
    "cooldown": "1m",
    "verify": {"within": "30s", "steady_for": "1s", "every": "1s"},
}


async def first_write(folder: Path, count: int) -> list[float]:
    """Milliseconds from each POST to the first write on its StatefulSet, sorted."""
    folder.mkdir()  # noqa: ASYNC240 - nothing else runs yet
    arguments = (sys.executable, "-m", "tests.benchmarks.cluster", str(count))
    cluster = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert cluster.stdout is not None
    try:
        url = json.loads(await cluster.stdout.readline())["url"]
        port, operations, token = free_port(), free_port(), secrets.token_hex(32)
        config, log = _configure(folder, port, operations, token, url), folder / "service.log"
        async with running("-m", "tests.benchmarks.acting", str(config), log=log) as process:
            await listening(process, operations, "/readyz", log)
            await Operator(f"http://127.0.0.1:{port}", folder / "token").post(
                "/api/v1/rules/annotate/arm", {"by": "bench", "why": "to measure"}
            )
            sent = await _send(port, token, count)
            await asyncio.sleep(2)
            cluster.terminate()
            seen = json.loads(await cluster.stdout.readline())
    finally:
        if cluster.returncode is None:
            cluster.terminate()
            await cluster.wait()
    if missing := sent.keys() - seen.keys():
        raise RuntimeError(f"{len(missing)} of {count} alerts led to no write: {log.read_text()[-2000:]}")
    return sorted(1000 * (seen[name] - at) for name, at in sent.items())


async def _send(port: int, token: str, count: int) -> dict[str, float]:
    sent: dict[str, float] = {}
    url, headers = f"http://127.0.0.1:{port}{PATH}", {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.TaskGroup() as posts:
        began = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
            posts.create_task(_post(session, url, f"web-{number}", number, sent))
    return sent


async def _post(session: aiohttp.ClientSession, url: str, name: str, number: int, sent: dict[str, float]) -> None:
    body = notification(number, {"statefulset": name})
    sent[name] = time.time()
    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
        if response.status != 202:
            raise RuntimeError(f"an alert was answered with {response.status}: {await response.text()}")


def percentile(values: list[float], hundredth: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[hundredth - 1]


def _configure(folder: Path, port: int, operations: int, token: str, cluster: str) -> Path:
    rules = folder / "rules"
    rules.mkdir()
    (rules / "rule.yaml").write_text(json.dumps(RULE))
    (folder / "token").write_text(token)
    (folder / "cluster.token").write_text(TOKEN)
    told = {
        "rules": [str(rules)],
        "state_directory": str(folder / "state"),
        "listen": {"host": "127.0.0.1", "port": port},
        "operations": {"host": "127.0.0.1", "port": operations},
        "webhook": {"auth": {"bearer_files": [str(folder / "token")]}},
        "operators": {"token_files": [str(folder / "token")]},
        "kubernetes": {"server": cluster, "token_file": str(folder / "cluster.token")},
        "limits": {"per_namespace": {"count": 10_000}, "per_service": {"count": 10_000}},
        # A run keeps its place until it is verified, so there must be places for some seconds' alerts.
        "workers": {"concurrency": 256},
    }
    config = folder / "remediator.yaml"
    config.write_text(json.dumps(told))
    return config
