"""
A process that files runs until the disk refuses, gets room again and goes on.

Argument: the journal. Prints the acknowledged ids; the word `refused` stands where the disk refused.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from remediator.model.alerts import Alert, AlertStatus
from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import Candidate, Delivery
from remediator.store.sqlite import SQLiteStore

NOON = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)


class StandingClock:
    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


async def file_one(store: SQLiteStore, number: int) -> None:
    firing = Alert(AlertStatus.FIRING, {"n": str(number)}, {}, "2025-03-01T11:00:00Z", "")
    await store.file(Delivery(NOON, b"x" * 50_000, "test", (Candidate(f"run-{number}", "heal", "rev", firing),)))
    print(f"run-{number}")


async def main() -> None:
    store = await SQLiteStore.open(Path(sys.argv[1]), StandingClock())
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    numbers = count()
    try:
        for number in numbers:
            await file_one(store, number)
    except StoreUnavailable as error:
        print("refused", type(error.__cause__).__name__)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for _ in range(10):
        await file_one(store, next(numbers))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
