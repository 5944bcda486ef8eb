"""
Files that a run must have before it destroys anything, kept in a directory of the operator's.

In: chunks of bytes. Out: a record of a file that is whole and on disk, `<directory>/<run id>/<name>`. Never leaves a
partial file under a name, never follows a link, never writes outside its directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from remediator.model.calls import BackupRecord
from remediator.model.errors import ConfigError, Permanent, Temporary

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z")
"""Starts with no dot, so it is never a partial file's name, and has no separator."""
PIECE = 256 * 1024
"""Bytes gathered before a thread is asked to write them."""


class FileBackups:
    """`Backups` on a local directory. Without one, nothing can be saved and nothing is found."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._hashes: dict[tuple[str, int, int, int], str] = {}
        """By path, inode, time and size: gigabytes are not hashed again for every question about them."""

    @property
    def is_configured(self) -> bool:
        return self._directory is not None

    async def save(self, run_id: str, name: str, chunks: AsyncIterator[bytes]) -> BackupRecord:
        """
        Raises ConfigError without a directory, Permanent for a name that is no file name, Temporary when the
        disk refuses. A file saved before under this name is replaced only by a whole one.
        """
        if self._directory is None:
            raise ConfigError(f"backup {name} of {run_id} has nowhere to go: set `backup_directory`")
        draft = _Draft(self._directory, _checked(run_id), _checked(name))
        try:
            await _in_thread(draft.open)
            async with contextlib.aclosing(_pieces(chunks)) as pieces:
                async for piece in pieces:
                    await _in_thread(functools.partial(draft.write, piece))
            return await _in_thread(draft.keep)
        except OSError as error:
            raise Temporary(
                f"backup {name} of {run_id} cannot be written to {self._directory}: {error}. Make room or fix access."
            ) from error
        finally:
            draft.discard()

    async def find(self, run_id: str, name: str) -> BackupRecord | None:
        """Raises Permanent for a name that is no file name, Temporary when the file cannot be read."""
        if self._directory is None:
            return None
        path = self._directory / _checked(run_id) / _checked(name)
        try:
            return await _in_thread(lambda: self._record(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Temporary(f"backup {path} cannot be read: {error}. Check its owner and its disk.") from error

    def _record(self, path: Path) -> BackupRecord:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            version = (str(path), found.st_ino, found.st_mtime_ns, found.st_size)
            if version not in self._hashes:
                self._hashes[version] = hashlib.file_digest(file, "sha256").hexdigest()
            return BackupRecord(str(path), found.st_size, self._hashes[version])


def _checked(name: str) -> str:
    if not NAME.match(name):
        raise Permanent(f"{name!r} cannot name a backup: use letters, digits, '.', '_' and '-', and no leading dot")
    return name


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes in larger pieces."""
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        if len(gathered) >= PIECE:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


async def _in_thread(work: Callable[[], T]) -> T:
    """Run blocking `work`. Who is cancelled leaves only after it ended: a file is not closed under a writing thread."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


class _Draft:
    """A file being written under a name that `find` never answers."""

    def __init__(self, directory: Path, run_id: str, name: str) -> None:
        self._base = directory
        self._folder = directory / run_id
        self._path = self._folder / name
        self._partial = self._folder / f".{name}.partial"
        self._file: int | None = None
        self._size = 0
        self._hash = hashlib.sha256()

    def open(self) -> None:
        self._base.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._partial.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self._partial, flags, 0o600)

    def write(self, piece: bytes) -> None:
        assert self._file is not None  # noqa: S101  `open` came first
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._hash.update(piece)
        self._size += len(piece)

    def keep(self) -> BackupRecord:
        """On disk under its name, and the names on disk too."""
        assert self._file is not None  # noqa: S101  `open` came first
        os.fsync(self._file)
        self._partial.replace(self._path)
        _sync(self._folder)
        _sync(self._base)
        return BackupRecord(str(self._path), self._size, self._hash.hexdigest())

    def discard(self) -> None:
        """Close, and drop what was not kept."""
        if self._file is None:
            return
        os.close(self._file)
        self._file = None
        # What cannot be removed is never found under its own name, and the next attempt tries again.
        with contextlib.suppress(OSError):
            self._partial.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
