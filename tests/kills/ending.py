"""
End this process at the place it was ordered to, with a real SIGKILL.

In: an order, and the places as the process comes by them. Out: word through a pipe, and the end; or nothing at all.
It changes nothing of what passes by: it stands between the service and its store, listens as an observer, and watches
the statements of SQLite as a debugger would.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from types import FrameType
from typing import Any

from remediator.model.reports import Report
from tests.kills.points import Order

_INSIDE = ("INSERT", "UPDATE", "DELETE")


class End:
    """Where the process ends; without an order, nowhere."""

    def __init__(self, order: Order | None, life: str, pipe: int, only: str = "") -> None:
        self._order, self._life, self._pipe, self._only = order, life, pipe, only
        self._seen = 0
        self._is_ready = False
        self._is_told_to_end = False

    def is_at(self, *beginnings: str) -> bool:
        """Whether the place of the order begins like one of these."""
        return self._order is not None and self._order.place.startswith(beginnings)

    def at(self, place: str, mill: str = "") -> None:
        """The process is at this place; perhaps it goes no further."""
        order = self._order
        if order is None or (self._only and mill != self._only):
            return
        if order.term and not self._is_told_to_end:
            if place == order.term and self._is_ready:
                self._is_told_to_end = True
                os.kill(os.getpid(), signal.SIGTERM)
            return
        if place == order.place:
            self._seen += 1
            if self._seen == order.nth:
                self._die(order)

    def ready(self) -> None:
        """The service listens, and would end in order if it were told to."""
        self._is_ready = True
        self._say(what="ready")

    def _say(self, **told: str) -> None:
        os.write(self._pipe, json.dumps({"life": self._life, **told}).encode() + b"\n")

    def _die(self, order: Order) -> None:
        self._say(what="killed", at=order.point)
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # in another thread the end may take a moment

    def told(self, report: Report) -> None:
        """An observer of the service."""
        self.at(f"told.{type(report).__name__}", report.run.labels.get("mill", ""))


class Statements:
    """
    Sees every statement of SQLite right before it runs, and each COMMIT right after.

    A profile function is how a thread can be watched without a word to the code it runs: it finds the connections.
    """

    def __init__(self, end: End, transactions: list[str]) -> None:
        self._end, self._waiting = end, transactions
        self._current: list[str] = []
        self._committing = 0
        """The thread in which a COMMIT is under way."""
        self._traced: dict[int, sqlite3.Connection] = {}
        self.is_opening = True

    def watch(self) -> None:
        """Every thread that is started from now on."""
        threading.setprofile(self._profile)

    def _profile(self, _: FrameType, event: str, about: Any) -> None:
        if event == "c_call":
            db = getattr(about, "__self__", None)
            if isinstance(db, sqlite3.Connection) and id(db) not in self._traced:
                self._traced[id(db)] = db
                db.set_trace_callback(self._begins)
        elif event == "c_return" and self._committing == threading.get_ident():
            self._committing = 0
            self._all("committed")

    def _begins(self, statement: str) -> None:
        word = statement.lstrip()[:6].upper()
        if self.is_opening:
            self._end.at("open")
        elif word == "BEGIN ":
            self._current = list(self._waiting)
        elif word in _INSIDE:
            self._all("inside")
        elif word == "COMMIT":
            self._all("commit")
            self._committing = threading.get_ident()
        elif "wal_checkpoint" in statement:
            self._end.at("close.checkpoint")

    def _all(self, phase: str) -> None:
        for name in self._current:
            self._end.at(f"{name}.{phase}")
