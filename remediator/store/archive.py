"""
Runs that ended long ago, as JSON Lines for those who come years later.

In: what the journal has of such runs. Out: a line for each in `runs-YYYY-MM.jsonl`, by the month it ended in, on disk
before the journal forgets it. A process that dies in between writes a run twice, never not at all; a line that it left
torn is ended, and the next one begins by itself. Never reads a file back, and never changes what is in one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import History

CHUNK = 500
"""Runs exported and forgotten at once."""
Render = Callable[[History], Mapping[str, Any]]


class Journal(Protocol):
    """What retention asks of the store."""

    async def ended(self, before: datetime, limit: int) -> Sequence[History]: ...
    async def forget(self, run_ids: Sequence[str]) -> int: ...


class Archive:
    """A folder of such files; one process writes to it."""

    def __init__(self, folder: Path, render: Render) -> None:
        self._folder = folder
        self._render = render

    async def retire(self, journal: Journal, before: datetime) -> int:
        """Export runs that ended before that and let the journal forget them; answers how many. StoreUnavailable."""
        retired = 0
        while histories := await journal.ended(before, CHUNK):
            await self.keep(histories)
            forgotten = await journal.forget([history.run.id for history in histories])
            retired += forgotten
            if not forgotten:
                break  # another replica was faster, or the store keeps them: either way there is nothing to repeat
        return retired

    async def keep(self, histories: Sequence[History]) -> None:
        """Write them down. Once this returns they are on disk. Raises StoreUnavailable."""
        writing = asyncio.ensure_future(asyncio.to_thread(self._keep, histories))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})
            raise

    def _keep(self, histories: Sequence[History]) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for month, of_month in itertools.groupby(sorted(histories, key=_month), key=_month):
                _append(self._folder / f"runs-{month}.jsonl", "".join(map(self._line, of_month)).encode())
            _sync(self._folder)
        except OSError as error:
            raise StoreUnavailable(
                f"runs cannot be written to the archive {self._folder}: {error}. "
                "Make room or give it back to the service's user; until then the journal keeps them."
            ) from error

    def _line(self, history: History) -> str:
        return json.dumps(self._render(history), separators=(",", ":")) + "\n"


def _month(history: History) -> str:
    return f"{history.run.finished_at or history.run.due_at:%Y-%m}"


def _append(path: Path, text: bytes) -> None:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    try:
        size = os.fstat(handle).st_size
        is_torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        rest = memoryview(b"\n" + text if is_torn else text)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    """A new file is only there once its folder is on disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
