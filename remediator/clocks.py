"""
The clock of a real process, and one that runs faster for rehearsals.

In: a speed. Out: a `Clock`. Wall time is read once a call from the system; monotonic time never goes backwards.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class FastClock:
    """Starts at the real time and runs `speed` times as fast, for a rehearsal that need not last."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._start = datetime.now(UTC)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (time.monotonic() - self._began) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self._speed)


def new_id(word: str) -> str:
    """`run-0192f3c1a2b4-9f3e1c07`: sortable by the time it was made, unique by 32 random bits in a millisecond."""
    return f"{word}-{time.time_ns() // 1_000_000:012x}-{_random_word()}"


_words: list[str] = []


def _random_word() -> str:
    """Eight hex digits from the kernel, fetched by the thousand: asking it costs more than all the rest of an id."""
    while True:
        try:
            return _words.pop()
        except IndexError:
            digits = secrets.token_hex(4 * 1024)
            _words.extend(digits[start : start + 8] for start in range(0, len(digits), 8))
