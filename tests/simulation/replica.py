"""
One machine on which one process of the service after the other runs, assembled as `app` does, without its ports.

In: a world. Out: a process that may end or be halted at any moment. The next one finds what is kept and the backups,
and nothing else. Every door it is given belongs to that one process.
"""

from __future__ import annotations

import asyncio
import functools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from remediator.brakes.config_map import ConfigMapBrake
from remediator.brakes.latching import Latch
from remediator.brakes.watching import Brakes
from remediator.dispatch import Dispatcher
from remediator.kube.client import KubeClient
from remediator.kube.requests import Requests
from remediator.model.ledger import Delivery, Signal
from remediator.model.rules import Limit
from remediator.model.seams import Brake
from remediator.receiver.parsing import read_notification
from remediator.runs.desk import Bounds, Desk
from remediator.runs.worker import Worker
from tests.simulation.doors import SimCaller, SimTransport
from tests.simulation.journal import Journal, SimBackups
from tests.simulation.loop import LIFE, Life, VirtualClock
from tests.simulation.service import GUARDS, PROTECTED, SYSTEMS, SimAccess

if TYPE_CHECKING:
    from tests.simulation.world import World

REQUEST_SECONDS = 10.0
CALL_SECONDS = 4.0
"""What a call of a replica may count on: less than a third of the lease is left when it is due for renewal."""
APPROVAL = timedelta(seconds=90)


