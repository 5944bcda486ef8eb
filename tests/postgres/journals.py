"""Journals on a PostgreSQL that tests kill, cut and promote, and what their callers are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from remediator.clocks import SystemClock
from remediator.model.alerts import Alert, AlertStatus
from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import Candidate, Delivery, Filed
from remediator.store.postgres import Address, PostgresStore, Sharing

_numbers = count(1)


@asynccontextmanager
async def journal(url: str, **sharing: Any) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(Address(url), SystemClock(), Sharing(f"worker-{next(_numbers)}", **sharing))
    try:
        yield store
    finally:
        await store.close()


def alert(name: str, status: AlertStatus = AlertStatus.FIRING) -> Alert:
    return Alert(status, {"alertname": "Down", "pod": name}, {}, "2025-03-01T11:59:00Z", "")


def delivery(name: str) -> Delivery:
    """One alert, which becomes the run of that name."""
    return Delivery(SystemClock().now(), b"{}", "10.0.0.1", (Candidate(name, "heal", "rev-1", alert(name)),))


async def told(store: PostgresStore, name: str) -> bool | None:
    """What the sender is told of its alert: it is stored, it is not, or (None) nobody knows."""
    try:
        (filed,) = await store.file(delivery(name))
    except StoreUnavailable as error:
        return False if "nothing of this call is stored" in str(error) else None
    return is_its_own(filed, name)


def is_its_own(filed: Filed, name: str) -> bool:
    assert filed.run_id == name, f"{name} was told of {filed.run_id}"
    return True


def runs(lines: str) -> Sequence[str]:
    return sorted(lines.split())


RUNS = "SELECT id FROM runs"
