"""
One trial: an alert, the lives that are killed over it one after the other, and the one that brings it to its end.

In: a plan, a nursery and a place to be. Out: what was seen, for the judge. Whatever the plan, the last life is left
alone, told to end when all is done, and must end in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from remediator.model.ledger import SignalName
from tests.kills.journal import SQLiteJournal
from tests.kills.nursery import Cradle, Midwife
from tests.kills.older import lay_down
from tests.kills.points import Order, Plan, mill_name
from tests.kills.sender import Sender, alert
from tests.kills.told import settings_of, write_rules
from tests.kills.world import World
from tests.ports import free_port

LONGEST = 60.0
"""Seconds until a trial is stuck."""
LOOK = 0.02
"""Seconds between two looks whether all runs have ended."""
QUICK = 0.4
"""Seconds within which a life that is killed at any moment is killed."""
TO_END = 15.0
"""Seconds in which a life that was told to end must have ended."""
ASKING = ("ask", "deny", "expire", "withdraw")


@dataclass
class Seen:
    """All that a trial showed."""

    plan: Plan
    history: list[dict[str, Any]] = field(default_factory=list)
    acknowledged: list[dict[str, Any]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    journal: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ails: dict[str, str] = field(default_factory=dict)
    kills: list[tuple[str, int]] = field(default_factory=list)
    """The point and the number of the life, for each that was killed."""
    missed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What broke on the way, before anybody judged."""
    seconds: float = 0.0


@dataclass
class Slot:
    """A place for one trial at a time: its ports and its folder."""

    midwife: Midwife
    folder: Path
    kube_port: int = 0
    ports: tuple[int, int] = (0, 0)
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    world: World | None = None
    number: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.world is None:
            return web.Response(status=503)
        return await self.world.answer(request)


