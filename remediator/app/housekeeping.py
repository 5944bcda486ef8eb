"""
Forget what is old enough: raw deliveries, and runs that ended long ago, which are archived first.

In: the store, and how long things are kept. Out: a smaller journal and a longer archive. What fails is told and tried
again an hour later; a live run and a record of the audit trail are never forgotten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from remediator.logs import complain
from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import History
from remediator.model.seams import Clock, RunStore
from remediator.settings import Settings
from remediator.store.archive import Archive
from remediator.web.rendering import whole_run_json

EVERY = 3600.0


async def keep_house(settings: Settings, store: RunStore, check: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """For ever, each hour. `check` reads the whole journal once for damage."""
    archive = archive_of(settings)
    while True:
        await tidy(settings, store, archive, clock)
        try:
            await check()
        except StoreUnavailable as error:
            complain("the journal could not be checked for damage", error)
        await clock.sleep(EVERY)


def archive_of(settings: Settings) -> Archive:
    return Archive(settings.state_directory / "archive", _as_shown)


async def tidy(settings: Settings, store: RunStore, archive: Archive, clock: Clock) -> None:
    now = clock.now()
    try:
        await store.prune(now - timedelta(days=settings.delivery_retention_days))
    except StoreUnavailable as error:
        complain("old deliveries could not be forgotten", error)
    try:
        retired = await archive.retire(store, now - timedelta(days=settings.run_retention_days))
    except StoreUnavailable as error:
        complain("runs that ended long ago could not be archived", error)
        return
    if retired:
        structlog.get_logger().info("runs archived", count=retired)


def _as_shown(history: History) -> dict[str, object]:
    """A run as the API shows it, so that whoever knows the one can read the other."""
    return whole_run_json(history.run, history.steps, history.traces, history.signals)
