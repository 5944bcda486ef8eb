"""
Bugs that show where there are others: a second replica, a person, GitOps, a store that is away, a clock that is set.

In: a seam's own object. Out: one that is wrong in one way. Nothing is patched; some reach into the ledger behind the
store, as a wrong store would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from remediator.kube.exchange import Answer, Call, NoAnswer
from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import AuditKind, Renewed, SignalName
from remediator.model.objects import Manifest, ObjectRef
from remediator.model.rules import Rule
from remediator.model.runs import Run, RunState
from remediator.model.seams import ReadAccess
from remediator.model.systems import Found, Prepared, Ready
from remediator.store.auditing import digest
from tests.simulation.bugs import Wrapped, verbs_with

# --- who has which run -------------------------------------------------------------------------------------


class Sure(Wrapped):
    """Takes every run that it was ever given for its own, and asks nobody."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._mine: set[str] = set()

    async def claim(self, limit: int) -> Any:
        claimed = await self._inner.claim(limit)
        self._mine |= {entry.run.id for entry in claimed}
        return claimed

    async def renew(self) -> Renewed:
        return Renewed(frozenset(self._mine), frozenset())


class Unfenced(Wrapped):
    """A claim leaves the version as it is."""

    async def claim(self, limit: int) -> Any:
        claimed = await self._inner.claim(limit)
        runs = self._inner._store._ledger.runs
        for entry in claimed:
            runs[entry.run.id] = replace(runs[entry.run.id], version=entry.run.version - 1)
        return [replace(entry, run=runs[entry.run.id]) for entry in claimed]


class Greedy(Wrapped):
    """Claims what another replica has."""

    async def claim(self, limit: int) -> Any:
        self._inner._store._ledger.leases.clear()
        return await self._inner.claim(limit)


class Uncounted(Wrapped):
    """Every try is the first."""

    async def claim(self, limit: int) -> Any:
        return [replace(entry, tries=1) for entry in await self._inner.claim(limit)]


class Grasping(Wrapped):
    """The lock of a target outlives its run."""

    async def save(self, run: Run, trace: Any = None) -> Run:
        saved: Run = await self._inner.save(run, trace)
        if run.state.is_final and run.target is not None:
            self._inner._store._ledger.locks[run.target.key] = run.id
        return saved


# --- what the journal keeps --------------------------------------------------------------------------------


class Refunding(Wrapped):
    """A start is taken back when its run fails."""

    async def save(self, run: Run, trace: Any = None) -> Run:
        saved: Run = await self._inner.save(run, trace)
        if run.state is RunState.ESCALATED:
            starts = self._inner._store._ledger.starts
            for scope, begun in starts.items():
                starts[scope] = [(at, run_id) for at, run_id in begun if run_id != run.id]
        return saved


class Unrecorded(Wrapped):
    """Outcomes leave no record."""

    async def settle(self, *args: Any, **words: Any) -> Run:
        settled: Run = await self._inner.settle(*args, **words)
        audit = self._inner._store._ledger.audit
        if audit[-1].kind == AuditKind.OUTCOME:
            audit.pop()
        return settled


class Forked(Wrapped):
    """A record is chained to the one before the last, as two writers would do that know nothing of each other."""

    async def intend(self, *args: Any) -> Run:
        intended: Run = await self._inner.intend(*args)
        audit = self._inner._store._ledger.audit
        last, before = audit[-1], audit[-3]
        audit[-1] = replace(last, hash=digest(before.hash, last.seq, last.at, last.kind, last.body))
        return intended


class Polite(Wrapped):
    """A delivery that could not be stored is acknowledged all the same: the sender would only try again."""

    async def file(self, delivery: Any) -> Any:
        try:
            return await self._inner.file(delivery)
        except StoreUnavailable:
            return ()


class Chatty(Wrapped):
    """Keeps the alert's annotations with its labels: they may be of use."""

    async def file(self, delivery: Any) -> Any:
        candidates = tuple(
            replace(c, alert=replace(c.alert, labels={**c.alert.labels, **c.alert.annotations}))
            for c in delivery.candidates
        )
        return await self._inner.file(replace(delivery, candidates=candidates))


# --- people ------------------------------------------------------------------------------------------------


class AnyYes(Wrapped):
    """A yes counts for whatever the plan is by now."""

    async def signals(self, run_id: str) -> Any:
        run = await self._inner.get(run_id)
        digest = run.plan.digest if run is not None and run.plan is not None else ""
        told = await self._inner.signals(run_id)
        return [replace(s, digest=digest) if s.name is SignalName.APPROVE else s for s in told]


class YesAfterNo(Wrapped):
    """The last word counts."""

    async def signals(self, run_id: str) -> Any:
        told = await self._inner.signals(run_id)
        has_yes = any(s.name is SignalName.APPROVE for s in told)
        return [s for s in told if not (has_yes and s.name is SignalName.DENY)]


class Deaf(Wrapped):
    """Does not hear that a run is to end."""

    async def signals(self, run_id: str) -> Any:
        return [s for s in await self._inner.signals(run_id) if s.name is not SignalName.CANCEL]


def keeps_old_rule(lookup: Callable[[str], Rule | None]) -> Callable[[str], Rule | None]:
    """A rule that was read once is never read again."""
    known: dict[str, Rule] = {}

    def remembered(name: str) -> Rule | None:
        if (rule := lookup(name)) is not None:
            known.setdefault(name, rule)
        return known.get(name)

    return remembered


# --- clocks ------------------------------------------------------------------------------------------------


class WallClock(Wrapped):
    """Measures how long something lasts by the clock on the wall."""

    def monotonic(self) -> float:
        now: datetime = self._inner.now()
        return now.timestamp()


# --- reads and writes --------------------------------------------------------------------------------------


class FromCache(Wrapped):
    """Reads with `resourceVersion=0`, which is so much quicker."""

    async def exchange(self, call: Call, *, seconds: float) -> Answer:
        if call.method == "GET" and "/log" not in call.target:
            mark = "&" if "?" in call.target else "?"
            call = replace(call, target=f"{call.target}{mark}resourceVersion=0")
        answer: Answer = await self._inner.exchange(call, seconds=seconds)
        return answer


class Hopeful(Wrapped):
    """What cannot be read is as it was."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._known: dict[str, Answer] = {}

    async def exchange(self, call: Call, *, seconds: float) -> Answer:
        try:
            answer: Answer = await self._inner.exchange(call, seconds=seconds)
        except NoAnswer:
            if call.target not in self._known:
                raise
            return self._known[call.target]
        if call.method == "GET" and answer.status >= 429 and call.target in self._known:
            return self._known[call.target]
        if call.method == "GET" and answer.is_good:
            self._known[call.target] = answer
        return answer


class Signing(Wrapped):
    """Leaves a note on everything that it changes."""

    async def exchange(self, call: Call, *, seconds: float) -> Answer:
        if call.method == "PATCH":
            body = (call.body or b"{}").replace(b'"metadata":{', b'"metadata":{"annotations":{"by":"remediator"},', 1)
            call = replace(call, body=body)
        answer: Answer = await self._inner.exchange(call, seconds=seconds)
        return answer


class ListsByName(Wrapped):
    """Finds an object in a list by the end of its name."""

    def read(self) -> ReadAccess:
        read: ReadAccess = self._inner.read()
        return replace(read, cluster=ListedView(read.cluster))


class ListedView(Wrapped):
    async def get(self, ref: ObjectRef) -> Manifest:
        for found in await self._inner.list(ref.resource, ref.namespace):
            if str(found["metadata"]["name"]).endswith(ref.name):
                whole: Manifest = {"apiVersion": ref.resource.api_version, "kind": ref.resource.kind, **found}
                return whole
        missing: Manifest = await self._inner.get(ref)
        return missing


# --- systems -----------------------------------------------------------------------------------------------


class Blindfold(Wrapped):
    """A step that was interrupted is sent again as it was: nobody looks what became of it."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._meant: dict[str, Prepared] = {}

    async def prepare(self, read: ReadAccess, run_id: str, step: Any) -> Prepared:
        key = f"{run_id} {step.seq}"
        if key not in self._meant:
            prepared: Prepared = await self._inner.prepare(read, run_id, step)
            if not isinstance(prepared, Ready):
                return prepared
            self._meant[key] = prepared
        return self._meant[key]

    async def probe(self, _read: ReadAccess, _run_id: str, _step: Any, _intent: Mapping[str, Any]) -> Found:
        return Found.NOT_DONE


def blindfold(known: Any) -> Any:
    return verbs_with(known, lambda name, verb: Blindfold(verb) if "delete" in name else verb)
