"""
When the journal must not be built upon: stop acting, go on showing history, and say so until somebody has looked.

In: the open journal, and how it stands. Out: a service that takes nothing new, and a line in the log each minute. It
repairs nothing, ends no run and never ends the service: an operator comes to it with questions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from remediator.app.standing import Standing
from remediator.model.seams import Clock
from remediator.store.sqlite import SalvagedStore
from remediator.store.sqlite.custody import Custody

REMIND_SECONDS = 60.0


async def fall_back(standing: Standing, custody: Custody, work: Sequence[asyncio.Task[None]]) -> None:
    """Once damage is met: end the tasks that would act or write, and let what can still be read answer questions."""
    damage = await custody.until_broken()
    standing.condemn(damage)
    _tell(standing)
    for task in work:
        task.cancel()
    salvaged = await SalvagedStore.open(custody.path, damage, alone=False)
    standing.show(salvaged)
    try:
        await asyncio.Event().wait()
    finally:
        await salvaged.close()


async def warn(standing: Standing, clock: Clock) -> None:
    """Whatever keeps the service from taking anything new is said at the start and each minute."""
    while True:
        _tell(standing)
        await clock.sleep(REMIND_SECONDS)


def _tell(standing: Standing) -> None:
    if standing.trouble:
        structlog.get_logger().error("nothing new is taken", why=standing.trouble, unreadable=standing.unreadable)
