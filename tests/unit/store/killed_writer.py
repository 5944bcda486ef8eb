"""
A process that journals runs without end and says what was acknowledged, to be killed at any moment.

Arguments: the journal, and a prefix for run ids. Each printed line is written only after the store answered.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from remediator.model.alerts import Alert, AlertStatus
from remediator.model.ledger import Candidate, Delivery
from remediator.model.plans import Effect
from remediator.model.runs import StepRecord, StepState
from remediator.store.sqlite import SQLiteStore

NOON = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)


class StandingClock:
    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def acknowledge(*words: object) -> None:
    # One write for each line, so a kill leaves no half line behind.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def one_run(store: SQLiteStore, run_id: str) -> None:
    firing = Alert(AlertStatus.FIRING, {"alertname": "Down", "run": run_id}, {}, "2025-03-01T11:00:00Z", "")
    await store.file(Delivery(NOON, run_id.encode(), "test", (Candidate(run_id, "heal", "rev", firing),)))
    acknowledge("filed", run_id)
    run = await store.get(run_id)
    assert run is not None
    for seq in range(3):
        record = StepRecord(
            run_id, seq, 1, "pod.delete", Effect.DESTRUCTIVE, StepState.INTENT, {}, NOON, NOON + timedelta(hours=1)
        )
        run = await store.intend(run, record)
        acknowledge("intended", run_id, seq)
        run = await store.settle(run, record, state=StepState.DONE, by_probe=False, changed=True, detail="", at=NOON)
        acknowledge("settled", run_id, seq)


async def worker(store: SQLiteStore, prefix: str) -> None:
    for number in count():
        await one_run(store, f"{prefix}-{number}")


async def main() -> None:
    store = await SQLiteStore.open(Path(sys.argv[1]), StandingClock())
    await asyncio.gather(*(worker(store, f"{sys.argv[2]}-{lane}") for lane in range(4)))


if __name__ == "__main__":
    asyncio.run(main())
