"""
The bugs themselves: wrappers around what the service is handed. Nothing is patched, and each bug is only itself.

In: a seam's own object. Out: one that is wrong in one way.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from remediator.kube.exchange import Answer, Call, NoAnswer
from remediator.model.brakes import BrakeState, Released
from remediator.model.errors import AnswerLost, Temporary
from remediator.model.objects import Manifest, ObjectRef
from remediator.model.plans import Step
from remediator.model.runs import Run, StepRecord
from remediator.model.seams import Guard, ReadAccess
from remediator.model.systems import AlreadyDone, Draft, Found, Health, Prepared
from remediator.model.verdicts import Permit
from remediator.systems.kubernetes import Delete

# --- the transport -----------------------------------------------------------------------------------------


class Wrapped:
    """Everything of another object but what a subclass says differently."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Dropping(Wrapped):
    """Sends every write without one of its preconditions."""

    def __init__(self, what: str, inner: Any) -> None:
        super().__init__(inner)
        self._what = what

    async def exchange(self, call: Call, *, seconds: float) -> Answer:
        if call.method != "GET":
            body = json.loads(call.body or b"{}")
            body.get("preconditions", body.get("metadata", {})).pop(self._what, None)
            call = replace(call, body=json.dumps(body).encode())
        answer: Answer = await self._inner.exchange(call, seconds=seconds)
        return answer


class Retrying(Wrapped):
    """Sends a write again when its answer was a gateway's, or none."""

    async def exchange(self, call: Call, *, seconds: float) -> Answer:
        try:
            answer: Answer = await self._inner.exchange(call, seconds=seconds)
            if call.method == "GET" or answer.status < 500:
                return answer
        except NoAnswer:
            if call.method == "GET":
                raise
        return await self._inner.exchange(call, seconds=seconds)


