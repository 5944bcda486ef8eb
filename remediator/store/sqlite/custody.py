"""
Hold the open journal's file: whether it is sound, whether its disk has room, and who remembers how far it had come.

In: the open file, its threads, a witness. Out: what is wrong with it, as soon as it is known; a witness that is up to
date. Whatever is wrong, it repairs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from remediator.model.errors import StoreDamaged
from remediator.model.seams import Witness
from remediator.model.witness import Mark
from remediator.store.sqlite import trail
from remediator.store.sqlite.faults import ERRORS, Condition
from remediator.store.sqlite.groups import Groups
from remediator.store.sqlite.hands import Reading
from remediator.store.sqlite.opening import OpenJournal, open_journal
from remediator.store.sqlite.readers import Readers
from remediator.store.sqlite.reserve import Reserve
from remediator.store.sqlite.soundness import refuse_broken_pages, refused, replaced
from remediator.store.witnessing import Testimony


class Custody:
    """Made by `open`; `release` gives the file up, after its connections are closed."""

    def __init__(self, opened: OpenJournal, readers: Reading, groups: Groups) -> None:
        self.readers = readers
        self.groups = groups
        self.took_on_trust = False
        """There was no witness of this journal, so that nobody knows whether it is an old copy."""
        self._opened = opened
        self._testimony: Testimony | None = None

    @classmethod
    async def open(cls, path: Path, reserve: int, known: Mark | None) -> Custody:
        """Raises StoreUnavailable, StoreDamaged among it."""
        condition = Condition(path)
        return await asyncio.to_thread(_open, condition, reserve, known)

    @property
    def path(self) -> Path:
        return self._opened.path

    @property
    def is_broken(self) -> bool:
        return self.groups.condition.is_broken

    @property
    def lacks_room(self) -> bool:
        """The disk is full: nothing new begins until there is room."""
        return self.groups.reserve.is_spent

    async def until_broken(self) -> StoreDamaged:
        """Wait until damage is met: from then on every call that writes raises it."""
        return await self.groups.condition.until_broken()

    def condemn(self, damage: StoreDamaged) -> StoreDamaged:
        """From now on nothing more is written."""
        self.groups.condition.condemn(damage)
        return damage

    async def check(self) -> None:
        """Read every page and row. Raises StoreDamaged, and then nothing more is written."""
        try:
            await self.readers.ask(lambda db: refuse_broken_pages(db, self.path))
        except StoreDamaged as damage:
            self.condemn(damage)
            raise

    # --- who remembers it ----------------------------------------------------------------------------------

    async def witnessed_by(self, witness: Witness, known: Mark | None) -> None:
        """From now on `witness` is kept up to date, beginning now. Raises StoreUnavailable."""
        now = await self.readers.ask(trail.mark)
        self.took_on_trust = known is None and not self._opened.is_new
        testimony = Testimony(witness, known or Mark(now.journal, -1, ""))
        await testimony.reach(now)
        self._testimony = testimony

    async def objection(self, known: Mark) -> str:
        """Why this is not the journal that a witness knows, grown since; \"\" when it is."""
        return await self.readers.ask(lambda db: trail.objection(db, known))

    async def mark(self) -> Mark:
        """How far the journal has come."""
        return await self.readers.ask(trail.mark)

    async def testify(self, mark: Mark) -> None:
        """Come back when the witness knows of `mark`. Raises StoreUnavailable."""
        if self._opened.is_replaced:
            raise self.condemn(replaced(self.path))
        if self._testimony is not None:
            await self._testimony.reach(mark)

    def release(self) -> None:
        self._opened.unlock()


def _open(condition: Condition, reserve: int, known: Mark | None) -> Custody:
    path = condition.path
    opened = open_journal(path, known)
    readers = Readers(path, condition)
    with contextlib.ExitStack() as undo:
        undo.callback(opened.unlock)
        undo.callback(opened.db.close)
        try:
            readers.connect()
        except ERRORS as error:
            raise refused(path, error) from error
        custody = Custody(opened, readers, Groups(opened.db, condition, Reserve(path, reserve)))
        undo.pop_all()
    return custody
