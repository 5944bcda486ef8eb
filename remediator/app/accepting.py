"""
Take a journal that its witness does not know, because somebody says that it must do.

In: settings of a service that does not run, and who answers for it. Out: a journal whose witness begins anew, with a
record of who wanted that. It never opens a damaged one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from remediator.app.bounds import kube_access
from remediator.app.journal import journal_path, witness_of
from remediator.app.witnesses import cluster_witness_of
from remediator.clocks import SystemClock
from remediator.kube.client import KubeClient
from remediator.model.errors import ConfigError, RemoteError, StoreDamaged, StoreUnavailable
from remediator.model.ledger import AuditKind, AuditNote
from remediator.model.witness import Mark
from remediator.settings import Settings
from remediator.store.sqlite import SQLiteStore
from remediator.store.witness_file import FileWitness


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

    Raises StoreUnavailable where a service has it, or it is damaged, and ConfigError where it is no file.
    """
    if settings.store.postgres is not None:
        raise ConfigError("the journal is in PostgreSQL, which has no witness; there is nothing to accept")
    path, witness = journal_path(settings), witness_of(settings)
    known = await _known(witness)
    store = await SQLiteStore.open(path, SystemClock())
    try:
        before = await store.custody.mark()
        told = {"by": by, "why": why, "at_record": before.seq, "witness": vars(known) if known else None}
        await store.note(AuditNote(AuditKind.ACCEPTED, told))
        mark = await store.custody.mark()
        await witness.begin(mark)
        await _tell_cluster(settings, mark)
    finally:
        await store.close()
    return Accepted(path, mark, known)


async def _tell_cluster(settings: Settings, mark: Mark) -> None:
    if settings.witness_config_map is None:
        return
    kube = await KubeClient.connect(kube_access(settings), clock=SystemClock(), tell=lambda _: None)
    try:
        witness = cluster_witness_of(settings, kube)
        if witness is not None:
            await witness.write(mark)
    except RemoteError as error:
        raise StoreUnavailable(
            f"the journal is accepted, but its witness in the cluster could not be told: {error}. "
            f"Try again where the cluster answers, or delete the ConfigMap {'/'.join(settings.witness_config_map)}."
        ) from error
    finally:
        await kube.close()


async def _known(witness: FileWitness) -> Mark | None:
    try:
        return await witness.read()
    except StoreDamaged:
        return None
