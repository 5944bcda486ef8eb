"""
Alertmanager and an operator, as the service hears them: they ask again until they are answered.

In: the ports of a service that may be dead just now. Out: what was acknowledged, as plain values. It never gives up
before its trial does, and takes nothing but a 2xx for a yes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import aiohttp

from remediator.model.ledger import SignalName
from tests.kills.mill import NAMESPACE
from tests.simulation.service import notification

WEBHOOK = "/webhook/alertmanager"
PATIENCE = 5.0
"""Seconds until an answer is no longer waited for."""
AGAIN = 0.01
NOT_TAKEN = (aiohttp.ClientError, TimeoutError, OSError)


def alert(mill: str, name: str, starts_at: str, *, resolved_at: str = "") -> dict[str, Any]:
    labels = {"alertname": name, "namespace": NAMESPACE, "mill": mill, "severity": "critical"}
    return {
        "status": "resolved" if resolved_at else "firing",
        "labels": labels,
        "annotations": {},
        "startsAt": starts_at,
        "endsAt": resolved_at or "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": hashlib.sha256(json.dumps(labels).encode()).hexdigest()[:16],
    }


class Sender:
    def __init__(self, port: int, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connector = aiohttp.TCPConnector(force_close=True)
        self._session = aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(PATIENCE)
        )
        self.acknowledged: list[dict[str, Any]] = []
        """Each delivery that was answered with a 2xx: its alerts, its hash, and how often it was sent."""
        self.told: list[dict[str, Any]] = []
        """Each change by the operator that was answered with a 2xx."""
        self.strange: list[str] = []
        """Answers that nobody may get."""

    async def close(self) -> None:
        await self._session.close()

    async def deliver(self, alerts: Sequence[dict[str, Any]]) -> None:
        body, tries = json.dumps(notification(alerts)).encode(), 0
        while True:
            tries += 1
            answer = await self._ask("POST", WEBHOOK, body)
            if answer is not None and 200 <= answer[0] < 300:
                digest = hashlib.sha256(body).hexdigest()
                self.acknowledged.append({"alerts": list(alerts), "sha256": digest, "tries": tries, "told": answer[1]})
                return
            await asyncio.sleep(AGAIN)

    async def change(self, path: str, **told: str) -> tuple[int, Any]:
        """The answer that is not "come again"."""
        body = json.dumps({"by": "operator", "why": "trial", **told}).encode()
        while True:
            answer = await self._ask("POST", path, body)
            if answer is not None and answer[0] != 503:
                if answer[0] < 300:
                    self.told.append({"path": path, "told": answer[1]})
                return answer
            await asyncio.sleep(AGAIN)

    async def throw(self, path: str) -> None:
        code, told = await self.change(path)
        if code >= 300:
            self.strange.append(f"{path} was answered with {code}: {told}")

    async def answer(self, what: SignalName) -> None:
        """Tell the one run there is, once it waits for a person, until one telling is acknowledged or it has ended."""
        while True:
            run = await self._only_run()
            if run is not None and run["finished_at"]:
                return
            if run is not None and run["state"] == "awaiting_approval" and run["plan"]:
                words = {} if what is SignalName.CANCEL else {"plan": run["plan"]["digest"]}
                code, _ = await self.change(f"/api/v1/runs/{run['id']}/{what}", **words)
                if code < 300:
                    return
            await asyncio.sleep(2 * AGAIN)

    async def cancel(self) -> None:
        """The one run there is, whatever it is doing; one that has ended cannot be told any more."""
        while True:
            run = await self._only_run()
            if run is not None:
                await self.change(f"/api/v1/runs/{run['id']}/cancel")
                return
            await asyncio.sleep(2 * AGAIN)

    async def _only_run(self) -> Any:
        """With all that is known of it; None where it is not there or nobody answers."""
        found = await self._ask("GET", "/api/v1/runs")
        if found is None or found[0] != 200 or not found[1]["runs"]:
            return None
        whole = await self._ask("GET", f"/api/v1/runs/{found[1]['runs'][0]['id']}")
        return whole[1] if whole is not None and whole[0] == 200 else None

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any] | None:
        """None: nobody answered."""
        try:
            async with self._session.request(method, path, data=body) as response:
                code, text = response.status, await response.text()
        except NOT_TAKEN:
            return None
        if code >= 300 and (code not in (404, 409, 503) or (path == WEBHOOK and code != 503)):
            self.strange.append(f"{method} {path} was answered with {code}: {text[:200]}")
        try:
            return code, json.loads(text)
        except ValueError:
            return code, text
