"""A port for the tests of the web's routes."""

from __future__ import annotations

import os
import socket

import pytest


@pytest.fixture
def free_port() -> int:
    """A port that is free and that no outgoing connection can hold."""
    for port in range(26000 + os.getpid() % 5000, 32000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port below 32000")
