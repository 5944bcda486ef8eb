"""A journal as the first release left it, for the next one to bring up to date."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from remediator.store.sqlite.opening import migrations


def lay_down(path: Path, schema: int = 1) -> None:
    """Made with that release's own scripts, and nothing in it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for number, script in enumerate(migrations()[:schema], start=1):
            db.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
