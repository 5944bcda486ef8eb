"""
Send notifications as fast as they are answered, from a process of its own.

In: a port, a token, the shape of the bodies, how many, over how many connections. Out: one JSON line with the seconds
it took and how each request was answered. Bodies are made before the clock starts, and a request is written and its
answer read with next to no work, so that the sender costs the server as little as it can.
"""

from __future__ import annotations

import asyncio
import collections
import json
import sys
import time
from dataclasses import asdict, dataclass
from itertools import islice

from tests.benchmarks.bodies import bodies

PATH = "/webhook/alertmanager"


@dataclass(frozen=True)
class Load:
    """What to send."""

    port: int
    token: str
    size: int
    share_matched: float
    count: int
    connections: int
    first: int = 0


def requests(load: Load) -> list[bytes]:
    """Whole requests, headers and all."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\nUser-Agent: Alertmanager/0.25.0\r\n"
        f"Authorization: Bearer {load.token}\r\nContent-Type: application/json\r\nContent-Length: "
    )
    made = islice(bodies(load.size, load.share_matched, first=load.first), load.count)
    return [f"{head}{len(body)}\r\n\r\n".encode() + body for body in made]


async def _send(port: int, waiting: collections.deque[bytes], answers: collections.Counter[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    while waiting:
        writer.write(waiting.popleft())
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        answers[int(head[9:12])] += 1
    writer.close()
    await writer.wait_closed()


async def send(load: Load) -> dict[str, object]:
    """The seconds from the first request to the last answer, and how often each status came."""
    waiting = collections.deque(requests(load))
    answers: collections.Counter[int] = collections.Counter()
    print("ready", flush=True)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as senders:
        for _ in range(load.connections):
            senders.create_task(_send(load.port, waiting, answers))
    return {"seconds": time.perf_counter() - began, "answers": dict(answers)}


def argument(load: Load) -> str:
    return json.dumps(asdict(load))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(send(Load(**json.loads(sys.argv[1]))))), flush=True)
