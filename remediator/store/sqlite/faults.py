"""
What SQLite's errors mean, and whether the journal may still be built upon.

In: SQLite's errors, from any thread. Out: the house's, chained, each naming the file and what to do. Damage is
remembered: from then on nothing may be written, whatever a later call would find. It repairs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path

from remediator.model.errors import StoreDamaged, StoreUnavailable

REMEDY = (
    "Restore it from a backup, or move it away with its -wal and -shm to start with an empty one; "
    "then run `remediator journal accept` and start the service again."
)

Fault = sqlite3.Error | UnicodeDecodeError
ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What a call to SQLite raises. The second is Python's, where SQLite's own message quotes a damaged name."""

NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
"""A full disk, or a quota: it passes."""
_PASSING_IO = NO_ROOM | {sqlite3.SQLITE_IOERR_TRUNCATE, sqlite3.SQLITE_IOERR_NOMEM, sqlite3.SQLITE_IOERR_LOCK}
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR})


def code(error: Fault) -> int:
    """SQLite's extended code; 0 for what Python's module raises by itself."""
    return int(getattr(error, "sqlite_errorcode", None) or 0)


def is_no_room(error: BaseException | None) -> bool:
    return isinstance(error, sqlite3.Error) and code(error) in NO_ROOM


def is_damage(error: Fault) -> bool:
    """A page that is not what was written, or a disk that does not read or keep what it was given."""
    found = code(error)
    return isinstance(error, UnicodeDecodeError) or (found & 0xFF in _DAMAGE and found not in _PASSING_IO)


def unavailable(path: Path, error: Fault) -> StoreUnavailable:
    """The house's error for one of SQLite's, chained to it."""
    said = f"{error} ({type(error).__name__})"
    if is_damage(error):
        told: StoreUnavailable = StoreDamaged(f"the journal {path} is damaged: {said}. {REMEDY}")
    else:
        told = StoreUnavailable(
            f"the journal {path} failed: {said}; nothing of this call is stored. "
            "Check free space, permissions and who else has the file open, then try again."
        )
    told.__cause__ = error
    return told


class Condition:
    """Whether the open journal is still what was written. Made on the event loop, shared by the journal's threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loop = asyncio.get_running_loop()
        self._is_met = asyncio.Event()
        self._lock = threading.Lock()
        self._damage = ""

    @property
    def is_broken(self) -> bool:
        return bool(self._damage)

    def check(self) -> None:
        """Raises StoreDamaged once damage was met."""
        if self._damage:
            raise StoreDamaged(self._damage)

    async def until_broken(self) -> StoreDamaged:
        await self._is_met.wait()
        return StoreDamaged(self._damage)

    def meet(self, error: Fault) -> StoreUnavailable:
        """The house's error for this one; damage is remembered."""
        told = unavailable(self.path, error)
        if isinstance(told, StoreDamaged):
            self.condemn(told)
        return told

    def condemn(self, damage: StoreDamaged) -> None:
        """From now on nothing is written. The first damage is the one that is told."""
        with self._lock:
            self._damage = self._damage or str(damage)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._is_met.set)
