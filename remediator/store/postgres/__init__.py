"""
The journal in a PostgreSQL database, for several replicas at once.

`PostgresStore` is all that others need; how the database is reached, written and read is in the modules beside it.
This package alone knows asyncpg, which is an extra: import it only where a database is configured.
"""

from remediator.store.postgres.address import Address
from remediator.store.postgres.engine import PostgresStore, Sharing

__all__ = ["Address", "PostgresStore", "Sharing"]
