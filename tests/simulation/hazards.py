"""
What befalls the service from outside its cluster: machines, clocks, the store, its rules, GitOps, and other people.

In: a world, and one fault of its scene. Out: the fault carried out, noted as it is done, and undone where it lasts.
Whatever happens to one of two replicas happens to the one that is at work, most of the time. (A missed watch event is
not among these: the service watches nothing, so there is none to miss.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from remediator.model.ledger import Signal, SignalName
from remediator.model.objects import CLAIM, VOLUME, Manifest, ResourceType
from remediator.model.rules import Mode
from remediator.practice.refusals import ApiError
from tests.simulation.faults import CLOCKS, OTHERS, REPLICAS, RULES, Fault
from tests.simulation.replica import Replica

if TYPE_CHECKING:
    from tests.simulation.world import World

NAMES = frozenset({*CLOCKS, *OTHERS, *REPLICAS, *RULES, "store-down", "stop-kill", "crash-all"})
AN_HOUR = 3600.0
FLAPS, FLAP_SECONDS = 3, 20.0


class Hazards:
    def __init__(self, world: World) -> None:
        self._world = world
        self._reverts = 0

    async def do(self, fault: Fault) -> None:
        name = fault.name
        if name in REPLICAS:
            self._to_machine(fault)
        elif name in CLOCKS:
            self._set_clock(fault)
        elif name in RULES:
            self._edit_rule(fault)
        elif name in ("store-down", "stop-kill", "crash-all"):
            self._to_all(fault)
        else:
            await self._by_others(fault)

    def _later(self, seconds: float, undo: Callable[[], Any]) -> None:
        async def wait() -> None:
            await self._world.clock.sleep(seconds)
            undo()

        self._world.people.spawn(wait(), "later: undo")

    # --- machines ------------------------------------------------------------------------------------------

    def _one(self) -> Replica:
        """The one that is at work, mostly."""
        replicas = self._world.replicas
        busy = [replica for replica in replicas if replica.is_busy]
        return busy[0] if busy and self._world.far.random() < 0.8 else self._world.far.choice(replicas)

    def _to_machine(self, fault: Fault) -> None:
        world, replica = self._world, self._one()
        until = world.loop.time() + fault.lasting
        match fault.name:
            case "halt":
                replica.halt()
                life = replica.life
                self._later(fault.lasting + 5.0, lambda: replica.wake() if replica.life is life else None)
            case "cut-store":
                world.troubles.away[replica.name] = until
            case _:
                world.troubles.cut[replica.name] = until

    def _to_all(self, fault: Fault) -> None:
        world = self._world
        match fault.name:
            case "store-down":
                until = world.loop.time() + (fault.lasting or 20.0)
                world.troubles.away |= {replica.name: until for replica in world.replicas}
            case "stop-kill":
                replica = self._one()
                replica.stop()
                life = replica.life
                patience = world.far.uniform(0.0, 5.0)
                self._later(patience, lambda: replica.crash("killed") if replica.life is life else None)
            case _:
                for replica in world.replicas:
                    replica.crash("all at once")

    def _set_clock(self, fault: Fault) -> None:
        """NTP, or somebody, sets the wall clock of one machine; the clock that only goes forward goes on."""
        replica = self._one()
        was, replica.clock.ahead = replica.clock.ahead, AN_HOUR if fault.name == "clock-forward" else -AN_HOUR
        if fault.lasting:
            self._later(fault.lasting, lambda: setattr(replica.clock, "ahead", was))

    # --- rules ---------------------------------------------------------------------------------------------

    def _edit_rule(self, fault: Fault) -> None:
        world = self._world
        was = world.rule
        match fault.name:
            case "rule-removed":
                world.set_rule(None)
            case "rule-observe":
                world.set_rule(replace(was, mode=Mode.OBSERVE, revision="to observe"))
            case "rule-narrowed":
                world.set_rule(replace(was, namespaces=("elsewhere",), revision="narrowed"))
            case _:
                world.set_rule(replace(was, parameters={**was.parameters, "max_members": 3}, revision="looser"))
        if fault.lasting:
            self._later(fault.lasting, lambda: world.set_rule(was))

    # --- other people, and other programs ------------------------------------------------------------------

    async def _by_others(self, fault: Fault) -> None:
        match fault.name:
            case "cancel":
                for run_id in self._world.keeping.live():
                    signal = Signal(run_id, SignalName.CANCEL, "", "bob", "not now", self._world.clock.now())
                    self._world.people.spawn(self._world.tell(signal), "cancel")
            case "revert" | "fight":
                self._reverts = 1 if fault.name == "revert" else 1_000
                self._world.cluster.api.subscribe(self._put_back)
            case "recreate":
                self._world.cluster.api.subscribe(self._make_again)
            case "fix":
                self._world.people.repair()
            case "flap":
                self._world.people.spawn(self._flap(FLAP_SECONDS + fault.lasting), "flap")
            case _:
                self._world.troubles.is_poisoned = True

    def _put_back(self, what: str, resource: ResourceType, changed: Manifest) -> None:
        """GitOps knows another reclaim policy."""
        if what != "MODIFIED" or resource != VOLUME or self._reverts <= 0:
            return
        if changed["spec"].get("persistentVolumeReclaimPolicy") == "Retain":
            self._reverts -= 1  # who does it again and again is a controller that watches; else a nightly job
            name, uid = changed["metadata"]["name"], changed["metadata"]["uid"]
            seconds = self._world.far.uniform(0.005, 0.05 if self._reverts else 6.0)
            self._later(seconds, lambda: self._revert(name, uid))

    def _revert(self, name: str, uid: str) -> None:
        change = {"spec": {"persistentVolumeReclaimPolicy": "Delete"}}
        try:
            self._world.cluster.api.patch(VOLUME, "", name, change, kind="merge")
        except ApiError as error:
            if error.status != 404:
                raise
            return
        self._world.history.note("reverted", kind="PersistentVolume", name=name, uid=uid)

    def _make_again(self, what: str, resource: ResourceType, gone: Manifest) -> None:
        """GitOps has the claim in its repository, bound to the volume that it had."""
        if what != "DELETED" or resource != CLAIM:
            return
        spec = {key: gone["spec"][key] for key in ("accessModes", "resources", "volumeName") if key in gone["spec"]}
        named = {"name": gone["metadata"]["name"], "namespace": gone["metadata"]["namespace"]}
        made = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": named, "spec": spec}
        self._later(self._world.far.uniform(0.0, 2.0), lambda: self._create(made))

    def _create(self, manifest: Manifest) -> None:
        try:
            self._world.cluster.api.create(manifest)
        except ApiError as error:
            if error.status not in (409, 422):
                raise

    async def _flap(self, seconds: float) -> None:
        """The alert is resolved and fires again, each time as an episode of its own."""
        people, clock = self._world.people, self._world.clock
        for _ in range(FLAPS):
            await clock.sleep(seconds)
            began = clock.now().isoformat().replace("+00:00", "Z")
            await people.fire(starts_at=began)
