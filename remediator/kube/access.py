"""
How to reach one API server, and what is told about every request to it.

Plain values. Opens no file and no connection, and holds no secret: only where the secret is read from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from remediator.model.errors import ConfigError

DEFAULT_TIMEOUT = 10.0


@dataclass(frozen=True)
class KubeAccess:
    """
    Exactly one of: `in_cluster`, a `server` with an optional token file, or a kubeconfig (the default one if "").

    A token file is read again for every request, so a rotated token is used at once.
    """

    kubeconfig: str = ""
    context: str = ""
    in_cluster: bool = False
    server: str = ""
    token_file: str = ""
    ca_file: str = ""
    request_timeout: float = DEFAULT_TIMEOUT
    """Seconds that one request may take in all. A whole list may take six times as long."""

    def __post_init__(self) -> None:
        ways = [bool(self.in_cluster), bool(self.server), bool(self.kubeconfig or self.context)]
        if sum(ways) > 1:
            raise ConfigError("cluster access names more than one of in_cluster, server and kubeconfig; keep one")
        if (self.token_file or self.ca_file) and not self.server:
            raise ConfigError("cluster access has a token_file or ca_file without a server; name the server")
        if not (math.isfinite(self.request_timeout) and self.request_timeout > 0):
            raise ConfigError(f"cluster request_timeout is {self.request_timeout}; give a number of seconds above 0")


@dataclass(frozen=True)
class KubeAsked:
    """One request that was made: `code` is the HTTP status as text, or `no_answer`."""

    verb: str
    resource: str
    code: str
    seconds: float
