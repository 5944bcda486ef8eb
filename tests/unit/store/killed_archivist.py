"""
A process that archives old runs and is gone, as if killed, at the moment it is told.

Arguments: the journal, the archive's folder, and where it dies: `before` the export is on disk, or `between` that and
the journal's forgetting.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from remediator.model.ledger import History
from remediator.store.archive import Archive
from remediator.store.sqlite import SQLiteStore
from remediator.web.rendering import whole_run_json
from tests.unit.store.audited import LATER, SteppingClock


def as_shown(history: History) -> dict[str, object]:
    return whole_run_json(history.run, history.steps, history.traces, history.signals)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingArchive(Archive):
    async def keep(self, histories: Sequence[History]) -> None:
        if sys.argv[3] == "before":
            die()
        await super().keep(histories)
        die()


async def main() -> None:
    store = await SQLiteStore.open(Path(sys.argv[1]), SteppingClock(LATER))
    await DyingArchive(Path(sys.argv[2]), as_shown).retire(store, LATER)


if __name__ == "__main__":
    asyncio.run(main())
