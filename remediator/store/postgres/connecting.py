"""
How each connection to the database begins: asked who answers, and refused where that is not our primary.

In: an address. Out: connections whose every statement ends in time. It remembers the newest timeline that it has seen:
a server of another cluster, of an older timeline or in recovery is StoreUnavailable, a newer timeline is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakKeyDictionary

import asyncpg

from remediator.model.errors import StoreUnavailable
from remediator.store.postgres.address import FOREIGN, Address, unavailable

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
FailedOver = Callable[[int, int], None]
"""Told the timeline before and after: what the old primary had acknowledged may be gone."""

CONNECT_SECONDS = 3.0
STATEMENT_SECONDS = 10.0
SESSION = {
    "application_name": "remediator",
    "timezone": "UTC",
    "lock_timeout": "3000",
    # A replica that was cut off or stopped in a transaction must not keep its locks from the others.
    "idle_in_transaction_session_timeout": "3000",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "8000",
    # A timeout of the server's would end the wait for a synchronous standby and report success all the same.
    "statement_timeout": "0",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
DURABLE = ("on", "remote_apply")
_WHO = """
    SELECT pg_is_in_recovery() AS is_standby,
        current_setting('transaction_read_only') = 'on' AS is_read_only,
        (SELECT system_identifier FROM pg_control_system()) AS cluster,
        CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('fsync') AS fsync,
        current_setting('synchronous_standby_names') AS synchronous_standbys,
        (SELECT count(*) FROM pg_stat_replication) AS standbys
"""


@dataclass(frozen=True)
class Server:
    """Who answered."""

    cluster: int
    timeline: int
    standbys: int
    is_synchronous: bool


class Door:
    """The one way to the database."""

    def __init__(self, address: Address, *, failed_over: FailedOver | None = None) -> None:
        self.address = address
        self.server: Server | None = None
        """The last one that was accepted."""
        self._failed_over = failed_over
        self._timelines: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()

    def is_current(self, connection: Connection) -> bool:
        """Whether it is open, and to the newest primary that any connection of ours has found."""
        newest = self.server.timeline if self.server else 0
        return not connection.is_closed() and self._timelines.get(connection) == newest

    async def connect(self) -> Connection:
        """A connection to our primary. Raises StoreUnavailable."""
        try:
            connection: Connection = await asyncpg.connect(
                self.address.url,
                password=self.address.password(),
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                server_settings=SESSION,
            )
        except (*FOREIGN, ValueError) as error:
            raise unavailable(self.address, error) from error
        try:
            self._timelines[connection] = self._accept(await connection.fetchrow(_WHO))
        except FOREIGN as error:
            connection.terminate()
            raise unavailable(self.address, error) from error
        except StoreUnavailable:
            connection.terminate()
            raise
        return connection

    def _accept(self, who: asyncpg.Record | None) -> int:
        """The timeline of a server that may be used."""
        name = self.address.name
        if who is None or who["is_standby"] or who["is_read_only"]:
            raise StoreUnavailable(f"the database {name} takes no writes: it is a standby; wait for its promotion")
        if who["synchronous_commit"] not in DURABLE or who["fsync"] != "on":
            raise StoreUnavailable(
                f"the database {name} has synchronous_commit = {who['synchronous_commit']} and fsync = {who['fsync']}, "
                "so what it acknowledges may be lost. Set both to on, for this role too."
            )
        server = Server(
            who["cluster"], int(who["timeline"], 16), who["standbys"], is_synchronous=bool(who["synchronous_standbys"])
        )
        before, self.server = self._checked(server), server
        if before is not None and before.timeline < server.timeline and self._failed_over is not None:
            self._failed_over(before.timeline, server.timeline)
        return server.timeline

    def _checked(self, server: Server) -> Server | None:
        """The one before, which this one may follow."""
        seen = self.server
        if seen is None:
            return None
        if seen.cluster != server.cluster:
            raise StoreUnavailable(
                f"another database answers as {self.address.name}: cluster {server.cluster}, not {seen.cluster}. "
                "Point store.postgres.url at the right one, or restart Remediator if the journal has moved."
            )
        if server.timeline < seen.timeline:
            raise StoreUnavailable(
                f"the database {self.address.name} is an old primary: timeline {server.timeline}, while timeline "
                f"{seen.timeline} has taken writes. Stop the old primary."
            )
        return seen


async def hang_up(connection: Connection) -> None:
    """In order where the server still listens."""
    try:
        await connection.close(timeout=1)
    except FOREIGN:
        connection.terminate()
