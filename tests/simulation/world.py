"""
One simulation: a practice cluster with a removed etcd member, the real service on it, and what the scene does to both.

In: a scene, and the seams through which a planted bug may enter. Out: the history of all that passed, for the checker.
The service is the real one from the webhook's parser to the request bodies: only sockets, disk and time are not. Its
process may end at any moment; the next one finds the journal and the backups, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import Signal, Switch
from remediator.model.objects import CONFIG_MAP, Manifest, ObjectRef
from remediator.model.rules import Rule
from remediator.practice.cluster import PracticeCluster
from remediator.practice.refusals import ApiError
from remediator.practice.routing import Router
from tests.fakes.fake_brake import FakeBrake
from tests.simulation.approvers import Approvers
from tests.simulation.faults import Fault, Scene, Troubles, acts, describe
from tests.simulation.hazards import Hazards
from tests.simulation.journal import History
from tests.simulation.keeping import KINDS, Keeping
from tests.simulation.loop import CountedIds, Life, VirtualClock, VirtualLoop
from tests.simulation.people import CANARY, People
from tests.simulation.replica import Replica
from tests.simulation.service import RulesInForce, Seams, notification, shipped_rule
from tests.simulation.stale_cache import StaleCache
from tests.simulation.truth import Truth

WEBHOOK_TIMEOUT = 30.0
AFTERMATH = 40.0
"""Seconds after the last run's end in which what was on its way may still arrive."""