class Remembering(Wrapped):
    """Answers a read from memory for a minute, as a cache does that nobody watches."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._known: dict[str, tuple[float, Answer]] = {}

    async def exchange(self, call: Call, *, seconds: float) -> Answer:
        now = asyncio.get_running_loop().time()
        at, answer = self._known.get(call.target, (-1e9, None))
        if call.method == "GET" and answer is not None and now - at < 60.0:
            return answer
        answer = await self._inner.exchange(call, seconds=seconds)
        if call.method == "GET":
            self._known[call.target] = now, answer
        return answer


# --- the store ---------------------------------------------------------------------------------------------


class LateIntent(Wrapped):
    """Commits the intent together with the outcome, to save a transaction."""

    async def intend(self, run: Run, record: StepRecord) -> Run:
        return replace(run, version=run.version + 1)

    async def settle(self, run: Run, record: StepRecord, **words: Any) -> Run:
        intended = await self._inner.intend(replace(run, version=run.version - 1), record)
        settled: Run = await self._inner.settle(intended, record, **words)
        return settled


class LocksByRun(Wrapped):
    """Takes a lock of its own for each run, so that a target is never busy."""

    async def start(self, request: Any, judge: Any) -> Any:
        return await self._inner.start(_own_key(request), judge)

    async def usage(self, request: Any) -> Any:
        return await self._inner.usage(_own_key(request))


def _own_key(request: Any) -> Any:
    return replace(request, target_key=f"{request.target_key}#{request.run.id}")


class Forgetful(Wrapped):
    """Does not remember which episodes it has had."""

    async def file(self, delivery: Any) -> Any:
        self._inner._store._ledger.cases.clear()
        return await self._inner.file(delivery)


class AckFirst(Wrapped):
    """Acknowledges a delivery, and stores it a little later."""

    async def file(self, delivery: Any) -> Any:
        self._later = asyncio.ensure_future(self._inner.file(delivery))
        return ()


# --- access ------------------------------------------------------------------------------------------------


class ByName(Wrapped):
    """Takes whatever object has the name, whichever incarnation was meant."""

    def read(self) -> ReadAccess:
        read: ReadAccess = self._inner.read()
        return replace(read, cluster=NamedView(read.cluster))

    def write(self, permit: Permit) -> Any:
        anyone = replace(permit, may_touch=tuple(ref.any_incarnation() for ref in permit.may_touch))
        write = self._inner.write(anyone)
        return replace(write, cluster=NamedView(write.cluster))


class NamedView(Wrapped):
    async def get(self, ref: ObjectRef) -> Manifest:
        found: Manifest = await self._inner.get(ref.any_incarnation())
        return found

    async def patch(self, live: Manifest, ref: ObjectRef, change: Mapping[str, Any]) -> Any:
        return await self._inner.patch(live, ref.any_incarnation(), change)

    async def delete(self, live: Manifest, ref: ObjectRef) -> None:
        await self._inner.delete(live, ref.any_incarnation())


class LostIsNo(Wrapped):
    """Takes a lost answer for a write that never arrived."""

    def write(self, permit: Permit) -> Any:
        write = self._inner.write(permit)
        return replace(write, cluster=Hopeful(write.cluster))


class Hopeful(Wrapped):
    async def patch(self, *args: Any) -> Any:
        return await self._hope(self._inner.patch(*args))

    async def delete(self, *args: Any) -> Any:
        return await self._hope(self._inner.delete(*args))

    async def _hope(self, call: Any) -> Any:
        try:
            return await call
        except AnswerLost as error:
            raise Temporary(str(error)) from error


# --- guards ------------------------------------------------------------------------------------------------


def without(*names: str) -> Callable[[Sequence[Guard]], Sequence[Guard]]:
    return lambda found: [guard for guard in found if guard.name not in names]


class Blind(Wrapped):
    """A brake at which nobody ever looks."""

    async def look(self) -> BrakeState:
        return Released(self._inner.name)


# --- systems -----------------------------------------------------------------------------------------------


class NeverDone(Wrapped):
    """A verb that never recognises its own effect."""

    async def probe(self, *_: Any) -> Found:
        return Found.NOT_DONE


class TakenForDone(Wrapped):
    """A verb that believes its work was done already."""

    async def prepare(self, *_: Any) -> Prepared:
        return AlreadyDone("it will be fine")


async def _no_objection(*_: Any) -> str:
    return ""


def verbs_with(known: Any, change: Callable[[str, Any], Any]) -> Any:
    return {
        name: replace(system, verbs={v: change(v, verb) for v, verb in system.verbs.items()})
        for name, system in known.items()
    }


def never_done(known: Any) -> Any:
    return verbs_with(known, lambda name, verb: NeverDone(verb))


def _careless(name: str, verb: Any) -> Any:
    return Delete(_no_objection) if name.startswith("kubernetes.delete") else verb


def keeps_nothing(known: Any) -> Any:
    """The volume is not retained, and the claim's deletion does not look."""
    return verbs_with(known, lambda n, v: TakenForDone(v) if n == "kubernetes.retain_volume" else _careless(n, v))


def wrong_member(known: Any) -> Any:
    """The plan names a healthy member's pod, and the verb does not look."""
    known = verbs_with(known, _careless)
    etcd = known["etcd"]
    remedies = {name: replace(r, plan=partial(_wrong_plan, r.plan)) for name, r in etcd.remedies.items()}
    return {**known, "etcd": replace(etcd, remedies=remedies)}


def _wrong_plan(plan: Any, facts: Any, parameters: Any) -> Any:
    drafted = plan(facts, parameters)
    return replace(drafted, steps=tuple(map(_wrong, drafted.steps))) if isinstance(drafted, Draft) else drafted


def _wrong(step: Step) -> Step:
    if step.verb != "kubernetes.delete_pod":
        return step
    ordinal = int(step.target.name[-1])
    other = replace(step.target, name=f"{step.target.name[:-1]}{(ordinal + 1) % 3}", uid="")
    return replace(step, target=other, may_touch=(other,))


def blind_health(known: Any) -> Any:
    """Everything looks well."""
    return {**known, "etcd": replace(known["etcd"], health=lambda facts, plan: Health(True, "looks well"))}
