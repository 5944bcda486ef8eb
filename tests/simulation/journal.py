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
from remediator.model.runs import Run, StepRecord
from remediator.model.verdicts import Allow
from remediator.store.memory import MemoryStore
from tests.simulation.loop import Life

if TYPE_CHECKING:
    from tests.simulation.world import World


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
    """The store of one process: counts its transactions, ends the process at the one the scene names, notes commits."""

    WRITES = frozenset({"file", "save", "start", "intend", "settle", "signal", "throw"})

    def __init__(self, world: World, life: Life, store: MemoryStore) -> None:
        self._world, self._life, self._store = world, life, store
        self.lease = store.lease

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return partial(self._commit, name, method) if name in self.WRITES else partial(self._ask, method)

    async def _ask(self, method: Any, *args: Any, **words: Any) -> Any:
        await self._life.go_on()
        return await method(*args, **words)

    async def _commit(self, name: str, method: Any, *args: Any, **words: Any) -> Any:
        world = self._world
        await world.hop(self._life)
        number = world.count_transaction()
        spoilt = world.troubles.of_transaction(number)
        if spoilt == "crash-before-commit":
            world.crash(spoilt)
            await self._life.go_on()
        answer = await method(*args, **words)
        getattr(self, f"_note_{name}")(answer, *args, **words)
        if spoilt == "crash-after-commit":
            world.crash(spoilt)
        await world.moment("commit", number)
        await self._life.go_on()
        return answer

    # --- what each commit meant, in plain values ---

    def _note_file(self, filed: Any, delivery: Any) -> None:
        made = {c.run_id: c for c in delivery.candidates}
        for entry in filed:
            alert = made[entry.run_id].alert if entry.run_id in made else None
            if entry.created and alert is not None:
                told = {"labels": dict(alert.labels), "starts_at": alert.starts_at}
                self._world.history.note("admitted", run=entry.run_id, rule=entry.rule, **told)

    def _note_save(self, run: Run, *_: Any, **__: Any) -> None:
        target = str(run.target) if run.target else ""
        told = {"state": str(run.state), "reason": str(run.reason or ""), "detail": run.detail}
        self._world.history.note("run", run=run.id, target=target, touched=run.touched, truth=self._truth(run), **told)

    def _truth(self, run: Run) -> Any:
        return self._world.true.now() if run.state.is_final else None

    def _note_start(self, verdict: Any, request: Any, _: Any) -> None:
        run = request.run
        if isinstance(verdict, Allow) and run.id not in self._world.started:
            self._world.started.add(run.id)
            self._world.history.note("start", run=run.id, rule=run.rule, target=str(run.target))

    def _note_intend(self, run: Run, _: Run, record: StepRecord) -> None:
        step = run.plan.steps[record.seq] if run.plan else None
        touches = [_named(ref) for ref in step.may_touch] if step else []
        told = {
            "verb": record.verb,
            "effect": str(record.effect),
            "touches": touches,
            "args": dict(step.args) if step else {},
        }
        self._world.history.note(
            "intent", life=self._life.number, run=run.id, seq=record.seq, attempt=record.attempt, **told
        )

    def _note_settle(self, run: Run, _: Run, record: StepRecord, **words: Any) -> None:
        told = {"state": str(words["state"]), "by_probe": words["by_probe"], "detail": words["detail"]}
        self._world.history.note("outcome", run=run.id, seq=record.seq, attempt=record.attempt, **told)

    def _note_signal(self, told: Any, _: Any) -> None:
        self._world.history.note("signal", run=told.run_id, name=str(told.name), by=told.by)

    def _note_throw(self, _: None, switch: Any) -> None:
        self._world.history.note("switch", name=switch.name, on=switch.on)


def _named(ref: Any) -> dict[str, str]:
    return {"kind": ref.resource.kind, "namespace": ref.namespace, "name": ref.name, "uid": ref.uid}
