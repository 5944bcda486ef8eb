"""A witness in memory that a test can make forget, lie or refuse."""

from __future__ import annotations

import asyncio

from remediator.model.errors import StoreUnavailable
from remediator.model.witness import Mark


class FakeWitness:
    name = "witness of the test"

    def __init__(self, mark: Mark | None = None) -> None:
        self.mark = mark
        self.written: list[Mark] = []
        self.refuses = False

    async def read(self) -> Mark | None:
        return self.mark

    async def write(self, mark: Mark) -> None:
        await asyncio.sleep(0)
        if self.refuses:
            raise StoreUnavailable("the witness of the test refuses")
        self.mark = mark
        self.written.append(mark)
