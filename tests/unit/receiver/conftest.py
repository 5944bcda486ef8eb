"""Doors for the tests of the webhook; what a door is stands in `webhook_door.py`."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from remediator.credentials import Credentials
from remediator.receiver.listening import Listener
from remediator.receiver.notices import Notice
from remediator.receiver.webhook import Webhook
from remediator.settings import Webhook as Limits
from remediator.settings import WebhookAuth
from remediator.web.public import public_application
from tests.fakes.fake_clock import FakeClock
from tests.ports import free_port
from tests.unit.receiver.webhook_door import TOKEN, Desk, Door, sort_by_severity

MakeDoor = Callable[..., Awaitable[Door]]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


@pytest.fixture
async def make_door(token_file: Path) -> AsyncIterator[MakeDoor]:
    """Doors with limits of one's own; all are closed at the end."""
    doors: list[Door] = []

    async def make(*, credentials: Credentials | None = None, **limits: Any) -> Door:
        desk, numbers = Desk(), itertools.count(1)
        notices: list[Notice] = []
        bounds = Limits(auth=WebhookAuth(bearer_files=(token_file,)), **limits)
        webhook = Webhook(
            credentials or bounds.auth.credentials(),
            sort_by_severity,
            desk,
            FakeClock(),
            lambda word: f"{word}-{next(numbers)}",
            bounds,
            notices.append,
        )
        app = public_application(webhook.routes(), webhook.ids)
        listener = Listener(
            app,
            "127.0.0.1",
            free_port(),
            webhook.ids,
            max_connections=bounds.max_connections,
            header_timeout_seconds=bounds.header_timeout_seconds,
            shutdown_seconds=0.5,
            linger_seconds=0.1,
        )
        await listener.start()
        doors.append(Door(webhook, desk, notices, listener, ClientSession()))
        return doors[-1]

    yield make
    for door in doors:
        await door.session.close()
        await door.listener.close()
        await door.webhook.settle()


@pytest.fixture
async def door(make_door: MakeDoor) -> Door:
    return await make_door()
