"""
Commit, and find out what became of a commit whose answer was lost.

In: a connection with a transaction that has its number in it. Out: nothing, once it is durable; InDoubt where nobody
answered. We never cancel a commit: the server would stop waiting for its standby and call that success. Where somebody
else does, its warning is heard.
"""

from __future__ import annotations

import asyncio

import asyncpg

from remediator.model.errors import StoreUnavailable
from remediator.store.postgres.address import FOREIGN
from remediator.store.postgres.connecting import Connection, Door, hang_up

COMMIT_SECONDS = 5.0
DOUBT_SECONDS = 5.0
AGAIN_SECONDS = 0.05
_NEVER = 86_400.0
_NUMBER = """
    INSERT INTO writers (worker, number, seen_at) VALUES ($1, 0, clock_timestamp())
    ON CONFLICT (worker) DO UPDATE SET seen_at = excluded.seen_at RETURNING number
"""


class InDoubt(Exception):
    """The answer to COMMIT was lost. `number`: the transaction's, None where it had written nothing."""

    def __init__(self, cause: BaseException, number: int | None) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.number = number


class OnOneServer(Exception):
    """Committed, but somebody ended the wait for the standby: a failover may lose it."""


async def commit(connection: Connection, number: int | None) -> None:
    """Raises InDoubt, OnOneServer."""
    warnings: list[str] = []

    def hear(_: object, message: asyncpg.PostgresLogMessage) -> None:
        if message.severity_en == "WARNING":
            warnings.append(str(message))

    connection.add_log_listener(hear)
    try:
        await _commit(connection, number)
    finally:
        if not connection.is_closed():
            connection.remove_log_listener(hear)
    if warnings:
        raise OnOneServer("; ".join(warnings))


async def _commit(connection: Connection, number: int | None) -> None:
    committing = asyncio.ensure_future(connection.execute("COMMIT", timeout=_NEVER))
    try:
        done, _ = await asyncio.wait({committing}, timeout=COMMIT_SECONDS)
        if not done:
            raise InDoubt(TimeoutError(f"no answer to COMMIT within {COMMIT_SECONDS:g} s"), number)
        try:
            committing.result()
        except FOREIGN as error:
            raise InDoubt(error, number) from error
    finally:
        if not committing.done():
            connection.terminate()
            await asyncio.wait({committing})
            committing.exception()


async def was_committed(door: Door, worker: str, number: int) -> bool | None:
    """Whether that transaction of this worker is stored; None: it could not be found out in time."""
    try:
        async with asyncio.timeout(DOUBT_SECONDS):
            while True:
                try:
                    return await _has_reached(door, worker, number)
                except (StoreUnavailable, *FOREIGN):
                    await asyncio.sleep(AGAIN_SECONDS)
    except TimeoutError:
        return None


async def _has_reached(door: Door, worker: str, number: int) -> bool:
    connection = await door.connect()
    try:
        # Waits for the old session where it is still at it, be the row its very first: before that there is no answer.
        stored: int = await connection.fetchval(_NUMBER, worker)
    finally:
        await hang_up(connection)
    return stored >= number
