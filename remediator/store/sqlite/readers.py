"""
Reading connections in threads of their own, so that a long list does not delay a commit.

In: questions, each a function of a connection. Out: answers from one snapshot that holds every commit made before
the question was asked.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from remediator.model.errors import StoreUnavailable
from remediator.store.sqlite.groups import unavailable
from remediator.store.sqlite.opening import read_connection

T = TypeVar("T")
READERS = 2


class Readers:
    """A few connections that can neither write nor checkpoint."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix=f"journal reader {path.name}")
        self._is_open = True

    def connect(self) -> None:
        for _ in range(READERS):
            self._idle.put(read_connection(self._path))

    async def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        if not self._is_open:
            raise StoreUnavailable(f"the journal {self._path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, question)

    def _answer(self, question: Callable[[sqlite3.Connection], T]) -> T:
        db = self._idle.get()
        try:
            db.execute("BEGIN")
            return question(db)
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error
        finally:
            if db.in_transaction:
                db.rollback()
            self._idle.put(db)

    async def close(self) -> None:
        """Answer what was asked, then close the connections. May be called twice."""
        self._is_open = False
        await asyncio.to_thread(self._threads.shutdown)
        while not self._idle.empty():
            self._idle.get().close()
