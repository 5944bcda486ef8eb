"""
One simulation: a practice cluster with a removed etcd member, the real service on it, and what the scene does to both.

In: a scene, and the seams through which a planted bug may enter. Out: the history of all that passed, for the checker.
The service is the real one from the webhook's parser to the request bodies: only sockets, disk and time are not. Its
process may end at any moment; the next one finds the journal and the backups, and nothing else.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from remediator.brakes.config_map import ConfigMapBrake
from remediator.brakes.latching import Latch
from remediator.brakes.watching import Brakes
from remediator.dispatch import Dispatcher
from remediator.kube.client import KubeClient
from remediator.kube.requests import Requests
from remediator.model.ledger import Delivery, Switch
from remediator.model.objects import CONFIG_MAP, ObjectRef
from remediator.model.rules import Limit
from remediator.model.runs import Run
from remediator.model.seams import Brake
from remediator.practice.cluster import PracticeCluster
from remediator.practice.routing import Router
from remediator.receiver.parsing import read_notification
from remediator.runs.desk import Bounds, Desk
from remediator.runs.worker import Worker
from remediator.store.memory import MemoryStore
from tests.fakes.fake_brake import FakeBrake
from tests.simulation.doors import SimCaller, SimTransport
from tests.simulation.faults import Fault, Scene, Troubles, acts, describe
from tests.simulation.journal import History, Journal, SimBackups
from tests.simulation.loop import LIFE, CountedIds, Life, VirtualClock, VirtualLoop
from tests.simulation.people import People
from tests.simulation.service import GUARDS, PROTECTED, SYSTEMS, Seams, SimAccess, notification, shipped_rule
from tests.simulation.truth import Truth

AFTERMATH = 40.0
"""Seconds after the last run's end in which what was on its way may still arrive."""


