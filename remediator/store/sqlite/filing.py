"""
Deliveries in the journal: admit candidates, note resolutions.

In: a connection inside a transaction. Everything is set-based, so ten thousand alerts cost little more than one.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from remediator.model.ledger import Candidate, Delivery, Filed
from remediator.model.runs import RunState
from remediator.store import auditing
from remediator.store.rows import encode, moment, new_run_text, plain
from remediator.store.rulings import CaseKey, admit, case_key
from remediator.store.sqlite.trail import record

WORTH_PACKING = 4096
"""Bytes; a page of the journal holds less anyway."""

ROWS_AT_ONCE = 100
"""One statement for many rows: between two statements the thread must win the interpreter back from the receiver."""


class KeptBody(NamedTuple):
    """A delivery's body as its row has it."""

    is_packed: bool
    content: bytes


def keep(body: bytes) -> KeptBody:
    """Packed where that pays: a storm's body shrinks to a tenth, and the disk is what a storm waits for."""
    is_packed = len(body) > WORTH_PACKING
    return KeptBody(is_packed, zlib.compress(body, level=1) if is_packed else body)


def file_delivery(db: sqlite3.Connection, delivery: Delivery, body: KeptBody, now: datetime) -> Sequence[Filed]:
    number = _keep_delivery(db, delivery, body)
    keys = [case_key(candidate) for candidate in delivery.candidates]
    known, over = _known_and_over(db, keys)
    filed, admitted = admit(delivery, known, over)
    _insert(db, admitted, number, delivery.received_at)
    _note_resolutions(db, delivery)
    record(db, auditing.of_delivery(delivery, filed), now)
    return filed


def _keep_delivery(db: sqlite3.Connection, delivery: Delivery, body: KeptBody) -> int | None:
    row = (moment(delivery.received_at), plain(delivery.sender), *body)
    return db.execute(
        "INSERT INTO deliveries (received_at, sender, is_packed, body) VALUES (?, ?, ?, ?)", row
    ).lastrowid


# CROSS JOIN keeps SQLite from scanning all runs: the asked keys drive, the unique index answers.
_KNOWN = """
    SELECT json_group_array(json_array(asked.key, runs.id)) FROM json_each(?1) AS asked CROSS JOIN runs
    ON runs.episode = json_extract(asked.value, '$[1]') AND runs.rule = json_extract(asked.value, '$[0]')
"""
_PAST = """
    SELECT json_group_array(json_array(asked.key, past_cases.run_id)) FROM json_each(?1) AS asked CROSS JOIN past_cases
    ON past_cases.episode = json_extract(asked.value, '$[1]') AND past_cases.rule = json_extract(asked.value, '$[0]')
"""
_OVER = """
    SELECT json_group_array(asked.key) FROM json_each(?1) AS asked CROSS JOIN resolutions
    ON resolutions.episode = json_extract(asked.value, '$[1]')
"""


def _known_and_over(db: sqlite3.Connection, keys: Sequence[CaseKey]) -> tuple[dict[CaseKey, str], set[str]]:
    """The runs that these rules and episodes had before, and those of the episodes that are already resolved."""
    if not keys:
        return {}, set()
    asked = encode([(plain(rule), plain(episode)) for rule, episode in keys])
    known, past, over = db.execute(f"SELECT ({_KNOWN}), ({_PAST}), ({_OVER})", (asked,)).fetchone()
    had = {keys[index]: run_id for found in (past, known) for index, run_id in json.loads(found)}
    return had, {keys[index][1] for index in json.loads(over)}


def _insert(db: sqlite3.Connection, admitted: Sequence[Candidate], delivery: int | None, at: datetime) -> None:
    for start in range(0, len(admitted), ROWS_AT_ONCE):
        _insert_some(db, admitted[start : start + ROWS_AT_ONCE], delivery, at)


def _insert_some(db: sqlite3.Connection, admitted: Sequence[Candidate], delivery: int | None, at: datetime) -> None:
    now = moment(at)
    values: list[str | int | None] = []
    for candidate in admitted:
        values += (
            candidate.run_id,
            plain(candidate.rule),
            plain(candidate.alert.episode),
            now,
            now,
            delivery,
            new_run_text(candidate, at),
        )
    # Only placeholders and a fixed text are put together here.
    rows = ", ".join([f"(?, ?, ?, '{RunState.PENDING}', 1, ?, ?, 0, ?, ?)"] * len(admitted))
    columns = "id, rule, episode, state, is_live, created_at, due_at, version, delivery, body"
    db.execute(f"INSERT INTO runs ({columns}) VALUES {rows}", values)  # noqa: S608


def _note_resolutions(db: sqlite3.Connection, delivery: Delivery) -> None:
    """The first resolution of an episode stays, with or without a run to tell."""
    at = moment(delivery.received_at)
    over = [(at, plain(alert.episode)) for alert in delivery.resolved]
    if not over:
        return
    db.executemany("INSERT INTO resolutions (at, episode) VALUES (?, ?) ON CONFLICT DO NOTHING", over)
    db.executemany("UPDATE runs SET resolved_at = ? WHERE episode = ? AND resolved_at IS NULL", over)
    # A question about an alert that is over is withdrawn, and at once.
    db.executemany(
        f"UPDATE runs SET due_at = min(due_at, ?) WHERE episode = ? AND state = '{RunState.AWAITING_APPROVAL}'",  # noqa: S608
        over,
    )
