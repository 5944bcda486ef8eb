"""A webhook on a real port of the loopback: in front of it a client or a raw socket, behind it a store in memory."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession

from remediator.model.alerts import Alert, Notification
from remediator.model.ledger import Candidate, Delivery, Filed
from remediator.model.verdicts import Reason
from remediator.receiver.listening import Listener
from remediator.receiver.notices import Notice
from remediator.receiver.webhook import PATH, Webhook

CAPTURES = Path(__file__).parents[2] / "fixtures" / "alertmanager"
TOKEN = "a-token-of-more-than-thirty-two-bytes-0001"


@dataclass(frozen=True)
class Skip:
    index: int
    alertname: str
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Sorting:
    candidates: tuple[Candidate, ...]
    resolved: tuple[Alert, ...]
    skipped: Sequence[Skip]


def sort_by_severity(notification: Notification) -> Sorting:
    """A rule that wants whatever fires critically; the rest is skipped."""
    candidates, resolved, skipped = [], [], []
    for index, alert in enumerate(notification.alerts):
        if alert.labels.get("severity") != "critical":
            skipped.append(Skip(index, alert.name, Reason.NO_RULE_MATCHES, "no rule matches its labels"))
        elif alert.is_firing:
            candidates.append(Candidate(f"run-{index}", "a-rule", "r1", alert))
        else:
            resolved.append(alert)
    return Sorting(tuple(candidates), tuple(resolved), skipped)


@dataclass
class Desk:
    """Files deliveries in a list; `before` may wait or raise first."""

    deliveries: list[Delivery] = field(default_factory=list)
    before: Callable[[], Awaitable[None]] | None = None
    cases: dict[str, str] = field(default_factory=dict)
    filed: asyncio.Event = field(default_factory=asyncio.Event)

    async def file(self, delivery: Delivery) -> Sequence[Filed]:
        if self.before:
            await self.before()
        self.deliveries.append(delivery)
        self.filed.set()
        filed = []
        for candidate in delivery.candidates:
            known = candidate.alert.episode in self.cases
            run_id = self.cases.setdefault(candidate.alert.episode, candidate.run_id)
            filed.append(Filed(candidate.rule, candidate.alert.episode, run_id, created=not known))
        return filed


@dataclass
class Door:
    """What a test holds: the webhook's address, what it filed, what it told."""

    webhook: Webhook
    desk: Desk
    notices: list[Notice]
    listener: Listener
    session: ClientSession

    def url(self, path: str = PATH) -> str:
        return f"http://127.0.0.1:{self.listener.port}{path}"

    async def post(self, body: bytes, *, path: str = PATH, **headers: str) -> tuple[int, Any, ClientResponse]:
        given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(
            self.url(path), data=io.BytesIO(body), headers=given, allow_redirects=False
        ) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else text, answer

    async def raw(self, *pieces: bytes, half_close: bool = False) -> bytes:
        """Send the pieces over a socket, then read until the other side closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if half_close:
                writer.write_eof()
            async with asyncio.timeout(10):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


def head(*lines: str, method: str = "POST") -> bytes:
    """The header of a request that may come in."""
    first = f"{method} {PATH} HTTP/1.1"
    return "\r\n".join([first, "Host: h", f"Authorization: Bearer {TOKEN}", *lines, "", ""]).encode()


def capture(name: str) -> bytes:
    """The body of a recorded request, as Alertmanager sent it."""
    recorded = json.loads((CAPTURES / f"{name}.json").read_text("utf-8"))
    return str(recorded["request"]["raw_body"]).encode("utf-8")


ALL_BODIES = sorted(path.stem for path in CAPTURES.glob("*.json"))
