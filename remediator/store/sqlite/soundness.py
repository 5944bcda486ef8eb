"""
Whether the journal's file is ours, whole, and of a schema we know.

In: a path. Out: its schema's number, or StoreDamaged for a journal that is not what was written, or StoreUnavailable
for a file that is not ours, too new or locked. Nothing is opened for writing, so what is damaged stays as it was found.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from importlib import resources
from pathlib import Path

from remediator.model.errors import DamagedRecord, StoreDamaged, StoreUnavailable
from remediator.model.witness import Mark
from remediator.store.rows import plain, step_from
from remediator.store.sqlite import trail
from remediator.store.sqlite.faults import ERRORS, REMEDY, Fault, code, is_damage
from remediator.store.sqlite.wal import refuse_broken_log

APPLICATION_ID = 1380273476
BUSY_SECONDS = 1.0
"""How long a lock of a stray SQLite shell is waited for; the sender of an alert waits meanwhile."""
WITNESSED = 3
"""The first schema whose journals have an id."""
HEAD = 100
"""Bytes of a database's own header."""
MAGIC = b"SQLite format 3\0"
MARK = APPLICATION_ID.to_bytes(4, "big")
_UNWRITABLE = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})


def inspect(path: Path, known: Mark | None) -> int:
    """The number of a sound journal's schema, if it is the one that its witness knows."""
    _refuse_stranger(path)
    refuse_broken_log(path)
    with closing(look(path)) as db:
        try:
            schema = int(db.execute("PRAGMA user_version").fetchone()[0])
            _refuse_newer(path, schema)
            refuse_broken_pages(db, path)
            _refuse_changed_schema(db, path, schema)
            _refuse_moved_steps(db, path)
            if known is not None:
                _refuse_old_copy(db, path, schema, known)
        except ERRORS as error:
            if code(error) & 0xFF == sqlite3.SQLITE_ERROR:
                # It fits every sound journal: the tables are not what they were.
                raise damaged(path, error) from error
            raise refused(path, error) from error
    return schema


def look(path: Path, *, as_it_lies: bool = False) -> sqlite3.Connection:
    """
    A connection that changes neither the file nor its log, also when it is closed.

    `as_it_lies`: without the log, and without a word to whoever writes it meanwhile.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if as_it_lies else ''}"
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.text_factory = lenient
    return db


def lenient(raw: bytes) -> str:
    """Text as stored; a byte that is not UTF-8 must fail a checksum, not the whole question."""
    return raw.decode("utf-8", "backslashreplace")


def refused(path: Path, error: Fault) -> StoreUnavailable:
    """The house's error for one that an opening met."""
    if is_damage(error):
        return damaged(path, error)
    if code(error) & 0xFF in _UNWRITABLE:
        return unwritable(path, error)
    return StoreUnavailable(f"the journal {path} cannot be opened: {error}. Check who else has it open and free space.")


def damaged(path: Path, what: object) -> StoreDamaged:
    return StoreDamaged(f"the journal {path} is damaged: {what}. {REMEDY}")


def not_the_one(path: Path, why: str) -> StoreDamaged:
    return StoreDamaged(
        f"the journal {path} is not the one that was here last: {why}. It was restored from an older backup, or was "
        "taken away. What was done since is not in it, so nothing is done until somebody has looked. "
        "Bring the newer one back, or run `remediator journal accept` and start the service again."
    )


def replaced(path: Path) -> StoreDamaged:
    return StoreDamaged(
        f"the journal {path} was moved or replaced while the service had it open: what is written is lost. "
        "Stop the service, see which file is the right one, and start it again."
    )


def unwritable(path: Path, error: Exception) -> StoreDamaged:
    return StoreDamaged(
        f"the journal {path} cannot be written: {error}. Give its directory and its files back to the service's user, "
        "on a file system that can be written, then start the service again."
    )


def _refuse_stranger(path: Path) -> None:
    """Ours is what has SQLite's mark and our own; with one of the two, or nothing but zeros, it is ours and damaged."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        # SQLite would take it for a new database and throw its log away.
        raise damaged(path, "it is empty; it was cut off")
    if not head.strip(b"\0"):
        raise damaged(path, "it begins with nothing but zeros")
    is_database = head.startswith(MAGIC)
    alike = sum(ours == found for ours, found in zip(MARK, head[68:72], strict=False))
    if alike == len(MARK) and not is_database:
        raise damaged(path, "it does not begin as a database")
    if is_database and alike == len(MARK) - 1:
        raise damaged(path, "its mark is broken")
    if alike < len(MARK):
        raise StoreUnavailable(f"{path} is not a journal of Remediator. Move it away, or name another state_directory.")


def _refuse_newer(path: Path, schema: int) -> None:
    known = len(migrations())
    if schema > known:
        raise StoreUnavailable(
            f"the journal {path} has schema {schema}, this version knows {known}. "
            "Run the newer Remediator again, or restore the backup made before it."
        )


def refuse_broken_pages(db: sqlite3.Connection, path: Path) -> None:
    """
    Every page, and every row against its indexes.

    The quick check would pass over a changed byte in a column. What decides something is in a sealed body, or twice in
    the file, in its row and in an index, so that the whole check finds it.
    """
    found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise damaged(path, found)
    stray = db.execute("PRAGMA foreign_key_check").fetchone()
    if stray is not None:
        raise damaged(path, f"row {stray[1]} of {stray[0]} belongs to a row of {stray[2]} that is not there")


def _texts(db: sqlite3.Connection) -> list[tuple[str, ...]]:
    """Of every table, index and trigger; without spaces and quotes, in which versions of SQLite may differ."""
    found = db.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
    return [(*names, "".join(sql.replace('"', "").split())) for *names, sql in found]


def _refuse_changed_schema(db: sqlite3.Connection, path: Path, schema: int) -> None:
    """A changed letter in the text of a table or an index passes every other check, until somebody writes."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        for number, script in enumerate(migrations()[:schema], start=1):
            model.executescript(script_of(number, script))
        due = _texts(model)
    if _texts(db) != due:
        raise damaged(path, f"its tables are not those of schema {schema}")


_STEPS = "SELECT run_id, seq, attempt, steps.body FROM steps JOIN runs ON runs.id = run_id WHERE is_live = 1"


def _refuse_moved_steps(db: sqlite3.Connection, path: Path) -> None:
    """A live run's step under another number would be an attempt that was never made: it could be made again."""
    for run_id, seq, attempt, body in db.execute(_STEPS):
        try:
            step = step_from(body)
        except DamagedRecord:
            continue  # whoever reads it is told
        if (plain(step.run_id), step.seq, step.attempt) != (run_id, seq, attempt):
            raise damaged(path, f"a step of run {run_id} is not in its place")


def _refuse_old_copy(db: sqlite3.Connection, path: Path, schema: int, known: Mark) -> None:
    if schema < WITNESSED:
        raise not_the_one(path, f"it has schema {schema}, from before there were witnesses")
    why = trail.objection(db, known)
    if why:
        raise not_the_one(path, why)


def migrations() -> Sequence[str]:
    """The numbered scripts of this version, in order; script n makes schema n of schema n - 1."""
    folder = resources.files("remediator.store.sqlite") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [f.read_text(encoding="utf-8") for f in files]


def script_of(number: int, script: str) -> str:
    """One migration as one transaction."""
    return f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
