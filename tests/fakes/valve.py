"""
A system small enough to see through: a valve in a ConfigMap-like object that can stick.

Its fault is "stuck", its cure sets the object's `spec.stuck` to false, and everything the engine can meet (a
look-alike, silence, a lost answer, a slow wait) is a switch on the `Valve`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from remediator.model.errors import NotFound, RemoteError
from remediator.model.evidence import Answer, Evidence, Weight
from remediator.model.objects import POD, ObjectRef
from remediator.model.plans import Change, Effect, Step
from remediator.model.seams import ReadAccess, WriteAccess
from remediator.model.systems import (
    AlreadyDone,
    Blocked,
    Done,
    Draft,
    Failed,
    Found,
    Health,
    Located,
    NoDraft,
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


@dataclass
class Valve:
    """What the toy world does next."""

    answers: dict[str, Answer] = field(default_factory=lambda: {"stuck": Answer.YES, "leaks": Answer.NO})
    well: bool = False
    heals_on_turn: bool = True
    turns: list[tuple[str, int]] = field(default_factory=list)
    """(run, attempt) of every call that took effect."""
    calls: int = 0
    fail_next: list[Exception | StepResult] = field(default_factory=list)
    applies_before_failing: bool = False
    found: Found | None = None
    """What the probe says; None: the truth."""
    waits: int = 0
    no_draft: NoDraft | None = None
    ask: str = ""
    effect: Effect = Effect.DESTRUCTIVE
    survey_fails: list[RemoteError] = field(default_factory=list)
    steps: int = 1
    later_looks: list[dict[str, Answer]] = field(default_factory=list)
    """What the second, third, … look finds instead."""
    after_turn: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What happens in the world right after the next turns."""
    _looked: int = 0

    def system(self) -> System[Mapping[str, Any]]:
        return System(
            name="valve",
            what="a valve",
            verbs={"valve.turn": Turn(self), "valve.wait": Wait(self)},
            locate=self._locate,
            survey=self._survey,
            probes=(
                Probe("stuck", lambda f: Evidence("stuck", "Is it stuck?", f["stuck"], "looked at it")),
                Probe(
                    "leaks",
                    lambda f: Evidence(
                        "leaks", "Does it leak?", f["leaks"], "looked under it", Weight.LOOKALIKE, Reason.LOOKALIKE
                    ),
                ),
            ),
            fault="the valve is stuck",
            remedies={"turn": Remedy("turn", "turn it", {}, self._plan)},
            health=lambda facts, plan: Health(bool(facts["well"]), "flows" if facts["well"] else "does not flow"),
            facts_json=lambda facts: {"well": facts["well"]},
        )

    async def _locate(self, read: ReadAccess, labels: Mapping[str, str]) -> Located | NotLocated:
        try:
            live = await read.cluster.get(ObjectRef(POD, labels["pod"], labels["namespace"]))
        except NotFound:
            return NotLocated(Reason.TARGET_NOT_FOUND, "no such valve")
        return Located(ObjectRef.of(POD, live))

    async def _survey(
        self, read: ReadAccess, target: ObjectRef, notes: Mapping[str, Any]
    ) -> Surveyed[Mapping[str, Any]]:
        if self.survey_fails:
            raise self.survey_fails.pop(0)
        self._looked += 1
        if self._looked > 1 and self.later_looks:
            self.answers |= self.later_looks.pop(0)
        return Surveyed({**self.answers, "well": self.well, "target": target}, {"looks": notes.get("looks", 0) + 1})

    def _plan(self, facts: Mapping[str, Any], parameters: Mapping[str, Any]) -> Draft | NoDraft:
        if self.no_draft is not None:
            return self.no_draft
        target: ObjectRef = facts["target"]
        turns = [
            Step(
                i,
                "valve.turn",
                target,
                {},
                self.effect,
                timedelta(seconds=30),
                "it is stuck",
                (Change("spec.stuck", "true", "false"),),
                ("stuck",),
                (target,),
            )
            for i in range(self.steps)
        ]
        wait = Step(self.steps, "valve.wait", target, {}, Effect.NONE, timedelta(seconds=60), "let it flow")
        return Draft("turn the valve", (*turns, wait), ask=self.ask)


class Turn:
    def __init__(self, valve: Valve) -> None:
        self._valve = valve
        self.effect = valve.effect

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        try:
            live = await read.cluster.get(step.target)
        except NotFound:
            return Blocked(Reason.TARGET_CHANGED, "the valve is gone")
        if live.get("spec", {}).get("turned", -1) >= step.seq:
            return AlreadyDone("somebody turned it")
        return Ready({"live": dict(live["metadata"]), "seq": step.seq})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        self._valve.calls += 1
        if self._valve.fail_next:
            if self._valve.applies_before_failing:
                await self._turn(write, step, intent)
            failure = self._valve.fail_next.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        await self._turn(write, step, intent)
        return Done(changed=True, detail="turned")

    async def _turn(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> None:
        await write.cluster.patch({"metadata": intent["live"]}, step.target, {"spec": {"turned": step.seq}})
        self._valve.turns.append((write.run_id, step.seq))
        if self._valve.heals_on_turn and step.seq == self._valve.steps - 1:
            self._valve.well = True
        if self._valve.after_turn:
            await self._valve.after_turn.pop(0)()

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        if self._valve.found is not None:
            return self._valve.found
        live = await read.cluster.get(step.target)
        return Found.DONE if live.get("spec", {}).get("turned", -1) >= step.seq else Found.NOT_DONE


class Wait:
    effect = Effect.NONE

    def __init__(self, valve: Valve) -> None:
        self._valve = valve

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        return Ready({})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        if self._valve.waits > 0:
            self._valve.waits -= 1
            return Retry(5.0, "not yet")
        return Done(changed=False, detail="flows") if self._valve.well else Failed(Reason.STEP_FAILED, "still dry")

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        return Found.NOT_DONE