class World:
    def __init__(self, scene: Scene, loop: VirtualLoop, seams: Seams | None = None) -> None:
        self.scene, self.loop, self._seams = scene, loop, seams or Seams()
        self.clock, self.ids = VirtualClock(loop), CountedIds()
        self.far = random.Random(f"network {scene.seed}")
        self.history = History(loop.time)
        self.troubles = Troubles(scene, loop.time, random.Random(f"troubles {scene.seed}"))
        self.cluster = PracticeCluster(self.clock, self.ids, serve_http=False)
        self.router = Router(self.cluster.api, self.cluster.kubelet, self.clock)
        self.people = People(self)
        self.true = Truth(self.cluster, scene.setup, self.history)
        self.files: dict[tuple[str, str], bytes] = {}
        self.started: set[str] = set()
        self.freeze_file = FakeBrake("file FREEZE")
        self.freeze_map = ObjectRef(CONFIG_MAP, "freeze", scene.setup.namespace)
        self.rule = self._seams.rule(shipped_rule(scene.max_members))
        self.memory = MemoryStore(self.clock)
        self.life = Life(0)
        self.worker: Worker | None = None
        self.journal: Any = None
        self._dispatcher: Dispatcher | None = None
        self._working: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._waiting: list[Fault] = acts(scene)
        self._writes = self._commits = 0
        self.is_open = True

    # --- the network, and moments --------------------------------------------------------------------------

    def latency(self) -> float:
        return self.far.uniform(0.0005, 0.02)

    async def hop(self, life: Life) -> None:
        """A little time passes, as between any two machines; a process that has ended never sees the end of it."""
        if life.is_over:
            await life.go_on()
        await self.loop.alarm(self.latency())
        if life.is_over:
            await life.go_on()

    def count_write(self) -> int:
        self._writes += 1
        return self._writes

    def count_transaction(self) -> int:
        self._commits += 1
        return self._commits

    async def moment(self, kind: str, number: int) -> None:
        """Whatever the scene wants to happen exactly now, happens before anybody goes on."""
        due = [fault for fault in self._waiting if fault.moment == kind and fault.number == number]
        for fault in due:
            self._waiting.remove(fault)
            await asyncio.shield(self.loop.in_world(self.people.do(fault), str(fault)))

    # --- the service's process -----------------------------------------------------------------------------

    def crash(self, why: str) -> None:
        """The process is gone, in the middle of whatever it was doing."""
        if not self.life.is_over:
            self.history.note("crash", life=self.life.number, why=why)
            self.life.is_over = True
            self._ended.set()

    def stop(self) -> None:
        """The process is asked to end, as at a deployment."""
        if not self.life.is_over and self._working is not None:
            self.history.note("stop", life=self.life.number)
            self._working.cancel()

    def _begin_life(self) -> None:
        self.life = Life(self.life.number + 1)
        self._ended.clear()
        self.memory = self.memory.after_restart()
        token = LIFE.set(self.life)
        try:
            self._assemble()
        finally:
            LIFE.reset(token)
        self.history.note("life", number=self.life.number)

    def _assemble(self) -> None:
        """As `app.service` does, without its ports."""
        life, seams = self.life, self._seams
        self.journal = seams.store(Journal(self, life, self.memory))
        transport = seams.transport(SimTransport(self, life))
        kube = KubeClient(Requests(transport, clock=self.clock, tell=lambda _: None, seconds=10.0))
        access = seams.access(SimAccess(kube, SimCaller(self, life), SimBackups(self, life), self.clock))
        desk = Desk(
            store=self.journal,
            clock=self.clock,
            systems=seams.systems(SYSTEMS),
            rule={self.rule.name: self.rule}.get,
            access=access,
            brakes=self._brakes(kube),
            guards=seams.guards(GUARDS),
            tell=lambda _: None,
            bounds=Bounds(Limit(10, timedelta(hours=1)), Limit(5, timedelta(hours=1)), PROTECTED),
        )
        self.worker = Worker(desk, complain=self._complain)
        self._dispatcher = Dispatcher([self.rule], ids=self.ids, protected=PROTECTED, clock=self.clock)
        self._working = self.loop.create_task(self.worker.run(), name="worker")
        self._working.add_done_callback(functools.partial(self._worker_ended, life))

    def _brakes(self, kube: KubeClient) -> Brake:
        """All of them where the scene engages one; else one that nobody touches, so that no read is spent on it."""
        if not any(fault.name.startswith("freeze-") for fault in self.scene.faults):
            return self.freeze_file
        each = [self._seams.brake(self.freeze_file), self._seams.brake(ConfigMapBrake(kube.view(), self.freeze_map))]
        brakes = Brakes(each, None, Latch(self.journal, self.clock), self.clock, lambda _: None)
        self.loop.create_task(brakes.run(), name="brakes")
        return brakes

    def _complain(self, what: str, error: Exception) -> None:
        self.history.note("complaint", said=what, error=f"{type(error).__name__}: {error}")

    def _worker_ended(self, life: Life, task: asyncio.Task[None]) -> None:
        if life.is_over:
            return
        if not task.cancelled():
            self.history.note("worker-died", error=repr(task.exception()))
        life.is_over = True
        self._ended.set()

    async def _live_on(self) -> None:
        """One process after the other, for as long as the simulation lasts."""
        while self.is_open:
            self._begin_life()
            await self._ended.wait()
            await self._clear(self.life)
            await self.clock.sleep(self.far.uniform(0.2, 15.0))

    async def _clear(self, life: Life) -> None:
        """What is left of a process that has ended: its tasks wait for ever, and are taken away."""
        while left := [task for task in life.tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.001)

    # --- what reaches it -----------------------------------------------------------------------------------

    async def deliver(self, alerts: Sequence[dict[str, Any]]) -> None:
        """One notification, sent again until it is acknowledged, as Alertmanager does after a 5xx."""
        body = json.dumps(notification(alerts)).encode()
        while self.is_open:
            handling = self._handling(body)
            if handling is not None:
                await asyncio.wait({handling})
                if not handling.cancelled() and (problem := handling.exception()) is not None:
                    self.history.note("not-taken", error=repr(problem))
                elif not handling.cancelled():
                    self.history.note(
                        "acknowledged", alerts=[{k: a[k] for k in ("status", "labels", "startsAt")} for a in alerts]
                    )
                    return
            await self.clock.sleep(5.0)

    def _handling(self, body: bytes) -> asyncio.Task[None] | None:
        if self.life.is_over or self.life.number == 0:
            return None
        token = LIFE.set(self.life)
        try:
            return self.loop.create_task(self._receive(body), name="webhook")
        finally:
            LIFE.reset(token)

    async def _receive(self, body: bytes) -> None:
        assert self._dispatcher is not None
        assert self.worker is not None
        sorted_alerts = self._dispatcher.dispatch(read_notification(body))
        told = Delivery(self.clock.now(), body, "alertmanager", sorted_alerts.candidates, sorted_alerts.resolved)
        filed = await self.journal.file(told)
        if any(entry.created for entry in filed):
            self.worker.wake()

    async def throw(self, name: str, *, on: bool, first: Callable[[], None] = lambda: None) -> None:
        """An operator throws a switch; while the process is down they try again until it is taken."""
        while self.is_open:
            with suppress(Exception):
                if not self.life.is_over and self.life.number:
                    first()
                    revision = self.rule.revision if name.startswith("arm:") and on else ""
                    await self.memory.throw(Switch(name, on, "alice", "simulated", self.clock.now(), revision))
                    self.history.note("switch", name=name, on=on)
                    return
            await self.clock.sleep(1.0)

    # --- one simulation ------------------------------------------------------------------------------------

    async def play(self) -> History:
        self.history.note("scene", **describe(self.scene))
        async with self.cluster:
            await self.people.break_cluster()
            self.history.note("broken", truth=self.true.now())
            living = self.loop.in_world(self._live_on(), "lives")
            watching = self.loop.in_world(self.true.watch_leader(), "leader")
            await self.throw(f"arm:{self.rule.name}", on=True)
            await self.people.tell_story([fault for fault in self._waiting if fault.moment == "at"])
            await self.clock.sleep(AFTERMATH)
            self.is_open = False
            await self._note_end()
            self.life.is_over = True
            living.cancel()
            watching.cancel()
            await asyncio.gather(living, watching, return_exceptions=True)
            await self._clear(self.life)
        return self.history

    def live_runs(self) -> list[Run]:
        return [run for run in self.memory._ledger.runs.values() if not run.state.is_final]

    async def _note_end(self) -> None:
        steps = [
            {"run": r.run_id, "seq": r.seq, "attempt": r.attempt, "state": str(r.state)}
            for r in self.memory._ledger.steps.values()
        ]
        runs = {
            run.id: {"state": str(run.state), "reason": str(run.reason or ""), "detail": run.detail}
            for run in self.memory._ledger.runs.values()
        }
        self.history.note("end", truth=self.true.now(), runs=runs, steps=steps)
