"""The schema of the journal in PostgreSQL: made once, by one, and never used by who does not know it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from remediator.model.errors import ConfigError
from tests.postgres.journals import RUNS, journal, runs, told
from tests.postgres.server import Database

pytestmark = pytest.mark.real("postgres")
ROLE = "clerk"


async def test_ten_replicas_that_start_at_once_make_one_schema(postgres_database: Database) -> None:
    """Each waits for the one that is at it, and all work."""
    async with AsyncExitStack() as stack:
        starting = (stack.enter_async_context(journal(postgres_database.url)) for _ in range(10))
        stores = await asyncio.gather(*starting)
        assert all(await asyncio.gather(*(told(store, f"run-{n}") for n, store in enumerate(stores))))

    assert len(runs(postgres_database.sql(RUNS))) == 10


async def test_a_migration_that_is_interrupted_is_none(postgres_database: Database) -> None:
    """A statement in the middle fails: no table is left, and the next start makes all of them."""
    postgres_database.sql("CREATE TABLE audit (mine int)")
    with pytest.raises(Exception, match="already exists"):
        async with journal(postgres_database.url):
            pass
    left = postgres_database.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    postgres_database.sql("DROP TABLE audit")

    async with journal(postgres_database.url) as store:
        assert await told(store, "run-1")
    assert left == "audit"


async def test_a_schema_of_the_future_is_refused(postgres_database: Database) -> None:
    """Where it says that we cannot use it; nothing is changed."""
    async with journal(postgres_database.url):
        pass
    postgres_database.sql("UPDATE schema_version SET version = 8, usable_from = 7")

    with pytest.raises(ConfigError, match="has schema 8, which needs a Remediator that knows schema 7"):
        async with journal(postgres_database.url):
            pass


async def test_a_newer_schema_that_only_adds_is_used(postgres_database: Database) -> None:
    """While replicas are replaced one by one, the old ones go on."""
    async with journal(postgres_database.url):
        pass
    postgres_database.sql(
        "UPDATE schema_version SET version = 2, usable_from = 1", "ALTER TABLE runs ADD COLUMN colour text"
    )

    async with journal(postgres_database.url) as store:
        assert await told(store, "run-1")
    assert postgres_database.sql("SELECT version FROM schema_version") == "2"


async def test_a_role_that_may_change_no_table_is_enough_at_run_time(postgres_database: Database) -> None:
    """It cannot make the schema, and is told who can; once that is there, rights to rows are all it needs."""
    database = postgres_database
    url = database.url.replace("//postgres:", f"//{ROLE}:")
    database.sql(
        f"DROP ROLE IF EXISTS {ROLE}",
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{database.server.password}'",
        f"GRANT CONNECT ON DATABASE {database.name} TO {ROLE}",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    )
    try:
        with pytest.raises(ConfigError, match="Start this version once with the role that owns the tables"):
            async with journal(url):
                pass
        async with journal(database.url):
            pass
        database.sql(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}",
            f"REVOKE UPDATE, DELETE ON audit FROM {ROLE}",
            f"REVOKE INSERT, UPDATE, DELETE ON schema_version FROM {ROLE}",
        )
        async with journal(url) as store:
            assert await told(store, "run-1")
            assert len(await store.claim(1)) == 1
    finally:
        database.sql(f"DROP OWNED BY {ROLE}", f"DROP ROLE {ROLE}")
