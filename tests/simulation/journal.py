"""
What one process of the service keeps, and the record of everything that passed in a simulation.

In: the service's transactions and backups. Out: the store in memory with the process's end at the transaction the
scene names, files that outlive the process, and a history of plain values in the order things were committed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from remediator.model.calls import BackupRecord
from remediator.model.errors import StoreUnavailable
from remediator.model.runs import WAITING, Run, StepRecord
from remediator.model.verdicts import Allow
from tests.simulation.loop import Life

if TYPE_CHECKING:
    from tests.simulation.replica import Replica
    from tests.simulation.world import World

STORE_TIMEOUT = 1.0
"""Seconds after which a store that does not answer is given up."""


class History:
    """What happened, in order: plain values, for the checker and for the trace."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.entries: list[dict[str, Any]] = []
        self._now = now

    def note(self, what: str, **told: Any) -> int:
        number = len(self.entries)
        self.entries.append({"n": number, "t": round(self._now(), 6), "what": what, **told})
        return number

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.entries, sort_keys=True, default=str).encode()).hexdigest()[:16]


class SimBackups:
    """Files on a disk that outlives the process."""

    is_configured = True

    def __init__(self, world: World, life: Life) -> None:
        self._world, self._life = world, life

    async def save(self, run_id: str, name: str, chunks: AsyncIterator[bytes]) -> BackupRecord:
        gathered = bytearray()
        async with aclosing(chunks) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                gathered += piece
        await self._world.hop(self._life)
        self._world.files[run_id, name] = bytes(gathered)
        self._world.history.note("backup", run=run_id, name=name, size=len(gathered))
        return self._record(run_id, name)

    async def find(self, run_id: str, name: str) -> BackupRecord | None:
        await self._life.go_on()
        return self._record(run_id, name) if (run_id, name) in self._world.files else None

    def _record(self, run_id: str, name: str) -> BackupRecord:
        kept = self._world.files[run_id, name]
        return BackupRecord(f"{run_id}/{name}", len(kept), hashlib.sha256(kept).hexdigest())


class Journal:
    """
    The store of one process: counts its transactions, spoils those that the scene names, and notes what was committed.

    Whatever is asked of it may find that the store is away; what was committed may be told as if it were not.
    """

    WRITES = frozenset({"file", "save", "start", "intend", "settle", "signal", "throw"})

    def __init__(self, world: World, replica: Replica, life: Life, store: Any) -> None:
        self._world, self._replica, self._life, self._store = world, replica, life, store
        self.lease = store.lease

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return partial(self._commit, name, method) if name in self.WRITES else partial(self._ask, method)

    def _note(self, what: str, **told: Any) -> None:
        self._world.history.note(what, life=self._life.number, **told)

    async def _reach(self) -> None:
        """The way to the store, which may be cut."""
        await self._life.go_on()
        if self._world.troubles.is_away(self._replica.name):
            await self._world.clock.sleep(STORE_TIMEOUT)
            await self._life.go_on()
            raise StoreUnavailable("the store does not answer")

    async def _ask(self, method: Any, *args: Any, **words: Any) -> Any:
        await self._reach()
        return await method(*args, **words)

    async def _commit(self, name: str, method: Any, *args: Any, **words: Any) -> Any:
        world = self._world
        await world.hop(self._life)
        await self._reach()
        number = world.count("commit")
        spoilt = world.troubles.of_transaction(number)
        if spoilt == "crash-before-commit":
            world.crash(spoilt, self._life)
            await self._life.go_on()
        answer = await method(*args, **words)
        getattr(self, f"_note_{name}")(answer, *args, **words)
        if spoilt == "crash-after-commit":
            world.crash(spoilt, self._life)
        await world.moment("commit", number)
        await self._life.go_on()
        if spoilt == "commit-lost":
            raise StoreUnavailable("the answer to a commit was lost")
        return answer

    # --- who has which run ---

    async def claim(self, limit: int) -> Any:
        await self._reach()
        if self.lease:
            await self._world.hop(self._life)
        claimed = await self._store.claim(limit)
        if not claimed:
            return claimed
        runs = [entry.run.id for entry in claimed]
        self._note("claim", runs=runs, versions=[c.run.version for c in claimed], until=self._until())
        await self._spoil("claim", self._world.count("claim"))
        return claimed

    async def renew(self) -> Any:
        await self._reach()
        if self.lease is None:
            return await self._store.renew()
        await self._world.hop(self._life)
        renewed = await self._store.renew()
        self._note("renew", runs=sorted(renewed.held), until=self._until())
        await self._spoil("renew", self._world.count("renewal"))
        return renewed

    async def release(self, run_id: str) -> None:
        """A journal of one process keeps its claims in memory: giving one back needs no store that answers."""
        is_away = self._world.troubles.is_away(self._replica.name)
        if is_away and self.lease is None:
            await self._store.release(run_id)
            self._note("release", run=run_id)
        await self._reach()
        await self._store.release(run_id)
        self._note("release", run=run_id)

    def _until(self) -> float | None:
        """By the store's clock, which is the true one where there are leases."""
        return round(self._world.loop.time() + self.lease.total_seconds(), 6) if self.lease else None

    async def _spoil(self, moment: str, number: int) -> None:
        spoilt = self._world.troubles.of_claim(moment, number)
        if spoilt in ("crash-after-claim", "crash-after-renew"):
            self._world.crash(spoilt, self._life)
        await self._life.go_on()
        if spoilt is not None:
            raise StoreUnavailable(f"the answer to a {moment} was lost")

    # --- what each commit meant, in plain values ---

    def _note_file(self, filed: Any, delivery: Any) -> None:
        self._note("filed")
        made = {c.run_id: c for c in delivery.candidates}
        for entry in filed:
            alert = made[entry.run_id].alert if entry.run_id in made else None
            if entry.created and alert is not None:
                told = {"labels": dict(alert.labels), "starts_at": alert.starts_at}
                self._world.history.note("admitted", run=entry.run_id, rule=entry.rule, **told)

    def _note_save(self, saved: Run, run: Run, trace: Any = None) -> None:
        target = str(run.target) if run.target else ""
        told = {"state": str(run.state), "reason": str(run.reason or ""), "detail": run.detail}
        told |= {"before": trace.before, "event": trace.event} if trace else {}
        if run.state in WAITING or (trace and trace.event == "allowed"):
            told["plan"] = run.plan.digest if run.plan else ""
            told["steps"] = run.plan.as_json() if run.plan and self._world.scene.asks else None
        truth = self._world.true.now() if run.state.is_final else None
        self._note("run", run=run.id, target=target, touched=saved.touched, truth=truth, **told)

    def _note_start(self, verdict: Any, request: Any, _: Any) -> None:
        run, is_allowed = request.run, isinstance(verdict, Allow)
        if is_allowed and run.id in self._world.started:
            return
        self._note("judged", run=run.id, allowed=is_allowed)
        if is_allowed:
            self._world.started.add(run.id)
            told = {"rule": run.rule, "target": str(run.target), "at": self._world.store_time(self._replica)}
            self._note("start", run=run.id, **told)

    def _note_intend(self, run: Run, _: Run, record: StepRecord) -> None:
        step = run.plan.steps[record.seq] if run.plan else None
        touches = [_named(ref) for ref in step.may_touch] if step else []
        told = {
            "verb": record.verb,
            "effect": str(record.effect),
            "touches": touches,
            "args": dict(step.args) if step else {},
            "changes": [change.path for change in step.changes] if step else [],
            "digest": run.plan.digest if run.plan else "",
        }
        self._note("intent", run=run.id, seq=record.seq, attempt=record.attempt, **told)

    def _note_settle(self, after: Run, run: Run, record: StepRecord, **words: Any) -> None:
        told = {"state": str(words["state"]), "by_probe": words["by_probe"], "detail": words["detail"]}
        told |= {"effect": str(record.effect), "again": after.version == run.version}
        self._note("outcome", run=run.id, seq=record.seq, attempt=record.attempt, **told)

    def _note_signal(self, _: Any, signal: Any) -> None:
        key = (signal.run_id, str(signal.name), signal.digest)
        again, self._world.signalled = key in self._world.signalled, self._world.signalled | {key}
        self._note("signal", run=signal.run_id, name=str(signal.name), by=signal.by, digest=signal.digest, again=again)

    def _note_throw(self, _: None, switch: Any) -> None:
        self._note("switch", name=switch.name, on=switch.on, stored=True)


def _named(ref: Any) -> dict[str, str]:
    return {"kind": ref.resource.kind, "namespace": ref.namespace, "name": ref.name, "uid": ref.uid}
