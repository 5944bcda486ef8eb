"""
What the audit trail says must be in the journal.

In: its records, in order. Out: for each run that is not forgotten, what was decided, told and tried; the switches as
they were thrown; and every record that tells what cannot be. Pure, and it believes the trail: whether that is whole is
another question.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from remediator.model.ledger import AuditKind, AuditRecord
from remediator.model.runs import FINAL, RunState
from remediator.store.rows import encode

MOVE_PARTS = ("before", "event", "after", "reason", "detail")


class Said(NamedTuple):
    """One record's own words."""

    seq: int
    at: str
    body: Mapping[str, Any]


@dataclass
class Attempt:
    """One attempt of a step."""

    intent: Said
    outcome: Said | None = None


@dataclass
class ToldRun:
    """What the trail tells of one run."""

    admitted: int
    """The record of its admission."""
    moves: int = 0
    history: bytes = b""
    """Every move so far, as one hash."""
    last: Said | None = None
    """The last move."""
    started: Said | None = None
    attempts: dict[tuple[int, int], Attempt] = field(default_factory=dict)
    """By step and attempt."""
    signals: dict[tuple[str, str], Said] = field(default_factory=dict)
    """By name and plan."""

    @property
    def state(self) -> str:
        return str(self.last.body["after"]) if self.last else "pending"


def with_move(history: bytes, parts: Mapping[str, Any]) -> bytes:
    """The hash of a history with one move more."""
    return hashlib.sha256(history + encode([parts[name] for name in MOVE_PARTS]).encode()).digest()


class Unbelievable(Exception):
    """A record tells what cannot be."""


class Account:
    """The trail's records, heard in order."""

    def __init__(self) -> None:
        self.runs: dict[str, ToldRun] = {}
        self.forgotten: dict[str, int] = {}
        """Runs, and the record that says so."""
        self.starts: dict[str, Said] = {}
        """Of forgotten runs too: a start counts longer than its run is kept."""
        self.switches: list[Said] = []
        self.deliveries: Counter[str] = Counter()
        """By the hash of what was received."""
        self.latest = ""
        """The latest time of any record, as text."""
        self._hear: Mapping[str, Callable[[Said], None]] = {
            AuditKind.DELIVERY: self._delivery,
            AuditKind.MOVE: self._move,
            AuditKind.START: self._start,
            AuditKind.INTENT: self._intent,
            AuditKind.OUTCOME: self._outcome,
            AuditKind.SIGNAL: self._signal,
            AuditKind.SWITCH: self.switches.append,
            AuditKind.FORGOTTEN: self._forgotten,
            AuditKind.RULES: lambda _: None,
            AuditKind.ACCEPTED: lambda _: None,
        }

    def hear(self, record: AuditRecord) -> Iterator[str]:
        """Answers what is wrong with the record by itself or after those before it."""
        self.latest = max(self.latest, record.at)
        hear = self._hear.get(record.kind)
        if hear is None:
            yield f"record {record.seq} is of the kind {record.kind[:40]!r}, which this version does not know"
            return
        try:
            hear(Said(record.seq, record.at, _object(record.body)))
        except Unbelievable as problem:
            yield f"record {record.seq} ({record.kind}) {problem}"
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
            yield f"record {record.seq} ({record.kind}) does not say what a record of its kind says"

    def _run(self, said: Said) -> ToldRun:
        run_id = str(said.body["run"])
        if run_id not in self.runs:
            gone = (
                f"record {self.forgotten[run_id]} forgot" if run_id in self.forgotten else "no record before admitted"
            )
            raise Unbelievable(f"tells of run {run_id}, which {gone}")
        return self.runs[run_id]

    def _delivery(self, said: Said) -> None:
        self.deliveries[str(said.body["sha256"])] += 1
        for run_id in said.body["admitted"]:
            if run_id in self.runs or run_id in self.forgotten:
                raise Unbelievable(f"admits run {run_id} a second time")
            self.runs[run_id] = ToldRun(said.seq)

    def _move(self, said: Said) -> None:
        run = self._run(said)
        run.history = with_move(run.history, said.body)
        run.moves += 1
        run.last = said

    def _start(self, said: Said) -> None:
        run = self._run(said)
        if said.body["verdict"] != "allow":
            return
        if run.started:
            raise Unbelievable(f"starts run {said.body['run']} a second time, after record {run.started.seq}")
        run.started = self.starts[str(said.body["run"])] = said

    def _intent(self, said: Said) -> None:
        attempts, key = self._run(said).attempts, _attempt(said)
        if key in attempts:
            raise Unbelievable(f"tells of the attempt that record {attempts[key].intent.seq} told of")
        attempts[key] = Attempt(said)

    def _outcome(self, said: Said) -> None:
        attempt = self._run(said).attempts.get(_attempt(said))
        if attempt is None:
            raise Unbelievable("tells what became of an attempt that no record before it tells of")
        if attempt.outcome:
            raise Unbelievable(f"tells again what became of an attempt, after record {attempt.outcome.seq}")
        attempt.outcome = said

    def _signal(self, said: Said) -> None:
        signals, key = self._run(said).signals, (str(said.body["name"]), str(said.body["plan"]))
        if key in signals:
            raise Unbelievable(f"tells again what record {signals[key].seq} told")
        signals[key] = said

    def _forgotten(self, said: Said) -> None:
        if said.body["what"] != "runs":
            return
        gone = {run_id: self.runs.pop(run_id, None) for run_id in said.body["ids"]}
        self.forgotten |= dict.fromkeys(gone, said.seq)
        for run_id, run in gone.items():
            if run is None:
                raise Unbelievable(f"forgets run {run_id}, which is not there to be forgotten")
            if RunState(run.state) not in FINAL:
                raise Unbelievable(f"forgets run {run_id}, which had not ended")


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError(text[:40])
    return value


def _attempt(said: Said) -> tuple[int, int]:
    return int(said.body["seq"]), int(said.body["attempt"])
