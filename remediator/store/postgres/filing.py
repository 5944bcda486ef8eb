"""
Deliveries in the journal, many at once: admit candidates, note resolutions.

In: a group's deliveries, and its transaction. Out: what became of each candidate. However many deliveries there are,
the statements are the same few: one inserts what is new, one asks about the rest, and two note what is over.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import Candidate, Delivery, Filed
from remediator.store import auditing
from remediator.store.postgres.transaction import Transaction, column
from remediator.store.rows import new_run_text
from remediator.store.rulings import CaseKey, admit, case_key

WORTH_PACKING = 4096
"""Bytes: PostgreSQL packs long values itself, but the wire and the log carry them as they come."""
BUCKETS = 256
"""Filing and resolving one episode exclude each other; episodes share so many locks, because a storm has thousands."""


@dataclass(frozen=True)
class Prepared:
    """A delivery with all that can be made of it before its transaction."""

    delivery: Delivery
    is_packed: bool
    body: bytes
    texts: tuple[str, ...]
    """Of each candidate the run that it becomes if it is new."""

    @property
    def shared(self) -> set[int]:
        return {bucket(candidate.alert.episode) for candidate in self.delivery.candidates}

    @property
    def exclusive(self) -> set[int]:
        return {bucket(alert.episode) for alert in self.delivery.resolved}


def bucket(episode: str) -> int:
    return zlib.crc32(episode.encode("utf-8", "surrogatepass")) % BUCKETS


def prepare(delivery: Delivery) -> Prepared:
    is_packed = len(delivery.body) > WORTH_PACKING
    body = zlib.compress(delivery.body, level=1) if is_packed else delivery.body
    texts = tuple(new_run_text(candidate, delivery.received_at) for candidate in delivery.candidates)
    return Prepared(delivery, is_packed, body, texts)


async def file_all(tx: Transaction, group: Sequence[Prepared], run_ids: Sequence[str]) -> list[Sequence[Filed]]:
    """What became of each. Locks also the runs that the group's other operations are about, in one go with its own."""
    asked: dict[CaseKey, tuple[Candidate, str, int]] = {}
    for number, prepared in enumerate(group, start=1):
        for candidate, text in zip(prepared.delivery.candidates, prepared.texts, strict=True):
            asked.setdefault(case_key(candidate), (candidate, text, number))
    inserted = await _insert(tx, group, asked)
    left = [key for key, (candidate, *_) in asked.items() if candidate.run_id not in inserted]
    known, over = await _known_and_over(tx, left) if left else ({}, set())
    answers: list[Sequence[Filed]] = []
    for prepared in group:
        filed, admitted = admit(prepared.delivery, known, over)
        known |= {case_key(candidate): candidate.run_id for candidate in admitted}
        answers.append(filed)
        tx.notes.append(auditing.of_delivery(prepared.delivery, filed))
        inserted -= {candidate.run_id for candidate in admitted}
    if inserted:
        raise StoreUnavailable(f"runs were stored that nobody admitted: {sorted(inserted)}; nothing of it is kept")
    await _note_resolutions(tx, group, run_ids)
    return answers


# --- what is new -------------------------------------------------------------------------------------------

_INSERT = """
    WITH stamp AS MATERIALIZED (SELECT coalesce($1::timestamptz, clock_timestamp()) AS now),
    kept AS (
        INSERT INTO deliveries (received_at, sender, is_packed, body)
        SELECT received_at, sender, is_packed, body
        FROM unnest($2::timestamptz[], $3::text[], $4::boolean[], $5::bytea[])
            WITH ORDINALITY AS d (received_at, sender, is_packed, body, number)
        ORDER BY number
        RETURNING id, received_at
    ), numbered AS (
        SELECT id, received_at, row_number() OVER (ORDER BY id) AS number FROM kept
    ), made AS (
        INSERT INTO runs (id, rule, episode, state, is_live, created_at, due_at, delivery, body)
        SELECT c.id, c.rule, c.episode, 'pending', true, n.received_at, least(n.received_at, stamp.now), n.id, c.body
        FROM unnest($6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[])
            AS c (id, rule, episode, number, body)
        JOIN numbered n USING (number) CROSS JOIN stamp
        WHERE NOT EXISTS (SELECT FROM past_cases p WHERE p.episode = c.episode AND p.rule = c.rule)
            AND NOT EXISTS (SELECT FROM resolutions r WHERE r.episode = c.episode)
        ORDER BY c.episode, c.rule
        ON CONFLICT (episode, rule) DO NOTHING
        RETURNING id
    )
    SELECT stamp.now, ARRAY(SELECT id FROM made) AS made FROM stamp
"""


