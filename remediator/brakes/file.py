"""
Freeze by a file: while it exists, nothing is written. Its first line is the reason.

In: a path on a local disk. Out: what the disk says just now, by one `lstat`; and the file itself, when a signal asks
for it. Whatever is under that name freezes, also what cannot be read. It never removes the file.
"""

from __future__ import annotations

import os
from pathlib import Path

from remediator.brakes.words import one_line
from remediator.model.brakes import BrakeState, Engaged, Released, Unreadable

MOST_BYTES = 1024
"""Of the file that are read for its first line."""


class FileBrake:
    every = 0.25
    """Seconds between two looks when nobody is about to write. It is one `lstat`."""

    def __init__(self, path: Path, *, on: str = "") -> None:
        """`on` names this replica, where each has a file of its own."""
        self._path = path
        self.name = f"file {path}" + (f" on {on}" if on else "")

    async def look(self) -> BrakeState:
        try:
            os.lstat(self._path)
        except FileNotFoundError:
            return self._without_file()
        except (OSError, ValueError) as error:
            return Unreadable(self.name, f"it cannot be looked for: {_said(error)}")
        return self.engaged(self._why())

    def engaged(self, why: str) -> Engaged:
        return Engaged(self.name, why, f"remove the file {self._path}")

    def make(self, why: str) -> str:
        """Make the file, flushed to disk; one that is there already stays. Answers why it cannot be made, or \"\"."""
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return ""
        except OSError as error:
            return _said(error)
        try:
            os.write(handle, f"{why}\n".encode())
            os.fsync(handle)
        except OSError:
            return ""  # it exists, which is what freezes; only its words may be missing
        finally:
            os.close(handle)
        return self._flush_folder()

    def _flush_folder(self) -> str:
        try:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            return _said(error)
        try:
            os.fsync(folder)
        except OSError as error:
            return _said(error)
        finally:
            os.close(folder)
        return ""

    def _without_file(self) -> BrakeState:
        """A folder that is gone (a volume that is not mounted) is not a file that is not there."""
        if self._path.parent.is_dir():
            return Released(self.name)
        return Unreadable(self.name, f"its folder {self._path.parent} is not there")

    def _why(self) -> str:
        try:
            # a FIFO or a device under that name must not make us wait
            handle = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            return f"its text cannot be read: {_said(error)}"
        try:
            return one_line(os.read(handle, MOST_BYTES).decode("utf-8", "replace"))
        except OSError as error:
            return f"its text cannot be read: {_said(error)}"
        finally:
            os.close(handle)


def _said(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
