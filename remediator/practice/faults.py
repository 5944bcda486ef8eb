"""
Name what a client did and what shall go wrong with its next request.

In: tests put faults on a server's list. Out: the record of every request, whatever became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Answer = int | Literal["hang", "reset", "applied_then_reset"]


@dataclass(frozen=True)
class SeenRequest:
    """One request. `code` is what was answered; 0 when the connection was cut or left hanging."""

    at: datetime
    verb: str
    method: str
    path: str
    query: Mapping[str, str]
    resource: str
    subresource: str
    namespace: str
    name: str
    body: Any
    content_type: str
    dry_run: bool
    code: int = 0

    @property
    def is_write(self) -> bool:
        return self.verb in ("create", "update", "patch", "delete", "deletecollection")


@dataclass
class Fault:
    """
    Spoil the next `times` requests that match.

    A number is answered instead of acting; `hang` never answers; `reset` cuts the connection without acting;
    `applied_then_reset` acts and then cuts it.
    """

    match: Callable[[SeenRequest], bool]
    answer: Answer
    times: int = 1
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
