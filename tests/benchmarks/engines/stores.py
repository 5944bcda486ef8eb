"""
The service's two stores, opened by URL.

In: `sqlite:///PATH` or `postgresql://…`. Out: an open `RunStore`, closed when its user leaves. Raises `Missing` where
this installation has no such store.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from remediator.clocks import SystemClock, new_id
from remediator.model.seams import RunStore
from remediator.store.sqlite import SQLiteStore

POSTGRES = "remediator.store.postgres"


class Missing(Exception):
    """This cannot be measured here; the text says what is not there."""


@asynccontextmanager
async def store_at(url: str) -> AsyncIterator[RunStore]:
    store = await _open(url)
    try:
        yield store
    finally:
        await store.close()


async def _open(url: str) -> RunStore:
    clock = SystemClock()
    if url.startswith("sqlite:"):
        return await SQLiteStore.open(Path(url.removeprefix("sqlite:///")), clock)
    postgres = _postgres()
    return await postgres.PostgresStore.open(postgres.Address(url), clock, postgres.Sharing(new_id("worker")))  # type: ignore[no-any-return]


def _postgres() -> Any:
    """Looked for by name, so that this module stands without it and without its driver."""
    try:
        return importlib.import_module(POSTGRES)
    except ModuleNotFoundError as error:
        raise Missing(f"there is no {error.name}") from error
