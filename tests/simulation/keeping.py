"""
What outlives a process of the service, of each of the three kinds there are, and what is read of it from outside.

In: a clock, and who opens it. Out: a store for the next process; the runs that live; and at the end all that is
there, as plain values for the checker. A ledger in memory belongs to one process after the other, or is shared by two
replicas that hold leases, as on PostgreSQL; a file of SQLite is written by the real code.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from remediator.model.seams import Clock, RunStore
from remediator.store.memory import Ledger, MemoryStore
from remediator.store.rows import run_text, signal_text, step_text, trace_text
from tests.simulation.inline_journal import Lives

LEASE = timedelta(seconds=8)
TABLES = {"runs": "body", "steps": "body", "traces": "body", "signals": "body", "switches": "body", "audit": "body"}
"""Where what the service says of a run is kept. The bodies of deliveries are Alertmanager's own words."""
Shown = dict[str, Any]


class Keeping(Protocol):
    def open(self, worker: str) -> RunStore:
        """For the next process, called `worker`."""
        ...

    def vanish(self) -> None:
        """A process is gone, in whatever state it left things."""
        ...

    def live(self) -> list[str]:
        """Ids of the runs that have not ended."""
        ...

    def waiting(self) -> list[tuple[str, str]]:
        """Runs that wait for a person's answer, each with the digest of its plan."""
        ...

    def shown(self) -> Shown:
        """Everything, at the end."""
        ...

    def without_place(self, text: str) -> str:
        """A text as it would be wherever this is kept."""
        ...

    def close(self) -> None: ...


class _OfLedger:
    ledger: Ledger

    def live(self) -> list[str]:
        return [run.id for run in self.ledger.runs.values() if not run.state.is_final]

    def waiting(self) -> list[tuple[str, str]]:
        runs = self.ledger.runs.values()
        return [(r.id, r.plan.digest) for r in runs if r.state == "awaiting_approval" and r.plan is not None]

    def shown(self) -> Shown:
        ledger = self.ledger
        runs = {
            run.id: {"state": str(run.state), "reason": str(run.reason or ""), "detail": run.detail}
            for run in ledger.runs.values()
        }
        steps = [
            {"run": r.run_id, "seq": r.seq, "attempt": r.attempt, "state": str(r.state)} for r in ledger.steps.values()
        ]
        audit = [[r.seq, r.at, r.kind, r.body, r.hash] for r in ledger.audit]
        held = {"locks": sorted(ledger.locks.values()), "leases": sorted(ledger.leases)}
        return {"runs": runs, "steps": steps, "audit": audit, "text": self._text(), **held}

    def _text(self) -> Iterator[str]:
        ledger = self.ledger
        yield from map(run_text, ledger.runs.values())
        yield from map(step_text, ledger.steps.values())
        yield from (trace_text(trace) for traces in ledger.traces.values() for trace in traces)
        yield from (signal_text(signal) for told in ledger.signals.values() for signal in told)
        yield from (record.body for record in ledger.audit)

    def without_place(self, text: str) -> str:
        return text

    def close(self) -> None:
        pass


class InMemory(_OfLedger):
    """Of one process after the other: a claim lasts as long as its process."""

    def __init__(self, clock: Clock) -> None:
        self._store = MemoryStore(clock)
        self.ledger = self._store._ledger

    def open(self, worker: str) -> RunStore:
        self._store = self._store.after_restart()
        return self._store

    def vanish(self) -> None:
        pass


class Shared(_OfLedger):
    """Of two replicas, whose claims are leases by the store's own clock."""

    def __init__(self, clock: Clock) -> None:
        self._store = MemoryStore(clock, worker="nobody", lease=LEASE)
        self.ledger = self._store._ledger

    def open(self, worker: str) -> RunStore:
        return self._store.beside(worker)

    def vanish(self) -> None:
        """Nothing is given back: the leases of a process that is gone end by themselves."""


def _digest(plan: Any) -> str:
    """As the API shows it beside the plan."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class OnDisk:
    """Of one process after the other, in a file that the real code writes."""

    def __init__(self, clock: Clock) -> None:
        memory = Path("/dev/shm")
        self._folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self._lives = Lives(Path(self._folder.name), clock)

    def open(self, worker: str) -> RunStore:
        return self._lives.open()

    def vanish(self) -> None:
        self._lives.vanish()

    def live(self) -> list[str]:
        return [row[0] for row in self._ask("SELECT id FROM runs WHERE is_live ORDER BY filed")]

    def waiting(self) -> list[tuple[str, str]]:
        rows = self._ask("SELECT id, body FROM runs WHERE state = 'awaiting_approval' ORDER BY filed")
        return [(run_id, _digest(json.loads(body)["plan"])) for run_id, body in rows]

    def shown(self) -> Shown:
        runs = {}
        for run_id, state, body in self._ask("SELECT id, state, body FROM runs ORDER BY filed"):
            told = json.loads(body)
            runs[run_id] = {"state": state, "reason": told.get("reason", ""), "detail": told.get("detail", "")}
        steps = []
        for run_id, seq, attempt, body in self._ask("SELECT run_id, seq, attempt, body FROM steps"):
            steps.append({"run": run_id, "seq": seq, "attempt": attempt, "state": json.loads(body)["state"]})
        audit = self._ask("SELECT seq, at, kind, body, hash FROM audit ORDER BY seq")
        locks = [row[0] for row in self._ask("SELECT run_id FROM target_locks ORDER BY run_id")]
        held = {"locks": locks, "leases": []}
        return {"runs": runs, "steps": steps, "audit": [list(row) for row in audit], "text": self._text(), **held}

    def _text(self) -> Iterator[str]:
        for table, column in TABLES.items():
            yield from (row[0] for row in self._ask(f"SELECT {column} FROM {table}"))

    def _ask(self, question: str) -> list[Any]:
        return self._lives.look(question)

    def without_place(self, text: str) -> str:
        return text.replace(self._folder.name, "")

    def close(self) -> None:
        self._lives.vanish()
        self._folder.cleanup()


KINDS = {"memory": InMemory, "shared": Shared, "sqlite": OnDisk}
