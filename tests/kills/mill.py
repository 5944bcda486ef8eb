"""
A system small enough to see through, with every kind of step: a mill that is stuck, and acts at once.

To free it: mark its StatefulSet (an idempotent patch), drop the pod that jams it (a destructive delete), turn the wheel
at its own door (a write that no precondition guards, and that counts), and wait until the grain flows. Each probe asks
in a way that nothing else does, so that the server can tell that it was asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from remediator.model.calls import Door, ReadCall, WriteCall
from remediator.model.errors import Conflict, NotFound
from remediator.model.evidence import Answer, Evidence
from remediator.model.objects import POD, STATEFUL_SET, Manifest, ObjectRef
from remediator.model.plans import Change, Effect, Plan, Step
from remediator.model.seams import ReadAccess, WriteAccess
from remediator.model.systems import (
    AlreadyDone,
    Blocked,
    Done,
    Draft,
    Found,
    Health,
    Located,
    NotLocated,
    Prepared,
    Probe,
    Ready,
    Remedy,
    Retry,
    StepResult,
    Surveyed,
    System,
)
from remediator.model.verdicts import Reason

MARK = "mills.test/freed"
NAMESPACE = "mills"
TIMEOUT = timedelta(minutes=20)
AGAIN = 0.02

Facts = Mapping[str, Any]
At = Callable[[str, str], None]
T = TypeVar("T")


async def _call(at: At, name: str, mill: str, asked: Awaitable[T]) -> T:
    """One call, with a place to end before and after it."""
    at(f"{name}.before", mill)
    answer = await asked
    at(f"{name}.answered", mill)
    return answer


def _jam(mill: str) -> ObjectRef:
    return ObjectRef(POD, f"jam-{mill}", NAMESPACE)


def _wheel(mill: str) -> ObjectRef:
    return ObjectRef(POD, f"wheel-{mill}", NAMESPACE)


def _is_marked(live: Manifest) -> bool:
    return MARK in live["metadata"].get("annotations", {})


async def _door(read: ReadAccess, mill: str) -> Door:
    return _door_of(await read.cluster.get(_wheel(mill)))


def _door_of(wheel: Manifest) -> Door:
    port = int(wheel["spec"]["containers"][0]["ports"][0]["containerPort"])
    return Door(ObjectRef.of(POD, wheel), str(wheel["status"]["podIP"]), port)


async def _ask(read: ReadAccess, mill: str, what: str) -> Any:
    reply = await read.endpoints.ask(await _door(read, mill), ReadCall("GET", f"/mills/{mill}/{what}"))
    return reply.json


@dataclass(frozen=True)
class Mill:
    """The system of one life."""

    at: At

    def system(self) -> System[Facts]:
        return System(
            name="mill",
            what="a mill that is stuck",
            verbs={"mill.mark": Mark(self.at), "mill.drop": Drop(self.at), "mill.turn": Turn(self.at)}
            | {"mill.rest": Rest(self.at)},
            locate=self._locate,
            survey=self._survey,
            probes=(Probe("stuck", _stuck),),
            fault="the mill is stuck",
            remedies={"free": Remedy("free", "free it", {}, _plan)},
            health=_health,
            facts_json=lambda facts: {"is_well": facts["is_well"]},
        )

    async def _locate(self, read: ReadAccess, labels: Mapping[str, str]) -> Located | NotLocated:
        mill = labels["mill"]
        found = read.cluster.get(ObjectRef(STATEFUL_SET, mill, NAMESPACE))
        return Located(ObjectRef.of(STATEFUL_SET, await _call(self.at, "locate", mill, found)))

    async def _survey(self, read: ReadAccess, target: ObjectRef, _: Mapping[str, Any]) -> Surveyed[Facts]:
        mill = target.name
        live = await _call(self.at, "look", mill, read.cluster.get(target))
        jam = await _call(self.at, "look", mill, read.cluster.get(_jam(mill)))
        wheel = await read.cluster.get(_wheel(mill))
        asked = read.endpoints.ask(_door_of(wheel), ReadCall("GET", f"/mills/{mill}/state"))
        state = (await _call(self.at, "look", mill, asked)).json
        is_jammed = jam["metadata"].get("labels", {}).get("jams") == "yes"
        is_well = _is_marked(live) and not is_jammed and state["turns"] > 0 and state["flows"]
        told = {"jam": ObjectRef.of(POD, jam), "wheel": ObjectRef.of(POD, wheel), "is_well": is_well}
        return Surveyed({"target": target, **told, "seen": f"jammed: {is_jammed}, {state}"})


def _stuck(facts: Facts) -> Evidence:
    return Evidence("stuck", "Is it stuck?", Answer.NO if facts["is_well"] else Answer.YES, facts["seen"])


def _health(facts: Facts, _: Plan | None) -> Health:
    return Health(bool(facts["is_well"]), facts["seen"])


def _plan(facts: Facts, _: Mapping[str, Any]) -> Draft:
    target, jam, wheel = facts["target"], facts["jam"], facts["wheel"]
    change = (Change("state", "stuck", "free"),)
    wanted = (
        ("mark", target, Effect.IDEMPOTENT),
        ("drop", jam, Effect.DESTRUCTIVE),
        ("turn", wheel, Effect.DESTRUCTIVE),
    )
    steps = [
        Step(
            seq, f"mill.{verb}", ref, {"mill": target.name}, effect, TIMEOUT, "it is stuck", change, ("stuck",), (ref,)
        )
        for seq, (verb, ref, effect) in enumerate(wanted)
    ]
    rest = Step(len(steps), "mill.rest", wheel, {"mill": target.name}, Effect.NONE, TIMEOUT, "let it flow")
    return Draft("free it", (*steps, rest))


# --- the verbs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mark:
    at: At
    effect = Effect.IDEMPOTENT

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        try:
            live = await _call(self.at, "prepare", step.args["mill"], read.cluster.get(step.target))
        except (NotFound, Conflict):
            return Blocked(Reason.TARGET_CHANGED, "another mill stands there")
        return AlreadyDone("it is marked") if _is_marked(live) else Ready({"live": _version(live)})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        change = {"metadata": {"annotations": {MARK: write.run_id}}}
        patch = write.cluster.patch({"metadata": intent["live"]}, step.target, change)
        await _call(self.at, "mark", step.args["mill"], patch)
        return Done(changed=True, detail="marked")

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        found = read.cluster.list(STATEFUL_SET, NAMESPACE, labels={"mill": step.args["mill"]})
        all_of_them = await _call(self.at, "probe.mark", step.args["mill"], found)
        return Found.DONE if all_of_them and _is_marked(all_of_them[0]) else Found.NOT_DONE


@dataclass(frozen=True)
class Drop:
    at: At
    effect = Effect.DESTRUCTIVE

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        try:
            live = await _call(self.at, "prepare", step.args["mill"], read.cluster.get(step.target))
        except (NotFound, Conflict):
            return AlreadyDone("that pod is gone")
        return Ready({"live": _version(live)})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        delete = write.cluster.delete({"metadata": intent["live"]}, step.target)
        await _call(self.at, "drop", step.args["mill"], delete)
        return Done(changed=True, detail="dropped")

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        found = read.cluster.list(POD, NAMESPACE, labels={"mill": step.args["mill"]})
        all_of_them = await _call(self.at, "probe.drop", step.args["mill"], found)
        is_there = any(pod["metadata"]["uid"] == step.target.uid for pod in all_of_them)
        return Found.NOT_DONE if is_there else Found.DONE


@dataclass(frozen=True)
class Turn:
    """Nothing guards it: whoever sends it twice turns the wheel twice."""

    at: At
    effect = Effect.DESTRUCTIVE

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        state = await _call(self.at, "prepare", step.args["mill"], _ask(read, step.args["mill"], "state"))
        return Ready({"turns": state["turns"]})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        mill = step.args["mill"]
        read = ReadAccess(write.cluster, write.endpoints, write.backups, write.clock)
        door = await _door(read, mill)
        turn = write.endpoints.send(door, WriteCall("POST", f"/mills/{mill}/turn", {"run": write.run_id}))
        reply = await _call(self.at, "turn", mill, turn)
        return Done(changed=True, detail=f"turned: {reply.json}")

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        asked = _ask(read, step.args["mill"], "probe")
        state = await _call(self.at, "probe.turn", step.args["mill"], asked)
        return Found.DONE if state["turns"] > intent["turns"] else Found.NOT_DONE


@dataclass(frozen=True)
class Rest:
    at: At
    effect = Effect.NONE

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        return Ready({})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        read = ReadAccess(write.cluster, write.endpoints, write.backups, write.clock)
        state = await _call(self.at, "rest", step.args["mill"], _ask(read, step.args["mill"], "rest"))
        return Done(changed=False, detail="it flows") if state["flows"] else Retry(AGAIN, "not yet")

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        return Found.NOT_DONE


def _version(live: Manifest) -> dict[str, Any]:
    meta = live["metadata"]
    return {key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion")}
