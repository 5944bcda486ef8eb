"""
Who carries out what the journal is asked: by threads in the service, at once where nothing may run in a thread.

Types only.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

from remediator.store.sqlite.groups import Operation

T = TypeVar("T")


class Writing(Protocol):
    def submit(self, operation: Operation[T], *, is_vital: bool = False) -> asyncio.Future[T]:
        """The answer comes after the commit, whoever still waits for it."""
        ...

    async def do(self, operation: Operation[T], *, is_vital: bool = False) -> T: ...

    async def close(self) -> None: ...


class Reading(Protocol):
    async def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """From one snapshot that holds every commit made before the question was asked."""
        ...

    async def close(self) -> None: ...
