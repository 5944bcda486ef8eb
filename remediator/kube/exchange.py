"""
The nouns of one HTTP exchange: what is asked, the call that asks it, and what came back.

Plain values; nothing here sends or judges.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

MIB = 1024 * 1024
LARGEST_ANSWER = 64 * MIB
LARGEST_REFUSAL = MIB


@dataclass(frozen=True)
class Asked:
    """What is being asked, for people and for judging the answer."""

    verb: str
    plural: str
    about: str
    writes: bool = False

    @property
    def doing(self) -> str:
        return f"{self.verb} {self.about}"


@dataclass(frozen=True)
class Call:
    """One request: `target` is the path with its query, already checked and encoded."""

    method: str
    target: str
    body: bytes | None = None
    content_type: str = "application/json"
    max_bytes: int = LARGEST_ANSWER
    cut: bool = False
    """Beyond `max_bytes`, keep the beginning instead of giving up."""
    leave_by: float = math.inf
    """Monotonic seconds after which its first byte may not leave any more, however long a connection took."""


@dataclass(frozen=True)
class Answer:
    """One whole HTTP answer."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case."""

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Stream:
    """An answer that is still arriving. A refusal has arrived whole, and `chunks` then gives nothing."""

    answer: Answer
    chunks: AsyncIterator[bytes] = field(repr=False)


class NoAnswer(Exception):
    """No whole answer came. `sent` is False only where the request certainly never left."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent
