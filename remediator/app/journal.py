"""
Open the journal that the settings name: a file of this process alone, with its witness, or a database for several.

In: settings. Out: the journal, or what can be read of a file that must not be built upon. It decides nothing for an
operator: a journal that its witness does not know waits until somebody says that it must do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import structlog

from remediator.metrics import Metrics
from remediator.model.errors import ConfigError, StoreDamaged
from remediator.model.seams import Clock, Ids, RunStore
from remediator.settings import Postgres, Settings
from remediator.store.sqlite import SalvagedStore, SQLiteStore
from remediator.store.sqlite.reserve import BYTES as RESERVE
from remediator.store.witness_file import FileWitness


class Journal(RunStore, Protocol):
    """A store that also says which of its runs cannot be read."""

    damaged: dict[str, str]


class Bell:
    """Rings for the worker, once there is one: the journal is opened first."""

    def __init__(self) -> None:
        self._hears: Callable[[], None] | None = None

    def hang(self, hears: Callable[[], None]) -> None:
        self._hears = hears

    def ring(self) -> None:
        if self._hears is not None:
            self._hears()


def journal_path(settings: Settings) -> Path:
    return settings.state_directory / "journal.db"


def witness_of(settings: Settings) -> FileWitness:
    return FileWitness(settings.state_directory / "journal.witness")


async def open_journal(
    settings: Settings, clock: Clock, ids: Ids, metrics: Metrics, bell: Bell
) -> Journal | SalvagedStore:
    """Raises StoreUnavailable and ConfigError."""
    postgres = settings.store.postgres
    if postgres is not None:
        worker = f"{settings.own.pod_name or 'remediator'}/{ids('worker')}"
        return await _open_database(postgres, worker, clock, metrics, bell)
    return await _open_file(settings, clock, metrics)


async def _open_file(settings: Settings, clock: Clock, metrics: Metrics) -> SQLiteStore | SalvagedStore:
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


async def _open_database(postgres: Postgres, worker: str, clock: Clock, metrics: Metrics, bell: Bell) -> Journal:
    try:
        from remediator.store.postgres import Address, PostgresStore, Sharing  # noqa: PLC0415 - asyncpg is an extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"store.postgres needs {error.name}, which is not installed: pip install 'remediator[postgres]'"
        ) from error
    sharing = Sharing(
        worker,
        lease=timedelta(seconds=postgres.lease_seconds),
        allow_async=postgres.allow_async,
        wake=bell.ring,
        failed_over=_say_failed_over,
        told_commit=metrics.committed,
    )
    return await PostgresStore.open(Address(postgres.url, postgres.password_file), clock, sharing)


def _say_failed_over(before: int, after: int) -> None:
    structlog.get_logger().error(
        "the database has failed over: without a synchronous standby, alerts and steps that were acknowledged may be"
        " gone; runs in hand are looked at anew",
        timeline_before=before,
        timeline=after,
    )


def journal_told(settings: Settings) -> dict[str, str]:
    """For the log line of a start: which journal it is."""
    return {"journal": "postgresql"} if settings.store.postgres else {"journal": f"sqlite {sqlite3.sqlite_version}"}
