"""
Room on the disk that is kept for what must still be written when the disk is full.

In: how much. Out: a file of that size beside the journal, given up when SQLite finds no room, and laid by again when
there is plenty. It holds nothing, and losing it loses nothing. Belongs to the writing thread.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

BYTES = 4 * 1024 * 1024
"""Several hundred outcomes."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Reserve:
    """`is_spent`: the room was needed, so nothing new may begin until it is laid by again."""

    def __init__(self, journal: Path, size: int) -> None:
        self._file = journal.with_name(journal.name + ".reserve")
        self._size = size
        self.is_spent = not self._make()

    def lay_by(self) -> bool:
        """Whether there is room again: as much as was spent, and once more as much to go on with."""
        if self.is_spent and self._free() >= 2 * self._size:
            self.is_spent = not self._make()
        return not self.is_spent

    def spend(self) -> None:
        if self._size and not self.is_spent:
            self._file.unlink(missing_ok=True)
            self.is_spent = True

    def _free(self) -> int:
        found = os.statvfs(self._file.parent)
        return found.f_bavail * found.f_frsize

    def _make(self) -> bool:
        """False where the disk has no room for it. A file system that cannot set room aside has to do without."""
        if not self._size:
            return True
        try:
            handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, self._size)
            finally:
                os.close(handle)
        except OSError as error:
            self._file.unlink(missing_ok=True)
            return error.errno not in _FULL
        return True
