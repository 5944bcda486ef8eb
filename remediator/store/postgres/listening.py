"""
Hear that something may be due, which another replica has filed.

In: notifications of the database. Out: a wake-up. It is a hint and no more: what is not heard is found by the worker's
own poll, so a lost connection is no error, only made anew, ever more slowly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from remediator.model.errors import StoreUnavailable
from remediator.store.postgres.address import FOREIGN
from remediator.store.postgres.connecting import Connection, Door
from remediator.store.postgres.trail import CHANNEL

PROBE_SECONDS = 10.0
"""A connection that nobody uses is asked this often whether it is still there."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 15.0


class Listener:
    """Its own connection and its own task, from the start to `close`."""

    def __init__(self, door: Door, wake: Callable[[], None]) -> None:
        self._door, self._wake = door, wake
        self._is_closing = asyncio.Event()
        self._task = asyncio.create_task(self._listen(), name=f"listening to {door.address.name}")

    async def close(self) -> None:
        self._is_closing.set()
        await asyncio.wait({self._task})

    async def _listen(self) -> None:
        pause = FIRST_PAUSE
        while not self._is_closing.is_set():
            try:
                connection = await self._door.connect()
            except StoreUnavailable:
                await self._wait(self._is_closing, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE
            try:
                await self._hear(connection)
            except FOREIGN:
                await self._wait(self._is_closing, pause)
            finally:
                connection.terminate()

    async def _hear(self, connection: Connection) -> None:
        """Until it is lost or we close."""
        over = asyncio.Event()
        connection.add_termination_listener(lambda *_: over.set())
        await connection.add_listener(CHANNEL, lambda *_: self._wake())
        self._wake()  # for what was said while nobody listened
        closing = asyncio.ensure_future(self._is_closing.wait())
        closing.add_done_callback(lambda _: over.set())
        try:
            while not over.is_set():
                if not await self._wait(over, PROBE_SECONDS):
                    await connection.execute("SELECT 1")
        finally:
            closing.cancel()
            await asyncio.wait({closing})

    @staticmethod
    async def _wait(event: asyncio.Event, seconds: float) -> bool:
        """Whether it came in time."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        return True
