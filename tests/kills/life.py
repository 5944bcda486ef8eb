"""
One life: the whole service, as `remediator serve` runs it, in a process that was just forked.

In: what it is told, as plain values. Out: an exit code, unless it is killed. Only three things are not as in a real
process: the toy system in place of those that are shipped, the places at which it may end, and no second collection of
garbage.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from remediator import logs
from remediator.app import Service, service
from remediator.settings import Settings
from tests.kills.ending import End, Statements
from tests.kills.mill import Mill
from tests.kills.mortal import Mortal
from tests.kills.planted import PLANTED
from tests.kills.points import Order
from tests.kills.told import settings_of, write_rules

LONGEST = 240
"""Seconds after which a life that was forgotten ends by itself."""
STATEMENTS = ("open", "close.checkpoint")


def live(told: Mapping[str, Any], pipe: int) -> NoReturn:
    """Never returns."""
    signal.alarm(LONGEST)
    code = 1
    try:
        asyncio.run(_live(told, pipe))
        code = 0
    except BaseException:  # noqa: BLE001 - a fork must not go on in the code of its parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def rehearse(folder: Path) -> None:
    """Begin and end once, in this process, with nobody there."""
    (folder / "token").write_text("rehearsal" * 8)
    write_rules(folder / "rules")
    settings = settings_of(folder / "state", folder, ports=(0, 0), kube_port=9)
    asyncio.run(_live({"order": None, "life": "", "settings": settings, "log": "critical"}, -1, is_rehearsal=True))


async def _live(told: Mapping[str, Any], pipe: int, *, is_rehearsal: bool = False) -> None:
    order = Order(**told["order"]) if told["order"] else None
    end = End(order, told["life"], pipe, told.get("only", ""))
    logs.configure("json", told.get("log", "warning"))
    settings = Settings.model_validate(told["settings"])
    transactions: list[str] = []
    statements = Statements(end, transactions)
    if order is not None and (order.place in STATEMENTS or order.place.endswith(("inside", "commit", "committed"))):
        statements.watch()

    def opened(store: Any) -> Any:
        statements.is_opening = False
        return Mortal(bug.store(store) if bug else store, end, transactions)

    bug = PLANTED[told["planted"]] if told.get("planted") else None
    system = Mill(end.at).system()
    system = bug.system(system) if bug else system
    async with service(settings, observers=[end.told], known={system.name: system}, journal=opened) as running:
        if is_rehearsal:
            return
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.ended.set)
        end.ready()
        await running.ended.wait()
    _raise_failure(running)


def _raise_failure(running: Service) -> None:
    if running.failure is not None:
        raise running.failure
