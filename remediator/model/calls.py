"""
What is asked of the outside and what comes back: log text, calls to a system's own API, backup files.

A read and a write are different types, so a view cannot be handed a write by mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from remediator.model.objects import ObjectRef


@dataclass(frozen=True)
class LogText:
    """A container's log tail. `available` is False when the answer was 200 but no log could be read."""

    text: str
    available: bool = True


@dataclass(frozen=True)
class ReadCall:
    """A request that changes nothing, declared by a system. POST is allowed: etcd reads with it."""

    method: Literal["GET", "POST"]
    path: str
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class WriteCall:
    """A request that changes the system, declared by a system."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: str
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Door:
    """Where a live pod answers: never built from alert text. `scheme` is http or https."""

    pod: ObjectRef
    address: str
    port: int
    scheme: str = "http"


@dataclass(frozen=True)
class Reply:
    status: int
    json: Any
    """Parsed body, or None where it was not JSON."""
    text: str = ""


@dataclass(frozen=True)
class BackupRecord:
    """A file this run owns: where it is, how long, and what it hashes to."""

    path: str
    size: int
    sha256: str
