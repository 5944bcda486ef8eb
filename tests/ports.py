"""
Ports for servers of tests: on loopback, free, and below those that the kernel gives to outgoing connections.

It asks the kernel and holds nothing: between the answer and the server's own start somebody else may take the port, so
the place is drawn by lot.
"""

from __future__ import annotations

import secrets
import socket

FIRST, LAST = 20_000, 32_000


def free_port() -> int:
    for _ in range(200):
        port = FIRST + secrets.randbelow(LAST - FIRST)
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port between {FIRST} and {LAST}")
