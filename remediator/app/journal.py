"""
Open the journal that the settings name, with its witness; or accept it where it cannot be opened by itself.

In: settings. Out: the journal, or what can be read of one that must not be built upon. It decides nothing for an
operator: a journal that its witness does not know waits until somebody says that it must do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from remediator.clocks import SystemClock
from remediator.metrics import Metrics
from remediator.model.errors import StoreDamaged
from remediator.model.ledger import AuditKind, AuditNote
from remediator.model.seams import Clock
from remediator.model.witness import Mark
from remediator.settings import Settings
from remediator.store.sqlite import SalvagedStore, SQLiteStore
from remediator.store.sqlite.reserve import BYTES as RESERVE
from remediator.store.witness_file import FileWitness


def journal_path(settings: Settings) -> Path:
    return settings.state_directory / "journal.db"


def witness_of(settings: Settings) -> FileWitness:
    return FileWitness(settings.state_directory / "journal.witness")


async def open_journal(settings: Settings, clock: Clock, metrics: Metrics) -> SQLiteStore | SalvagedStore:
    """The journal; where it must not be built upon, what can be read of it. Raises StoreUnavailable."""
    path = journal_path(settings)
    try:
        store = await SQLiteStore.open(
            path, clock, told_commit=metrics.committed, reserve=RESERVE, witness=witness_of(settings)
        )
    except StoreDamaged as damage:
        return await SalvagedStore.open(path, damage)
    if store.custody.took_on_trust:
        structlog.get_logger().warning("the journal had no witness and is taken as it is", journal=str(path))
    return store


@dataclass(frozen=True)
class Accepted:
    """A journal that somebody answers for."""

    path: Path
    mark: Mark
    witnessed: Mark | None
    """What its witness knew of; None: nothing that can be read."""


async def accept(settings: Settings, *, by: str, why: str) -> Accepted:
    """
    Take the journal as it is, empty if there is none: its witness begins anew, and the audit trail says who wanted it.

    Raises StoreUnavailable where a service has it, or it is damaged.
    """
    path, witness = journal_path(settings), witness_of(settings)
    known = await _known(witness)
    store = await SQLiteStore.open(path, SystemClock())
    try:
        before = await store.custody.mark()
        told = {"by": by, "why": why, "at_record": before.seq, "witness": vars(known) if known else None}
        await store.note(AuditNote(AuditKind.ACCEPTED, told))
        mark = await store.custody.mark()
        await witness.begin(mark)
    finally:
        await store.close()
    return Accepted(path, mark, known)


async def _known(witness: FileWitness) -> Mark | None:
    try:
        return await witness.read()
    except StoreDamaged:
        return None
