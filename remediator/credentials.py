"""
Who may come in: secrets kept in files, and the check of an `Authorization` header against them.

In: paths and a header. Out: accepted, refused, or unknown where a secret's file cannot be read just now. A secret is
never printed, never taken from anywhere but a file, and always compared in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from remediator.model.errors import ConfigError

SHORTEST = 32
"""Bytes; shorter secrets can be guessed at the rate a webhook answers."""
LONGEST = 4096
"""Bytes; a longer file is something else, mounted at the wrong place."""


class Secret:
    """Bytes that do not show themselves: not in a message, a log line or a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    __str__ = __repr__

    def is_same(self, presented: bytes) -> bool:
        """In a time that does not depend on where the two differ."""
        return hmac.compare_digest(self._value, presented)


class SecretFile:
    """A secret as its file has it now: read again whenever the file has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._secret: Secret | None = None

    def __repr__(self) -> str:
        return f"SecretFile({str(self.path)!r})"

    def read(self) -> Secret:
        """The secret. Raises ConfigError when there is none to be had."""
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if self._secret is None or stamp != self._stamp:
                self._secret, self._stamp = None, None
                self._secret, self._stamp = self._load(), stamp
        except OSError as problem:
            self._secret = None
            raise ConfigError(
                f"{self.path}: cannot be read ({problem.strerror}); mount the secret there, readable"
            ) from problem
        return self._secret

    def _load(self) -> Secret:
        with self.path.open("rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise ConfigError(f"{self.path}: longer than {LONGEST} bytes; put the secret alone into the file")
        value = content[:-1] if content.endswith(b"\n") else content
        if len(value) < SHORTEST:
            raise ConfigError(
                f"{self.path}: {len(value)} bytes, at least {SHORTEST} are needed; "
                f"`openssl rand -hex 32` makes a good secret"
            )
        return Secret(value)


class Entry(StrEnum):
    """What the door says to a header."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """Nothing readable fits, and one secret cannot be read: neither a yes nor a final no."""


@dataclass(frozen=True)
class Credentials:
    """
    Every secret that opens one door. Without any, the door stays shut.

    All are valid at once, so a secret is rotated by adding the new one, moving the senders, removing the old one.
    """

    bearer: tuple[SecretFile, ...] = ()
    username: str = ""
    passwords: tuple[SecretFile, ...] = field(default=())

    @classmethod
    def from_files(
        cls, bearer: Sequence[Path] = (), *, username: str = "", passwords: Sequence[Path] = ()
    ) -> Credentials:
        return cls(tuple(map(SecretFile, bearer)), username, tuple(map(SecretFile, passwords)))

    @property
    def challenge(self) -> str:
        """The value of `WWW-Authenticate`."""
        if self.passwords and not self.bearer:
            return 'Basic realm="remediator", charset="UTF-8"'
        return 'Bearer realm="remediator"'

    def problems(self) -> list[str]:
        """What is wrong with the files just now."""
        found = []
        for file in (*self.bearer, *self.passwords):
            try:
                file.read()
            except ConfigError as problem:
                found.append(str(problem))
        return found

    def check(self, headers: Sequence[str]) -> Entry:
        """Judge all `Authorization` headers of a request: there must be exactly one."""
        if len(headers) != 1:
            return Entry.REFUSED
        scheme, _, presented = headers[0].partition(" ")
        value = presented.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() == "bearer" and value:
            return _compare(self.bearer, value)
        if scheme.lower() == "basic":
            return self._check_basic(value)
        return Entry.REFUSED

    def _check_basic(self, encoded: bytes) -> Entry:
        try:
            username, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
        except binascii.Error:
            return Entry.REFUSED
        is_user = hmac.compare_digest(username, self.username.encode())
        entry = _compare(self.passwords, password)
        return entry if is_user and colon else Entry.REFUSED


def _compare(files: Sequence[SecretFile], presented: bytes) -> Entry:
    """Against every secret, whether or not an earlier one fits, so that the time says nothing."""
    entry = Entry.REFUSED
    for file in files:
        try:
            same = file.read().is_same(presented)
        except ConfigError:
            entry = Entry.UNKNOWN if entry is Entry.REFUSED else entry
        else:
            entry = Entry.ACCEPTED if same else entry
    return entry
