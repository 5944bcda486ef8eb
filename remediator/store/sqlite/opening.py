"""
Open the journal's file, or say why it cannot be trusted.

In: a path. Out: the one writing connection, checked, migrated and locked against a second process. Never repairs,
never overwrites and never starts afresh over a file that should have had something in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from remediator.model.errors import StoreUnavailable

APPLICATION_ID = 1380273476
BUSY_SECONDS = 1.0
"""How long a lock of a stray SQLite shell is waited for; the sender of an alert waits meanwhile."""
RESTORE = "Restore it from a backup, or move it away (with its -wal and -shm) to start with an empty journal."


@dataclass(frozen=True)
class OpenJournal:
    """What an open journal holds on to. `unlock` comes last, after the connection is closed."""

    db: sqlite3.Connection
    lock: int

    def unlock(self) -> None:
        os.close(self.lock)


def open_journal(path: Path) -> OpenJournal:
    """Raises StoreUnavailable; then nothing is left open and nothing was changed."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _lock(path)
    except OSError as error:
        raise StoreUnavailable(f"the journal {path} cannot be used: {error}. Make its directory writable.") from error
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, lock)
        db = _open_locked(path)
        undo.pop_all()
        return OpenJournal(db, lock)


def read_connection(path: Path) -> sqlite3.Connection:
    """A connection that can neither write nor checkpoint."""
    db = _connect(path)
    db.execute("PRAGMA query_only = ON")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    return db


def _lock(path: Path) -> int:
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


def _open_locked(path: Path) -> sqlite3.Connection:
    try:
        if not path.exists():
            _create(path)
        path.chmod(0o600)
        return _checked(path)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the journal {path} cannot be opened: {error}. {RESTORE}") from error
    except OSError as error:
        raise StoreUnavailable(
            f"the journal {path} cannot be used: {error}. Check its owner and free space."
        ) from error


def _create(path: Path) -> None:
    """
    Build an empty journal beside `path` and rename it there.

    So a journal that is there is whole: an empty file under its name is damage, not a start that was cut short.
    """
    wal = path.with_name(path.name + "-wal")
    if wal.exists():
        raise StoreUnavailable(f"{wal} is there but the journal {path} is not. {RESTORE}")
    draft = path.with_name(path.name + ".new")
    for leftover in (draft, draft.with_name(draft.name + "-wal"), draft.with_name(draft.name + "-shm")):
        leftover.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    db = _connect(draft)
    try:
        _configure(db, draft)
        _migrate(db, draft, 0)
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


def _checked(path: Path) -> sqlite3.Connection:
    """Questions before settings: a file that is not ours, or no longer whole, is left as it was found."""
    if path.stat().st_size == 0:
        # SQLite would take it for a new database and throw its WAL away.
        raise StoreUnavailable(f"the journal {path} is empty; it was cut off. {RESTORE}")
    with contextlib.ExitStack() as undo:
        db = _connect(path)
        undo.callback(db.close)
        _refuse_stranger(db, path)
        _refuse_damage(db, path)
        _configure(db, path)
        _migrate(db, path, _number(db, "user_version"))
        undo.pop_all()
    return db


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _configure(db: sqlite3.Connection, path: Path) -> None:
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreUnavailable(f"the file system of {path} cannot keep a WAL (got {mode!r}); use a local disk")
    for setting in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF", "cell_size_check = ON"):
        db.execute(f"PRAGMA {setting}")
    # The savepoints of a group are small: a file of their own for each costs more than they do.
    db.execute("PRAGMA temp_store = MEMORY")
    # A storm's WAL is given back to the disk at the next checkpoint.
    db.execute("PRAGMA journal_size_limit = 67108864")


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


def _refuse_stranger(db: sqlite3.Connection, path: Path) -> None:
    if _number(db, "application_id") != APPLICATION_ID:
        raise StoreUnavailable(f"{path} is not a journal of Remediator. {RESTORE}")


def _refuse_damage(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreUnavailable(f"the journal {path} is damaged: {found}. {RESTORE}")


def migrations() -> Sequence[str]:
    """The numbered scripts of this version, in order; script n makes schema n of schema n - 1."""
    folder = resources.files("remediator.store.sqlite") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [f.read_text(encoding="utf-8") for f in files]


def _migrate(db: sqlite3.Connection, path: Path, schema: int) -> None:
    """Bring schema `schema` up to date, one transaction for each script; what is newer than us is refused."""
    scripts = migrations()
    if schema > len(scripts):
        raise StoreUnavailable(
            f"the journal {path} has schema {schema}, this version knows {len(scripts)}. "
            "Run the newer Remediator again, or restore the backup made before it."
        )
    for number, script in enumerate(scripts[schema:], start=schema + 1):
        try:
            db.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
