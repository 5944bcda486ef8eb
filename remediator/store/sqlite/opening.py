"""
Open the journal's file, or say why it cannot be trusted.

In: a path. Out: the one writing connection, checked, migrated and locked against a second process. Never repairs,
never overwrites and never starts afresh over a file that should have had something in it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from remediator.model.errors import StoreUnavailable
from remediator.model.witness import Mark
from remediator.store.sqlite.faults import ERRORS
from remediator.store.sqlite.soundness import (
    BUSY_SECONDS,
    damaged,
    inspect,
    lenient,
    migrations,
    not_the_one,
    refused,
    script_of,
    unwritable,
)

Place = tuple[int, int]
"""Device and number of a file: its name may come to stand for another."""
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@dataclass(frozen=True)
class OpenJournal:
    """What an open journal holds on to. `unlock` comes last, after the connection is closed."""

    db: sqlite3.Connection
    lock: int
    path: Path
    place: Place
    is_new: bool

    def unlock(self) -> None:
        os.close(self.lock)

    @property
    def is_replaced(self) -> bool:
        """Somebody moved or restored the file: what is written now is not under its name any more."""
        try:
            return _place(self.path) != self.place
        except OSError:
            return True


def _place(path: Path) -> Place:
    found = path.stat()
    return found.st_dev, found.st_ino


def open_journal(path: Path, known: Mark | None = None) -> OpenJournal:
    """
    The journal at `path`, the one that its witness knows, if there is one.

    Raises StoreUnavailable, StoreDamaged among it; then nothing is left open and nothing was changed.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = lock_journal(path)
    except OSError as error:
        raise _unusable(path, error) from error
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, lock)
        is_new = not path.exists()
        db = _open_locked(path, known)
        undo.callback(db.close)
        opened = OpenJournal(db, lock, path, _place(path), is_new)
        undo.pop_all()
        return opened


def lock_journal(path: Path) -> int:
    """Keep every other process out, until the answer is closed. Raises StoreUnavailable where one is in."""
    lock_path = path.with_name(path.name + ".lock")
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreUnavailable(
            f"another process has the journal {path} ({lock_path} is locked). Stop it first: "
            "a journal belongs to one process, so run one replica with a volume of its own."
        ) from error
    return lock


def _open_locked(path: Path, known: Mark | None) -> sqlite3.Connection:
    try:
        if not path.exists():
            if known is not None:
                raise not_the_one(path, "it is not there, and its witness knows it")
            _create(path)
        return _checked(path, known)
    except ERRORS as error:
        raise refused(path, error) from error
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> StoreUnavailable:
    if error.errno in _FORBIDDEN and _may_be_there(path):
        return unwritable(path, error)
    return StoreUnavailable(
        f"the journal {path} cannot be used: {error}. Make its directory writable, and check its owner and free space."
    )


def _may_be_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return error.errno in _FORBIDDEN
    return True


def _create(path: Path) -> None:
    """
    Build an empty journal beside `path` and rename it there.

    So a journal that is there is whole: an empty file under its name is damage, not a start that was cut short.
    """
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise damaged(path, f"{wal} is there and it is not")
    draft = path.with_name(path.name + ".new")
    for leftover in (draft, draft.with_name(draft.name + "-wal"), draft.with_name(draft.name + "-shm")):
        leftover.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    db = _connect(draft)
    try:
        _configure(db, draft)
        _migrate(db, 0)
    finally:
        db.close()
    draft.rename(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """A rename is only durable once its directory is."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _checked(path: Path, known: Mark | None) -> sqlite3.Connection:
    """Questions before settings: a file that is not ours, or no longer whole, is left as it was found."""
    if path.stat().st_mode & 0o777 != 0o600:
        path.chmod(0o600)  # first: the files that SQLite makes beside it take its mode
    schema = inspect(path, known)
    if not os.access(path, os.W_OK):
        raise unwritable(path, OSError(errno.EACCES, os.strerror(errno.EACCES), str(path)))
    with contextlib.ExitStack() as undo:
        db = _connect(path)
        undo.callback(db.close)
        _configure(db, path)
        _migrate(db, schema)
        # What a crash left is put away before anything is added: a second crash must not leave two torn ends in it.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        undo.pop_all()
    return db


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.text_factory = lenient
    return db


def _configure(db: sqlite3.Connection, path: Path) -> None:
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreUnavailable(f"the file system of {path} cannot keep a WAL (got {mode!r}); use a local disk")
    for setting in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF", "cell_size_check = ON"):
        db.execute(f"PRAGMA {setting}")
    # The savepoints of a group are small: a file of their own for each costs more than they do.
    db.execute("PRAGMA temp_store = MEMORY")
    # The writing thread empties the log itself: `checkpoints` says why.
    db.execute("PRAGMA wal_autocheckpoint = 0")


def _migrate(db: sqlite3.Connection, schema: int) -> None:
    """Bring schema `schema` up to date, one transaction for each script."""
    for number, script in enumerate(migrations()[schema:], start=schema + 1):
        try:
            db.executescript(script_of(number, script))
        except ERRORS:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
