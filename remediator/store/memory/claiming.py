"""
Who has which run of a ledger, and for how long.

In: a ledger, and the name of the worker that asks. Out: claims whose version was raised. A worker without a lease has
its runs until it restarts; with one, until the lease ends by the store's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from remediator.model.ledger import Claimed, Renewed, SignalName
from remediator.store import rulings
from remediator.store.memory.ledger import Ledger

FOR_EVER = datetime.max.replace(tzinfo=UTC)


class Claims:
    """One worker's."""

    def __init__(self, ledger: Ledger, worker: str, lease: timedelta | None) -> None:
        self._ledger, self._worker, self._lease = ledger, worker, lease

    def claim(self, now: datetime, limit: int) -> Sequence[Claimed]:
        ledger = self._ledger
        due = [run for run in ledger.runs.values() if not run.state.is_final and run.due_at <= now]
        free = [run for run in sorted(due, key=lambda run: run.created_at) if not self._is_held(run.id, now)]
        waiting = ((run.id, ledger.tries.get(run.id, 0)) for run in free)
        suspect_in_hand = any(ledger.tries.get(run_id, 0) > 1 for run_id in self._mine(now))
        chosen = rulings.choose(waiting, limit, suspect_in_hand=suspect_in_hand)
        return [self._take(run_id, now) for run_id in chosen]

    def _take(self, run_id: str, now: datetime) -> Claimed:
        ledger = self._ledger
        ledger.runs[run_id] = replace(ledger.runs[run_id], version=ledger.runs[run_id].version + 1)
        ledger.tries[run_id] = ledger.tries.get(run_id, 0) + 1
        ledger.leases[run_id] = (self._worker, self._end(now))
        return Claimed(ledger.runs[run_id], ledger.tries[run_id])

    def _end(self, now: datetime) -> datetime:
        return now + self._lease if self._lease else FOR_EVER

    def _is_held(self, run_id: str, now: datetime) -> bool:
        held = self._ledger.leases.get(run_id)
        return held is not None and held[1] > now

    def _mine(self, now: datetime) -> list[str]:
        leases = self._ledger.leases.items()
        return [run_id for run_id, (worker, until) in leases if worker == self._worker and until > now]

    def renew(self, now: datetime) -> Renewed:
        mine = self._mine(now)
        self._ledger.leases |= dict.fromkeys(mine, (self._worker, self._end(now)))
        told = self._ledger.told
        cancelled = (run_id for run_id in mine if any(name is SignalName.CANCEL for name, _ in told(run_id)))
        return Renewed(frozenset(mine), frozenset(cancelled))

    def release(self, run_id: str) -> None:
        """In order, if it is this worker's."""
        if self._ledger.leases.get(run_id, ("", None))[0] == self._worker:
            self.give_up(run_id)

    def give_up(self, run_id: str) -> None:
        self._ledger.leases.pop(run_id, None)
        self._ledger.tries.pop(run_id, None)

    def give_up_all(self) -> None:
        """As when the process ends: nothing is given back in order."""
        leases = self._ledger.leases
        self._ledger.leases = {run_id: held for run_id, held in leases.items() if held[0] != self._worker}

    def due_in(self, now: datetime) -> timedelta | None:
        live = [run for run in self._ledger.runs.values() if not run.state.is_final]
        times = [self._ledger.leases[run.id][1] if self._is_held(run.id, now) else run.due_at for run in live]
        return min((at - now for at in times if at is not FOR_EVER), default=None)