class Replica:
    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.clock = VirtualClock(world.loop)
        self.life = Life(0, name)
        self.worker: Worker | None = None
        self.store: Any = None
        self.journal: Any = None
        self._world = world
        self._working: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._dispatcher: Dispatcher | None = None
        self._rule: Any = None

    @property
    def is_up(self) -> bool:
        return self.life.number > 0 and not self.life.is_over

    @property
    def is_busy(self) -> bool:
        return self.is_up and self.worker is not None and self.worker.busy > 0

    # --- its lives -----------------------------------------------------------------------------------------

    async def live_on(self) -> None:
        """One process after the other, for as long as the simulation lasts."""
        world = self._world
        while world.is_open:
            self._begin_life()
            await self._ended.wait()
            world.keeping.vanish()
            await self.clear()
            await world.clock.sleep(world.far.uniform(0.2, 15.0))

    def _begin_life(self) -> None:
        self.life = Life(self._world.count("life"), self.name)
        self._ended.clear()
        token = LIFE.set(self.life)
        try:
            self._assemble()
        finally:
            LIFE.reset(token)
        self._world.history.note("life", number=self.life.number, machine=self.name)

    def _assemble(self) -> None:
        world, life, seams = self._world, self.life, self._world.seams
        self.store = world.keeping.open(f"{self.name}-{life.number}")
        self.journal = seams.store(Journal(world, self, life, self.store))
        clock = seams.clock(self.clock)
        transport = seams.transport(SimTransport(world, self, life))
        kube = KubeClient(Requests(transport, clock=clock, tell=lambda _: None, seconds=REQUEST_SECONDS))
        access = seams.access(SimAccess(kube, SimCaller(world, life), SimBackups(world, life), clock))
        desk = Desk(
            store=self.journal,
            clock=clock,
            systems=seams.systems(SYSTEMS),
            rule=seams.rules(world.rules.get),
            access=access,
            brakes=self._brakes(kube),
            guards=seams.guards(GUARDS),
            tell=lambda _: None,
            bounds=seams.bounds(self._bounds(self.store.lease)),
        )
        self.worker = Worker(desk, complain=self._complain)
        self._dispatcher, self._rule = None, None
        self._working = world.loop.create_task(self.worker.run(), name="worker")
        self._working.add_done_callback(functools.partial(self._worker_ended, life))

    def _brakes(self, kube: KubeClient) -> Brake:
        """All of them where the scene engages one; else one that nobody touches, so that no read is spent on it."""
        world = self._world
        if not any(fault.name.startswith("freeze-") for fault in world.scene.faults):
            return world.freeze_file
        brake = world.seams.brake
        each = [brake(world.freeze_file), brake(ConfigMapBrake(kube.view(), world.freeze_map))]
        brakes = Brakes(each, None, Latch(self.journal, self.clock), self.clock, lambda _: None)
        world.loop.create_task(brakes.run(), name="brakes")
        return brakes

    def _bounds(self, lease: timedelta | None) -> Bounds:
        a_service, a_namespace = Limit(10, timedelta(hours=1)), Limit(5, timedelta(hours=1))
        seconds = CALL_SECONDS if lease else REQUEST_SECONDS
        return Bounds(a_service, a_namespace, PROTECTED, approval=APPROVAL, call_seconds=seconds)

    def _complain(self, what: str, error: Exception) -> None:
        told = self._world.keeping.without_place(f"{type(error).__name__}: {error}")
        self._world.history.note("complaint", said=what, error=told, life=self.life.number)

    def _worker_ended(self, life: Life, task: asyncio.Task[None]) -> None:
        if life.is_over:
            return
        if not task.cancelled():
            self._world.history.note("worker-died", error=repr(task.exception()))
        self._over(life)

    def _over(self, life: Life) -> None:
        life.is_over = True
        self._world.loop.wake(life)
        self._ended.set()

    def vanish(self) -> None:
        """The simulation is over."""
        self._over(self.life)

    def crash(self, why: str) -> None:
        """The process is gone, in the middle of whatever it was doing."""
        if not self.life.is_over:
            self._world.history.note("crash", life=self.life.number, why=why)
            self._over(self.life)

    def stop(self) -> None:
        """The process is asked to end, as at a deployment."""
        if not self.life.is_over and self._working is not None:
            self._world.history.note("stop", life=self.life.number)
            self._working.cancel()

    def halt(self) -> None:
        """SIGSTOP, or a machine that is paused."""
        if self.is_up:
            self._world.history.note("halt", life=self.life.number)
            self._world.loop.halt(self.life)

    def wake(self) -> None:
        """SIGCONT."""
        self._world.loop.wake(self.life)
        self._world.history.note("wake", life=self.life.number)

    async def clear(self) -> None:
        """What is left of a process that has ended: its tasks wait for ever, and are taken away."""
        while left := [task for task in self.life.tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.001)

    # --- what reaches it -----------------------------------------------------------------------------------

    def handle(self, work: Any, name: str) -> asyncio.Task[Any]:
        """A task of this process."""
        token = LIFE.set(self.life)
        try:
            task = self._world.loop.create_task(work, name=name)
            task.add_done_callback(_heard)
            return task
        finally:
            LIFE.reset(token)

    async def receive(self, body: bytes) -> None:
        """One webhook request, up to the commit that is its acknowledgement."""
        assert self.worker is not None
        sorted_alerts = self._dispatch().dispatch(read_notification(body))
        told = Delivery(self.clock.now(), body, "alertmanager", sorted_alerts.candidates, sorted_alerts.resolved)
        filed = await self.journal.file(told)
        if any(entry.created for entry in filed):
            self.worker.wake()

    def _dispatch(self) -> Dispatcher:
        rule = self._world.rules.loaded
        if self._dispatcher is None or rule is not self._rule:
            rules = [rule] if rule is not None else []
            self._rule = rule
            self._dispatcher = Dispatcher(rules, ids=self._world.ids, protected=PROTECTED, clock=self.clock)
        return self._dispatcher

    async def signal(self, signal: Signal) -> None:
        """What a person tells a run, as the API does it."""
        assert self.worker is not None
        await self.journal.signal(signal)
        self.worker.wake()


def _heard(task: asyncio.Task[Any]) -> None:
    """Whoever asked may have gone away meanwhile; what the task met is no news to anybody else."""
    if not task.cancelled():
        task.exception()