async def _insert(
    tx: Transaction, group: Sequence[Prepared], asked: dict[CaseKey, tuple[Candidate, str, int]]
) -> set[str]:
    """Keep the deliveries and make runs of the new candidates; answers the ids of those that are."""
    rows = [
        (candidate.run_id, column(rule), column(episode), number, text)
        for (rule, episode), (candidate, text, number) in asked.items()
    ]
    columns = [list(values) for values in zip(*rows, strict=True)] or [[]] * 5
    (row,) = await tx.write(
        _INSERT,
        tx.told_now,
        [prepared.delivery.received_at for prepared in group],
        [column(prepared.delivery.sender) for prepared in group],
        [prepared.is_packed for prepared in group],
        [prepared.body for prepared in group],
        *columns,
    )
    tx.now = row["now"]
    tx.makes_due = tx.makes_due or bool(row["made"])
    return set(row["made"])


# --- what is not -------------------------------------------------------------------------------------------

_KNOWN = """
    SELECT a.number, r.id FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS a (rule, episode, number)
    JOIN runs r ON r.episode = a.episode AND r.rule = a.rule
    UNION ALL
    SELECT a.number, p.run_id FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS a (rule, episode, number)
    JOIN past_cases p ON p.episode = a.episode AND p.rule = a.rule
    UNION ALL
    SELECT a.number, NULL FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS a (rule, episode, number)
    JOIN resolutions o ON o.episode = a.episode
"""


async def _known_and_over(tx: Transaction, keys: Sequence[CaseKey]) -> tuple[dict[CaseKey, str], set[str]]:
    """The runs that these rules and episodes have already, and those of the episodes that are over."""
    found = await tx.ask(_KNOWN, [column(rule) for rule, _ in keys], [column(episode) for _, episode in keys])
    known = {keys[number - 1]: run_id for number, run_id in found if run_id is not None}
    return known, {keys[number - 1][1] for number, run_id in found if run_id is None}


# --- what is over ------------------------------------------------------------------------------------------

_OVER = """
    INSERT INTO resolutions (episode, at) SELECT * FROM unnest($1::text[], $2::timestamptz[]) AS o (episode, at)
    ORDER BY episode ON CONFLICT (episode) DO NOTHING
"""
# A question about an alert that is over is withdrawn, and at once.
_RESOLVE = """
    UPDATE runs SET resolved_at = coalesce(resolved_at, o.at),
        due_at = CASE WHEN state = 'awaiting_approval' THEN least(due_at, $3::timestamptz) ELSE due_at END
    FROM unnest($1::text[], $2::timestamptz[]) AS o (episode, at)
    WHERE runs.episode = o.episode AND (resolved_at IS NULL OR state = 'awaiting_approval')
    RETURNING state
"""


async def _note_resolutions(tx: Transaction, group: Sequence[Prepared], run_ids: Sequence[str]) -> None:
    """The first resolution of an episode stays, with or without a run to tell."""
    over: dict[str, datetime] = {}
    for prepared in group:
        for alert in prepared.delivery.resolved:
            over.setdefault(column(alert.episode), prepared.delivery.received_at)
    episodes, times = list(over), list(over.values())
    if over:
        await tx.write(_OVER, episodes, times)
    await tx.lock_runs(run_ids, episodes)
    if over:
        told = await tx.write(_RESOLVE, episodes, times, tx.now)
        tx.makes_due = tx.makes_due or any(row["state"] == "awaiting_approval" for row in told)
