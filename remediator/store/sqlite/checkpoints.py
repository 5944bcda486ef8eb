"""
Bring the write-ahead log into the journal's file and empty it, in one go.

In: the writing connection, in its thread. SQLite by itself leaves a log standing that is already in the file; if it is
cut off later, old pages of the log cover new ones of the file, and the mixture passes for a journal. So the log is
emptied as soon as it is in the file: what the log holds is then always newer than the file, and what is left of a
cut log is what was true at some commit. It decides nothing and loses nothing: one that fails is tried again.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from remediator.store.sqlite.faults import ERRORS, is_damage
from remediator.store.sqlite.soundness import BUSY_SECONDS

LONG = 4 * 1024 * 1024
"""Bytes of log after which it is put away, as many as SQLite's own thousand pages."""
AGAIN_SECONDS = 0.05
"""How soon one is tried again that a reader kept from emptying the log."""


class Checkpoints:
    """Belongs to the writing thread."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._log = path.with_name(path.name + "-wal")
        self._at = LONG
        self.is_half_done = False
        """The log is in the file, at least in part, and still stands."""

    @property
    def is_due(self) -> bool:
        return self.is_half_done or self._size() >= self._at

    def make(self) -> None:
        """Raises the error of a damaged file; any other only means later."""
        try:
            self._db.execute("PRAGMA busy_timeout = 0")
            is_kept_by_reader = bool(self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        except ERRORS as error:
            if is_damage(error):
                raise
            # A full disk, most likely. Not at every commit: it reads the whole log.
            self._at = self._size() + LONG // 4
            return
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
        self.is_half_done = is_kept_by_reader
        self._at = LONG

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0
