"""
The witness beside the journal: a small file that remembers how far the journal had come.

In: marks. Out: the last one, also after a crash in the middle of writing. Two places take turns, each with a checksum,
so that one is always whole; nothing has to be allocated, so a full disk does not stop it. It is worth nothing against
the loss of the whole directory, and never says so little that an old journal passes: what it cannot read, it tells.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from remediator.model.errors import DamagedRecord, StoreDamaged, StoreUnavailable
from remediator.model.witness import Mark
from remediator.store.rows import sealed, unsealed

PLACE = 512
"""Bytes of one of the two places: what a disk writes whole."""


class FileWitness:
    """One process writes it, the one that has the journal."""

    def __init__(self, path: Path) -> None:
        self.name = f"file {path}"
        self._path = path

    async def read(self) -> Mark | None:
        """None where there is no such file. Raises StoreDamaged where it cannot be understood."""
        found = await asyncio.to_thread(self._newest)
        return found[1] if found else None

    async def write(self, mark: Mark) -> None:
        """Raises StoreUnavailable; then it may or may not remember."""
        try:
            await asyncio.to_thread(self._write, mark)
        except OSError as error:
            raise StoreUnavailable(f"the witness {self._path} cannot be written: {error}") from error

    async def begin(self, mark: Mark) -> None:
        """Forget whatever it remembered and begin with `mark`. Raises StoreUnavailable."""
        try:
            await asyncio.to_thread(self._make, mark)
        except OSError as error:
            raise StoreUnavailable(f"the witness {self._path} cannot be written: {error}") from error

    # --- in a thread ---------------------------------------------------------------------------------------

    def _newest(self) -> tuple[int, Mark] | None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreDamaged(f"the witness {self._path} cannot be read: {error}") from error
        places = [_mark(content[start : start + PLACE]) for start in (0, PLACE)]
        whole = [found for found in places if found is not None]
        if not whole:
            raise StoreDamaged(
                f"the witness {self._path} is damaged, so nobody knows whether the journal beside it is an old copy. "
                "See that it is not, then run `remediator journal accept`."
            )
        return max(whole, key=lambda found: found[0])

    def _write(self, mark: Mark) -> None:
        newest = self._newest()
        if newest is None:
            self._make(mark)
            return
        turn = newest[0] + 1
        handle = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(handle, _text(turn, mark), turn % 2 * PLACE)
            os.fdatasync(handle)
        finally:
            os.close(handle)

    def _make(self, mark: Mark) -> None:
        draft = self._path.with_name(self._path.name + ".new")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, _text(0, mark) + _text(1, mark))
            os.fsync(handle)
        finally:
            os.close(handle)
        draft.rename(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _text(turn: int, mark: Mark) -> bytes:
    return sealed({"turn": turn, **vars(mark)}).encode().ljust(PLACE - 1) + b"\n"


def _mark(place: bytes) -> tuple[int, Mark] | None:
    try:
        told: dict[str, Any] = unsealed("mark", place.decode("ascii").strip())
        return int(told["turn"]), Mark(str(told["journal"]), int(told["seq"]), str(told["hash"]))
    except (DamagedRecord, KeyError, ValueError, TypeError):
        return None