@contextlib.asynccontextmanager
async def slot(midwife: Midwife, folder: Path) -> AsyncIterator[Slot]:
    folder.mkdir(parents=True)  # noqa: ASYNC240 - nothing else runs yet
    made = Slot(midwife, folder, ports=(free_port(), free_port()))
    (folder / "token").write_text(made.token)
    write_rules(folder / "rules")
    runner = web.ServerRunner(web.Server(made.answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    made.kube_port = free_port()
    await web.TCPSite(runner, "127.0.0.1", made.kube_port, reuse_address=True).start()
    try:
        yield made
    finally:
        await runner.cleanup()


class Trial:
    def __init__(self, plan: Plan, here: Slot) -> None:
        self.plan, self._here = plan, here
        self._state = here.folder / f"trial-{plan.seed}"
        self._journal = SQLiteJournal(self._state / "journal.db")
        self._mills = [mill_name(plan.seed, number) for number in range(plan.mills)]
        self.world = World(plan.scene, self._mills, here.kube_port, self._journal.attempts)
        self._began = datetime.now(UTC).isoformat()
        self._cradle: Cradle | None = None
        self._order: Order | None = None
        self._passed: Counter[str] = Counter()
        self.seen = Seen(plan)

    async def run(self) -> Seen:
        began = time.monotonic()
        self._state.mkdir()
        if self.plan.scene == "older":
            lay_down(self._state / "journal.db")
        self._here.world = self.world
        self.world.at, self.world.is_late = self._passes, self._is_late
        self.world.flows_if = lambda: self.plan.scene != "stop"
        sender = Sender(self._here.ports[0], self._here.token)
        people = asyncio.create_task(self._people(sender))
        try:
            async with asyncio.timeout(LONGEST):
                await self._lives(people)
        except TimeoutError:
            self.seen.problems.append(f"stuck: not all runs ended within {LONGEST:g} s")
        finally:
            people.cancel()
            await asyncio.gather(people, return_exceptions=True)
            await sender.close()
            await self._end_of_all()
        await self._collect(sender)
        self.seen.seconds = time.monotonic() - began
        return self.seen

    def forget(self) -> None:
        shutil.rmtree(self._state, ignore_errors=True)

    # --- lives ---------------------------------------------------------------------------------------------

    async def _lives(self, people: asyncio.Task[None]) -> None:
        for order in (*self.plan.orders, None):
            cradle = await self._bear(order)
            await self._until_dead_or_done(cradle, order, people)
            if not cradle.dead.is_set():
                await self._end_in_order(cradle)
            if self._is_over(cradle, order):
                return

    async def _bear(self, order: Order | None) -> Cradle:
        self.world.life += 1
        self._order, self._passed = order, Counter()
        told = {
            "life": f"{self.plan.seed}/{self.world.life}",
            "order": asdict(order) if order else None,
            "settings": settings_of(
                self._state,
                self._here.folder,
                ports=self._here.ports,
                kube_port=self._here.kube_port,
                approval=0.5 if self.plan.scene == "expire" else 600,
                tries=self.plan.tries,
            ),
            "only": self.plan.only,
            "planted": self.plan.planted,
            "log_file": str(self._state / "log"),
        }
        self._cradle = await self._here.midwife.bear(told)
        self.world.note("born", pid=self._cradle.pid)
        return self._cradle

    async def _until_dead_or_done(self, cradle: Cradle, order: Order | None, people: asyncio.Task[None]) -> None:
        if order is not None and order.place == "anywhere":
            await self._kill_anywhere(cradle)
        while not cradle.dead.is_set():
            if cradle.ready.is_set() and people.done() and await self._journal.live() == 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(cradle.dead.wait(), LOOK)

    async def _kill_anywhere(self, cradle: Cradle) -> None:
        share = (self.plan.seed * 2654435761 % 2**32) / 2**32
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(cradle.dead.wait(), share * QUICK)
        cradle.kill("anywhere")

    async def _end_in_order(self, cradle: Cradle) -> None:
        """Told to end as a pod is; it may still have an order for the way out."""
        cradle.send(signal.SIGTERM)
        try:
            await asyncio.wait_for(cradle.dead.wait(), TO_END)
        except TimeoutError:
            self.seen.problems.append(f"life {cradle.life} did not end within {TO_END:g} s of being told to")
            cradle.kill("")
            await cradle.dead.wait()

    def _is_over(self, cradle: Cradle, order: Order | None) -> bool:
        self.world.note("died", code=cradle.code, at=cradle.killed_at)
        if cradle.killed_at:
            self.seen.kills.append((cradle.killed_at, self.world.life))
            if cradle.code != -signal.SIGKILL:
                self.seen.problems.append(f"life {cradle.life} was killed and ended with {cradle.code}")
            return False
        if order is not None:
            self.seen.missed.append(order.point)
        if cradle.code != 0:
            self.seen.problems.append(f"life {cradle.life} ended by itself with {cradle.code}: {self._last_words()}")
        return True

    async def _end_of_all(self) -> None:
        if self._cradle is not None and not self._cradle.dead.is_set():
            self._cradle.kill("")
            await self._cradle.dead.wait()

    # --- what the world does to them -----------------------------------------------------------------------

    def _passes(self, place: str) -> None:
        """A request is at this place; the life that sent it may be ordered to end there."""
        order, cradle = self._order, self._cradle
        if order is None or cradle is None or place != order.place or cradle.dead.is_set():
            return
        self._passed[place] += 1
        if self._passed[place] == order.nth:
            cradle.kill(order.point)

    def _is_late(self, place: str) -> bool:
        return self._order is not None and self._order.place == place and not self._passed[place]

    # --- people --------------------------------------------------------------------------------------------

    async def _people(self, sender: Sender) -> None:
        scene = self.plan.scene
        if scene != "disarmed":
            for rule in ("free", "free-if-asked"):
                await sender.throw(f"/api/v1/rules/{rule}/arm")
        name = "MillAsks" if scene in ASKING else "MillStuck"
        alerts = [alert(mill, name, self._began) for mill in self._mills]
        await sender.deliver(alerts)
        await sender.deliver(alerts)  # a second Alertmanager, or the same one that did not hear the answer
        if scene == "resolve":
            resolved = [alert(m, name, self._began, resolved_at=datetime.now(UTC).isoformat()) for m in self._mills]
            await sender.deliver(resolved)
        elif scene in ("ask", "deny", "withdraw"):
            await sender.answer({"ask": SignalName.APPROVE, "deny": SignalName.DENY}.get(scene, SignalName.CANCEL))
        elif scene == "stop":
            await self._until_resting()
            await sender.cancel()

    async def _until_resting(self) -> None:
        while not any(entry["what"] == "asked" and entry["about"] == "rest" for entry in self.world.history):
            await asyncio.sleep(LOOK)

    # --- what there is to judge ----------------------------------------------------------------------------

    async def _collect(self, sender: Sender) -> None:
        seen = self.seen
        seen.history, seen.acknowledged, seen.told = self.world.history, sender.acknowledged, sender.told
        seen.problems += sender.strange + self._complaints()
        seen.journal = await self._journal.dump()
        seen.ails = {mill: self.world.what_ails(mill) for mill in self._mills}

    def _complaints(self) -> list[str]:
        """What no life may ever say, whatever befell it."""
        words = ("failed inside", "Traceback", "moved on elsewhere", "never retrieved")
        return [f"in the log: {line[:400]}" for line in self._log() if any(word in line for word in words)]

    def _log(self) -> list[str]:
        path = self._state / "log"
        return path.read_text("utf-8", "replace").splitlines() if path.exists() else []

    def _last_words(self) -> str:
        return " | ".join(self._log()[-6:])[:2000]


def told(seen: Seen) -> str:
    """A trial's history as lines, for whoever looks for the cause of something."""
    return "\n".join(json.dumps(entry, default=str) for entry in seen.history)
