"""
Ask the etcd of a practice cluster what a person at a terminal would ask.

In: a cluster, a namespace, a pod. Out: members, keys, and committed changes. It talks to pods only, never to the model
behind them, so it works the same with real processes.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from remediator.practice.cluster import PracticeCluster
from remediator.practice.refusals import ApiError

COMMIT_SECONDS = 60.0


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def ask(cluster: PracticeCluster, namespace: str, pod: str, path: str, body: Any) -> tuple[int, Any]:
    """Status and parsed answer; status 0 when the pod is not there or nobody answers."""
    try:
        address = cluster.pod(namespace, pod).get("status", {}).get("podIP", "")
        status, _, answer = await cluster.etcd_request(address, "POST", path, body)
    except (ApiError, ConnectionError):
        return 0, {}
    return status, json.loads(answer) if answer.startswith(b"{") else {}


async def members(cluster: PracticeCluster, namespace: str, pod: str) -> list[dict[str, Any]]:
    """The member list as this pod sees it; empty when it does not answer."""
    status, answer = await ask(cluster, namespace, pod, "/v3/cluster/member/list", {})
    return list(answer["members"]) if status == 200 else []


async def remove_member(cluster: PracticeCluster, namespace: str, pod: str, through: str) -> int:
    """Commit `member remove` for the member named like `pod`, asking `through`; answers its id."""
    found = [m for m in await members(cluster, namespace, through) if m.get("name") == pod]
    if not found:
        raise LookupError(f"{through} knows no member named {pod}; name a pod that is a started member")
    wanted = {"ID": found[0]["ID"]}

    async def is_committed() -> bool:
        status, _ = await ask(cluster, namespace, through, "/v3/cluster/member/remove", wanted)
        return status in (200, 404)

    await cluster.until(is_committed, COMMIT_SECONDS, what=f"removal of member {pod}")
    return int(found[0]["ID"])


async def put_keys(cluster: PracticeCluster, namespace: str, pod: str, count: int, prefix: str) -> None:
    for number in range(count):
        body = {"key": _b64(f"{prefix}{number:06d}"), "value": _b64(f"value {number}")}
        status, answer = await ask(cluster, namespace, pod, "/v3/kv/put", body)
        if status != 200:
            raise ConnectionError(f"{pod} did not take key {number}: {status} {answer}")


async def count_keys(cluster: PracticeCluster, namespace: str, pod: str, prefix: str) -> int:
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    body = {"key": _b64(prefix), "range_end": _b64(end), "count_only": True}
    status, answer = await ask(cluster, namespace, pod, "/v3/kv/range", body)
    if status != 200:
        raise ConnectionError(f"{pod} did not count its keys: {status} {answer}")
    return int(answer.get("count", 0))
