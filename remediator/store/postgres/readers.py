"""
A few connections that ask, so that a long list does not delay a commit.

In: statements that are each whole by themselves. Out: rows from a snapshot that has every commit made before. A
connection that turns out dead is replaced and the statement sent once more, so it must be one that can be.
"""

from __future__ import annotations

import asyncio

import asyncpg

from remediator.model.errors import StoreUnavailable
from remediator.store.postgres.address import FOREIGN, unavailable
from remediator.store.postgres.connecting import Connection, Door, hang_up


class Readers:
    def __init__(self, door: Door, size: int) -> None:
        self._door = door
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(size)
        self._is_open = True

    async def ask(self, query: str, *values: object) -> list[asyncpg.Record]:
        if not self._is_open:
            raise StoreUnavailable(f"the journal {self._door.address.name} is closed")
        async with self._room:
            if self._idle:
                try:
                    return await self._asked(self._idle.pop(), query, values)
                except FOREIGN as error:
                    if not _is_gone(error):
                        raise unavailable(self._door.address, error, "nothing was read") from error
            try:
                return await self._asked(await self._door.connect(), query, values)
            except FOREIGN as error:
                raise unavailable(self._door.address, error, "nothing was read") from error

    async def _asked(self, connection: Connection, query: str, values: tuple[object, ...]) -> list[asyncpg.Record]:
        is_good = False
        try:
            rows = await connection.fetch(query, *values)
            is_good = True
        except asyncpg.PostgresError:
            is_good = not connection.is_closed()
            raise
        finally:
            if is_good and self._is_open and self._door.is_current(connection):
                self._idle.append(connection)
            else:
                connection.terminate()
        return rows

    async def close(self) -> None:
        self._is_open = False
        while self._idle:
            await hang_up(self._idle.pop())


def _is_gone(error: BaseException) -> bool:
    """Whether the connection was at fault, rather than the statement."""
    is_ours = isinstance(error, asyncpg.PostgresConnectionError | asyncpg.OperatorInterventionError)
    return is_ours or not isinstance(error, asyncpg.PostgresError | TimeoutError)