class World:
    def __init__(self, scene: Scene, loop: VirtualLoop, seams: Seams | None = None) -> None:
        self.scene, self.loop, self.seams = scene, loop, seams or Seams()
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
        self.signalled: frozenset[tuple[str, str, str]] = frozenset()
        self.freeze_file = FakeBrake("file FREEZE")
        self.freeze_map = ObjectRef(CONFIG_MAP, "freeze", scene.setup.namespace)
        self.rule = self.seams.rule(shipped_rule(scene.max_members, "approve" if scene.asks else "auto"))
        self.rules = RulesInForce(self.rule)
        self.hazards, self.approvers, self.cache = Hazards(self), Approvers(self), StaleCache(self)
        is_shared = scene.store == "shared"
        self.replicas = [Replica(self, name) for name in ("a", "b")[: 2 if is_shared else 1]]
        self.replicas[-1].clock.ahead = scene.apart
        self.keeping: Keeping = KINDS[scene.store](self.clock if is_shared else self.replicas[0].clock)
        self._waiting: list[Fault] = acts(scene)
        self._counts = Counter[str]()
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

    def count(self, what: str) -> int:
        """Which of its kind this one is, from 1."""
        self._counts[what] += 1
        return self._counts[what]

    async def moment(self, kind: str, number: int) -> None:
        """Whatever the scene wants to happen exactly now, happens before anybody goes on."""
        due = [fault for fault in self._waiting if fault.moment == kind and fault.number == number]
        for fault in due:
            self._waiting.remove(fault)
            await asyncio.shield(self.loop.in_world(self.people.do(fault), str(fault)))

    # --- the service's processes ---------------------------------------------------------------------------

    def crash(self, why: str, life: Life) -> None:
        """That process is gone, if it is not gone already."""
        replica = next(replica for replica in self.replicas if replica.name == life.machine)
        if replica.life is life:
            replica.crash(why)

    def replica_at_work(self) -> Replica:
        return next((replica for replica in self.replicas if replica.is_busy), self.replicas[0])

    def store_time(self, replica: Replica) -> float:
        """What the store takes the time for: a journal of one process has that machine's clock."""
        return round(self.loop.time() + (0.0 if self.scene.store == "shared" else replica.clock.ahead), 6)

    def set_rule(self, rule: Rule | None) -> None:
        """The rule's file is edited, or removed (None), and every process has read it."""
        self.rules.loaded = rule
        self._note_rule()

    def _note_rule(self) -> None:
        rule = self.rules.loaded
        told = {"mode": str(rule.mode), "namespaces": list(rule.namespaces)} if rule else {"mode": "", "namespaces": []}
        self.history.note("rule", loaded=rule is not None, **told)

    # --- what reaches them ---------------------------------------------------------------------------------

    async def deliver(self, alerts: Sequence[dict[str, Any]]) -> None:
        """One notification, to each peer's replica, sent again until it is acknowledged, as after a 5xx."""
        body = json.dumps(notification(alerts)).encode()
        told = [{k: a[k] for k in ("status", "labels", "startsAt")} for a in alerts]
        peers = self.replicas if self.far.random() < 0.5 else [self.far.choice(self.replicas)]
        await asyncio.gather(*(self._deliver(replica, body, told) for replica in peers))

    async def _deliver(self, replica: Replica, body: bytes, told: Any) -> None:
        while self.is_open:
            if replica.is_up:
                handling = replica.handle(replica.receive(body), "webhook")
                await asyncio.wait({handling}, timeout=WEBHOOK_TIMEOUT)
                if not handling.done() or handling.cancelled():
                    pass
                elif (problem := handling.exception()) is None:
                    self.history.note("acknowledged", alerts=told)
                    return
                elif not isinstance(problem, StoreUnavailable):
                    self.history.note("not-taken", error=repr(problem))
            await self.clock.sleep(5.0)

    async def tell(self, signal: Signal) -> None:
        """A person tells a run something, through any replica; and again while nobody takes it."""
        while self.is_open:
            replica = self.far.choice(self.replicas)
            if replica.is_up:
                telling = replica.handle(replica.signal(signal), "signal")
                await asyncio.wait({telling}, timeout=WEBHOOK_TIMEOUT)
                if telling.done() and not telling.cancelled():
                    problem = telling.exception()
                    if problem is None or not isinstance(problem, StoreUnavailable):
                        return
            await self.clock.sleep(1.0)

    async def throw(self, name: str, *, on: bool, first: Callable[[], None] = lambda: None) -> None:
        """An operator throws a switch; while no process is up they try again until it is taken."""
        while self.is_open:
            with suppress(StoreUnavailable):
                replica = next((replica for replica in self.replicas if replica.is_up), None)
                if replica is not None:
                    first()
                    revision = self.rule.revision if name.startswith("arm:") and on else ""
                    await replica.store.throw(Switch(name, on, "alice", "simulated", self.clock.now(), revision))
                    self.history.note("switch", name=name, on=on, stored=True)
                    return
            await self.clock.sleep(1.0)

    def patched(self, sent: int) -> Manifest | None:
        """The object that this request patches, as it is stored just now."""
        write = self.history.entries[sent]
        if write["method"] != "PATCH":
            return None
        try:
            return self.true.stored(write["namespace"], write["path"].split("/")[-2], write["name"])
        except ApiError:
            return None

    # --- one simulation ------------------------------------------------------------------------------------

    async def play(self) -> History:
        self.history.note("scene", **describe(self.scene))
        try:
            async with self.cluster:
                await self._play()
        finally:
            self.keeping.close()
        return self.history

    async def _play(self) -> None:
        await self.people.break_cluster()
        self.history.note("broken", truth=self.true.now())
        self._note_rule()
        lives = [self.loop.in_world(replica.live_on(), "lives") for replica in self.replicas]
        watching = self.loop.in_world(self.true.watch_leader(), "leader")
        await self.throw(f"arm:{self.rule.name}", on=True)
        await self.people.tell_story([fault for fault in self._waiting if fault.moment == "at"])
        await self.clock.sleep(AFTERMATH)
        self.is_open = False
        self._note_end()
        for replica in self.replicas:
            replica.vanish()
        for task in (*lives, watching):
            task.cancel()
        await asyncio.gather(*lives, watching, return_exceptions=True)
        for replica in self.replicas:
            await replica.clear()

    def _note_end(self) -> None:
        shown = self.keeping.shown()
        leaks = sorted({text[:80] for text in shown.pop("text") if CANARY in text})
        self.history.note("end", truth=self.true.now(), leaks=leaks, **shown)
