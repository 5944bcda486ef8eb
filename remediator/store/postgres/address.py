"""
Where the database is, and the house's words for what goes wrong there.

In: a URL, and where its password is. Out: what a connection takes, a name for messages that never has a password in
it, and StoreUnavailable for every error of asyncpg.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from remediator.model.errors import StoreUnavailable

FOREIGN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""Everything that asyncpg raises: a killed server is a PostgresError, one that is shut down an InternalClientError."""
NOTHING_STORED = "nothing of this call is stored"
MAYBE_STORED = "whether this call is stored is not known; read before you repeat it"


@dataclass(frozen=True)
class Address:
    """`postgresql://user@host:port/database`, and the file with the password."""

    url: str
    password_file: Path | None = None

    @property
    def name(self) -> str:
        """Host, port and database, for people."""
        parts = urlsplit(self.url)
        return f"{parts.netloc.rpartition('@')[2] or 'localhost'}{parts.path}"

    def password(self) -> str | None:
        """Read anew for each connection, so that it can be rotated; None: the URL's own, or none at all."""
        if self.password_file is None:
            return None
        try:
            return self.password_file.read_text("utf-8").removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise StoreUnavailable(
                f"the password of the database {self.name} cannot be read from {self.password_file}: {error}"
            ) from error


def unavailable(address: Address, error: BaseException, stored: str = NOTHING_STORED) -> StoreUnavailable:
    """The house's error for one of asyncpg's, chained to it."""
    told = StoreUnavailable(
        f"the database {address.name} failed: {_words(error)} ({type(error).__name__}); {stored}. "
        "Look at its log and at the way to it, then try again."
    )
    told.__cause__ = error
    return told


def _words(error: BaseException) -> str:
    return str(error) or "no answer in time"
