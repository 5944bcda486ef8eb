"""
A process with a small disk of its own, mounted in its own namespace: `unshare -rm` starts it.

Arguments: what to try (`fill` or `protect`) and an empty directory. Prints one JSON object of what it saw.
"""

# ruff: noqa: ASYNC240, ASYNC221  nothing else runs here

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from remediator.model.alerts import Alert, AlertStatus
from remediator.model.errors import StoreDamaged, StoreUnavailable
from remediator.model.ledger import Candidate, Delivery, RunFilter, Switch
from remediator.model.plans import Effect
from remediator.model.runs import StepRecord, StepState
from remediator.store.sqlite import SalvagedStore, SQLiteStore
from remediator.store.sqlite.reserve import BYTES
from remediator.store.witness_file import FileWitness

NOON = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def delivery(run_id: str) -> Delivery:
    alert = Alert(AlertStatus.FIRING, {"run": run_id}, {}, "2025-03-01T11:00:00Z", "")
    return Delivery(NOON, b"{}", "test", (Candidate(run_id, "heal", "rev", alert),))


async def said(call: Awaitable[Any]) -> str:
    try:
        await call
    except StoreUnavailable as refusal:
        return f"{type(refusal).__name__}: {refusal}"
    return "done"


async def opened(disk: Path) -> SQLiteStore:
    return await SQLiteStore.open(
        disk / "journal.db", Clock(), reserve=BYTES, witness=FileWitness(disk / "journal.witness")
    )


async def fill(disk: Path) -> dict[str, Any]:
    """A step is under way when the disk becomes full; its outcome and a freeze are stored, nothing new is."""
    store = await opened(disk)
    await store.file(delivery("run-1"))
    ((run, _),) = [(entry.run, entry.tries) for entry in await store.claim(1)]
    step = StepRecord("run-1", 0, 1, "pod.delete", Effect.DESTRUCTIVE, StepState.INTENT, {}, NOON, NOON + timedelta(1))
    run = await store.intend(run, step)
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            while _writes(file, size):
                pass
    seen = {"file": await said(store.file(delivery("run-2"))), "lacks room": store.custody.lacks_room}
    seen["file again"] = await said(store.file(delivery("run-2")))
    outcome = {"state": StepState.DONE, "by_probe": False, "changed": True, "detail": "", "at": NOON}
    seen["settle"] = await said(store.settle(run, step, **outcome))
    seen["freeze"] = await said(store.throw(Switch("freeze", True, "ada", "full", NOON)))
    second = replace(step, seq=1)
    now = await store.get("run-1")
    seen["intend"] = await said(store.intend(now, second)) if now else "gone"
    filler.unlink()
    for _ in range(1000):
        if not store.custody.lacks_room:
            break
        await asyncio.sleep(0.02)
    seen["file with room"] = await said(store.file(delivery("run-3")))
    await store.close()
    store = await opened(disk)
    seen["runs"] = sorted(run.id for run in await store.list(RunFilter()))
    seen["step"] = [str(step.state) for step in await store.steps("run-1")]
    seen["frozen"] = [switch.on for switch in await store.switches()]
    await store.close()
    return seen


def _writes(file: Any, size: int) -> bool:
    try:
        return bool(file.write(bytes(size)))
    except OSError:
        return False


async def protect(disk: Path) -> dict[str, Any]:
    """The file system turns read-only between two starts, with facts in the log that a crash left."""
    store = await opened(disk)
    await store.file(delivery("run-1"))
    crashed = {path.name: path.read_bytes() for path in disk.iterdir()}
    await store.close()
    for name, content in crashed.items():
        (disk / name).write_bytes(content)
    (disk / "journal.db-shm").unlink()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        await opened(disk)
    except StoreDamaged as refusal:
        salvaged = await SalvagedStore.open(disk / "journal.db", refusal)
        seen = {"refused": str(refusal), "runs": [run.id for run in await salvaged.list(RunFilter())]}
        seen["freeze"] = await said(salvaged.throw(Switch("freeze", True, "ada", "now", NOON)))
        await salvaged.close()
        return seen
    return {}


def main() -> None:
    disk = Path(sys.argv[2])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], check=True)
    os.umask(0o077)
    print(json.dumps(asyncio.run({"fill": fill, "protect": protect}[sys.argv[1]](disk))))


if __name__ == "__main__":
    main()
