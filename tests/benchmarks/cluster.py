"""
The practice API server in a process of its own, and when it saw each first write.

In: how many StatefulSets there are. Out: a JSON line with its address, and after SIGTERM another with the wall clock's
seconds of the first write on each, Events apart.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from remediator.clocks import SystemClock, new_id
from remediator.practice.apiserver import ApiServer
from remediator.practice.http import PracticeServer
from remediator.practice.refusals import ApiError
from tests.benchmarks.bodies import NAMESPACE

TOKEN = "practice" * 8


class NoLogs:
    def read(self, namespace: str, pod: str, container: str, previous: bool) -> str:
        raise ApiError(400, "BadRequest", "there are no containers here")


def stateful_set(name: str) -> dict[str, object]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"serviceName": name, "replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}


async def main(count: int) -> None:
    clock = SystemClock()
    api = ApiServer(clock, new_id)
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for number in range(count):
        api.create(stateful_set(f"web-{number}"))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    server = PracticeServer(api, tokens={TOKEN}, logs=NoLogs(), clock=clock)
    await server.start()
    print(json.dumps({"url": server.base_url, "token": TOKEN}), flush=True)
    await ended.wait()
    first: dict[str, float] = {}
    for seen in server.requests:
        if seen.is_write and seen.resource != "events":
            first.setdefault(seen.name, seen.at.timestamp())
    print(json.dumps(first), flush=True)
    await server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
