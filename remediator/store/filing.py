"""
Deliveries in the journal: admit candidates, note resolutions, forget old bodies.

In: a connection inside a transaction. Everything is set-based, so ten thousand alerts cost little more than one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from remediator.model.ledger import Candidate, Delivery, Filed
from remediator.model.runs import RunState
from remediator.store.rows import encode, moment, new_run_text, plain
from remediator.store.rulings import CaseKey, admit, case_key


def file_delivery(db: sqlite3.Connection, delivery: Delivery) -> Sequence[Filed]:
    number = _keep_body(db, delivery)
    keys = [case_key(candidate) for candidate in delivery.candidates]
    filed, admitted = admit(delivery, _known(db, keys), _over(db, {episode for _, episode in keys}))
    _insert(db, admitted, number, delivery.received_at)
    _note_resolutions(db, delivery)
    return filed


def prune(db: sqlite3.Connection, before: datetime) -> int:
    """A delivery that made a run stays as long as the run lives."""
    deleted = db.execute(
        "DELETE FROM deliveries WHERE received_at < ? AND NOT EXISTS"
        " (SELECT 1 FROM runs WHERE runs.delivery = deliveries.id AND runs.is_live = 1)",
        (moment(before),),
    )
    return deleted.rowcount


def _keep_body(db: sqlite3.Connection, delivery: Delivery) -> int | None:
    row = (moment(delivery.received_at), plain(delivery.sender), delivery.body)
    return db.execute("INSERT INTO deliveries (received_at, sender, body) VALUES (?, ?, ?)", row).lastrowid


def _known(db: sqlite3.Connection, keys: Sequence[CaseKey]) -> dict[CaseKey, str]:
    """The runs that these rules and episodes had before."""
    if not keys:
        return {}
    asked = encode([(plain(rule), plain(episode)) for rule, episode in keys])
    # CROSS JOIN keeps SQLite from scanning all runs: the asked keys drive, the unique index answers.
    found = db.execute(
        "SELECT asked.key, runs.id FROM json_each(?) AS asked CROSS JOIN runs"
        " ON runs.episode = json_extract(asked.value, '$[1]') AND runs.rule = json_extract(asked.value, '$[0]')",
        (asked,),
    )
    return {keys[index]: run_id for index, run_id in found}


def _over(db: sqlite3.Connection, episodes: set[str]) -> set[str]:
    """Those of `episodes` that are already resolved."""
    if not episodes:
        return set()
    asked = list(episodes)
    found = db.execute(
        "SELECT asked.key FROM json_each(?) AS asked CROSS JOIN resolutions ON resolutions.episode = asked.value",
        (encode([plain(episode) for episode in asked]),),
    )
    return {asked[index] for (index,) in found}


def _insert(db: sqlite3.Connection, admitted: Sequence[Candidate], delivery: int | None, at: datetime) -> None:
    now = moment(at)
    db.executemany(
        "INSERT INTO runs (id, rule, episode, state, is_live, created_at, due_at, version, delivery, body)"
        f" VALUES (?, ?, ?, '{RunState.PENDING}', 1, ?, ?, 0, ?, ?)",
        [
            (
                candidate.run_id,
                plain(candidate.rule),
                plain(candidate.alert.episode),
                now,
                now,
                delivery,
                new_run_text(candidate, at),
            )
            for candidate in admitted
        ],
    )


def _note_resolutions(db: sqlite3.Connection, delivery: Delivery) -> None:
    """The first resolution of an episode stays, with or without a run to tell."""
    at = moment(delivery.received_at)
    over = [(at, plain(alert.episode)) for alert in delivery.resolved]
    if not over:
        return
    db.executemany("INSERT INTO resolutions (at, episode) VALUES (?, ?) ON CONFLICT DO NOTHING", over)
    db.executemany("UPDATE runs SET resolved_at = ? WHERE episode = ? AND resolved_at IS NULL", over)
