"""
Wire the rooms together, run them, and end them in order. The only package that knows the rooms.

In: settings, a clock, a source of ids. Out: a running service whose ports are known, until the caller leaves. It
holds no logic of a room: what it adds is who is handed to whom, and in which order things begin and end.
"""

from remediator.app.accepting import accept
from remediator.app.serving import serve
from remediator.app.state import Service
from remediator.app.wiring import service

__all__ = ["Service", "accept", "serve", "service"]
