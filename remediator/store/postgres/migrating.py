"""
Bring the database's schema up to date, or say why it cannot be used.

In: a connection that is used for nothing else. Out: a schema that this version knows, or ConfigError. Numbered scripts
only go forward, all of them in one transaction under one lock, so an interrupted migration is none. A schema that is
right is not touched: the role at run time needs no right to change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import asyncpg

from remediator.model.errors import ConfigError
from remediator.store.postgres.address import Address
from remediator.store.postgres.connecting import Connection

MIGRATING = 7_236_364
"""The advisory lock that one migration at a time has."""
PATIENCE_SECONDS = 300.0


def migrations() -> Sequence[str]:
    """The numbered scripts of this version, in order; script n makes schema n of schema n - 1."""
    folder = resources.files("remediator.store.postgres") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [f.read_text(encoding="utf-8") for f in files]


async def migrate(connection: Connection, address: Address) -> None:
    scripts = migrations()
    if await _is_usable(connection, address, len(scripts)):
        return
    # Another replica may be at it: the lock is waited for as long as a migration takes, and ends with the connection.
    # It is got before the transaction begins: one that has waited inside would not see the other's new tables.
    await connection.execute("SET lock_timeout = 0")
    await connection.execute("SELECT pg_advisory_lock($1)", MIGRATING, timeout=PATIENCE_SECONDS)
    try:
        async with connection.transaction():
            if not await _is_usable(connection, address, len(scripts)):
                for script in scripts[await _version(connection) :]:
                    await connection.execute(script, timeout=PATIENCE_SECONDS)
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(
            f"the database {address.name} needs a newer schema, and this role may not change it: {error}. Start this "
            "version once with the role that owns the tables (docs/how-to/run-several-replicas.md)."
        ) from error


async def _is_usable(connection: Connection, address: Address, known: int) -> bool:
    """Whether nothing needs to be done. Raises ConfigError for a schema that only a newer version may use."""
    version = await _version(connection)
    if version <= known:
        return version == known
    usable_from = await connection.fetchval("SELECT usable_from FROM schema_version")
    if usable_from > known:
        raise ConfigError(
            f"the database {address.name} has schema {version}, which needs a Remediator that knows schema "
            f"{usable_from}; this one knows {known}. Run the newer version."
        )
    return True


async def _version(connection: Connection) -> int:
    if await connection.fetchval("SELECT to_regclass('schema_version')") is None:
        return 0
    return int(await connection.fetchval("SELECT version FROM schema_version"))
