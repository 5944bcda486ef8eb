"""
Tell a journal from an old copy of itself, and keep those who remember it up to date.

In: how far the journal has come, and what a witness remembers. Out: what speaks against the journal, in words; or a
witness that knows of every record it was told to know. Decides nothing about what is to be done with an old copy.
"""

from __future__ import annotations

import asyncio

from remediator.model.ledger import AuditRecord
from remediator.model.seams import Witness
from remediator.model.witness import Mark


def objection(mark: Mark, journal: str, head: AuditRecord | None, same: AuditRecord | None) -> str:
    """
    Why the journal is not the one that the witness knows, grown since; \"\" when it is.

    `head` is its last record, `same` the one it has at the mark's place.
    """
    if journal != mark.journal:
        return f"it is journal {journal}, and its witness knows journal {mark.journal}"
    ends_at = head.seq if head else 0
    if ends_at < mark.seq:
        return f"it ends at record {ends_at}, and its witness has seen record {mark.seq}"
    if mark.seq and (same is None or same.hash != mark.hash):
        return f"its record {mark.seq} is not the one that its witness has seen"
    return ""


class Testimony:
    """Brings one witness up to date: never backwards, and for many who wait in one writing."""

    def __init__(self, witness: Witness, known: Mark) -> None:
        self._witness = witness
        self._known = known
        self._newest = known
        self._writing = asyncio.Lock()

    async def reach(self, mark: Mark) -> None:
        """Come back when the witness knows of `mark`. Raises what the witness raises, and then it may not."""
        if mark.seq > self._newest.seq:
            self._newest = mark
        async with self._writing:
            if mark.seq <= self._known.seq:
                return
            newest = self._newest
            await self._witness.write(newest)
            self._known = newest
