"""
Who has which run: claims are counted in the journal, and kept in memory by the one process that has it.

In: a connection inside a transaction. Out: runs whose version was raised, so that whoever had them before can store
nothing more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from datetime import datetime

from remediator.model.errors import DamagedRecord
from remediator.model.ledger import Claimed
from remediator.store import rulings
from remediator.store.sqlite import reading


def claim(db: sqlite3.Connection, now: datetime, held: Collection[str], limit: int) -> tuple[list[Claimed], list[str]]:
    """Runs that are now the asker's, and the ids of those that cannot be read."""
    suspect_in_hand = any(reading.tries(db, run_id) > 1 for run_id in held)
    chosen = rulings.choose(reading.waiting(db, now, held), limit, suspect_in_hand=suspect_in_hand)
    db.executemany("UPDATE runs SET tries = tries + 1, version = version + 1 WHERE id = ?", [(id_,) for id_ in chosen])
    claimed, damaged = [], []
    for run_id in chosen:
        try:
            run = reading.get(db, run_id)
        except DamagedRecord:
            damaged.append(run_id)
            continue
        if run is not None:
            claimed.append(Claimed(run, reading.tries(db, run_id)))
    return claimed, damaged


def give_back(db: sqlite3.Connection, run_id: str) -> None:
    """In order, so it is no suspect."""
    db.execute("UPDATE runs SET tries = 0 WHERE id = ?", (run_id,))
