"""
A journal as it stands on disk, read from outside and without the service's code.

In: a path. Out: plain rows. It opens the file for each question and closes it again: a connection that stayed open
would spare the next life the recovery that a real crash leaves to it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class SQLiteJournal:
    def __init__(self, path: Path) -> None:
        self._path = path

    def _rows(self, question: str) -> list[Row]:
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5)) as db:
                db.row_factory = sqlite3.Row
                return [dict(row) for row in db.execute(question)]
        except sqlite3.OperationalError as error:
            if "no such table" in str(error) or "unable to open" in str(error):
                return []  # it is not there yet
            raise

    async def attempts(self) -> Sequence[Any]:
        rows = self._rows("SELECT run_id, seq, attempt, json_extract(body, '$.state') AS state FROM steps")
        return [tuple(row.values()) for row in rows]

    async def live(self) -> int:
        """Runs that have not ended."""
        return int(sum(row["live"] for row in self._rows("SELECT count(*) AS live FROM runs WHERE is_live = 1")))

    async def runs(self) -> Sequence[Row]:
        return [_read(row) for row in self._rows("SELECT * FROM runs")]

    async def dump(self) -> dict[str, list[Row]]:
        """All of it, once nobody writes any more."""
        tables = ("runs", "steps", "traces", "starts", "target_locks", "signals", "switches", "audit")
        kept = {table: [_read(row) for row in self._rows(f"SELECT * FROM {table}")] for table in tables}
        return kept | {
            "damage": [row for row in self._rows("PRAGMA integrity_check") if row["integrity_check"] != "ok"]
        }


def _read(row: Row) -> Row:
    """With the body parsed, but for a record of the trail: its hash is over the text."""
    if "hash" in row or "body" not in row:
        return row
    return {**row, "body": json.loads(row["body"])}
