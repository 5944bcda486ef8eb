"""
The audit trail: what each transaction leaves in it, and how its records are chained.

In: what a transaction did. Out: notes; records whose hash covers the record before them; and, for a verifier, every
place where a chain is not what was written. Pure: no database, no clock. A record never holds a secret: no header and
no body of an alert is in one, only the hash of what was received.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from remediator.model.ledger import (
    AuditKind,
    AuditNote,
    AuditRecord,
    Delivery,
    Filed,
    Signal,
    StartRequest,
    Switch,
    Trace,
    Usage,
)
from remediator.model.runs import Run, StepRecord
from remediator.model.verdicts import Allow, Verdict
from remediator.store.rows import encode, maybe_moment, moment

BEGINNING = "0" * 64
"""What the first record is chained to."""


# --- what is recorded --------------------------------------------------------------------------------------


def of_delivery(delivery: Delivery, filed: Sequence[Filed]) -> AuditNote:
    """What became of a delivery: its runs, and the candidates and alerts that got none, with why."""
    told = {
        "sender": delivery.sender,
        "sha256": hashlib.sha256(delivery.body).hexdigest(),
        "admitted": [entry.run_id for entry in filed if entry.created],
        "refused": [[entry.rule, entry.episode, str(entry.reason)] for entry in filed if not entry.created],
        "resolved": [alert.episode for alert in delivery.resolved],
        "skipped": {str(reason): count for reason, count in sorted(delivery.skipped.items())},
    }
    return AuditNote(AuditKind.DELIVERY, told)


def of_move(run: Run, trace: Trace) -> AuditNote:
    told = {
        "run": run.id,
        "rule": run.rule,
        "revision": run.rule_revision,
        "target": str(run.target) if run.target else "",
        "plan": run.plan.digest if run.plan else "",
        **{name: value for name, value in vars(trace).items() if name != "at"},
    }
    return AuditNote(AuditKind.MOVE, told)


def of_start(request: StartRequest, usage: Usage, verdict: Verdict) -> AuditNote:
    """A start that was asked for in earnest, allowed or not, and what was known then."""
    told: dict[str, Any] = {
        "run": request.run.id,
        "target": request.target_key,
        "verdict": type(verdict).__name__.lower(),
        "starts": [
            len(usage.rule_starts),
            len(usage.target_starts),
            len(usage.namespace_starts),
            len(usage.global_starts),
        ],
    }
    if not isinstance(verdict, Allow):
        told |= {"reason": str(verdict.reason), "detail": verdict.detail}
    return AuditNote(AuditKind.START, told)


def of_intent(record: StepRecord) -> AuditNote:
    told = {**_attempt(record), "intent": dict(record.intent), "deadline": moment(record.deadline)}
    return AuditNote(AuditKind.INTENT, told)


def of_outcome(record: StepRecord) -> AuditNote:
    told = {
        **_attempt(record),
        "state": str(record.state),
        "by_probe": record.by_probe,
        "changed": record.changed,
        "detail": record.detail,
        "finished_at": maybe_moment(record.finished_at),
    }
    return AuditNote(AuditKind.OUTCOME, told)


def _attempt(record: StepRecord) -> Mapping[str, Any]:
    return {
        "run": record.run_id,
        "seq": record.seq,
        "attempt": record.attempt,
        "verb": record.verb,
        "effect": str(record.effect),
    }


def of_signal(signal: Signal) -> AuditNote:
    told = {"run": signal.run_id, "name": str(signal.name), "plan": signal.digest, "by": signal.by, "why": signal.why}
    return AuditNote(AuditKind.SIGNAL, told)


def of_switch(switch: Switch) -> AuditNote:
    told = {"name": switch.name, "on": switch.on, "by": switch.by, "why": switch.why}
    return AuditNote(AuditKind.SWITCH, told | ({"revision": switch.revision} if switch.revision else {}))


def of_forgotten(what: str, ids: Sequence[str]) -> AuditNote:
    return AuditNote(AuditKind.FORGOTTEN, {"what": what, "ids": list(ids)})


# --- the chain ---------------------------------------------------------------------------------------------


def chained(previous: AuditRecord | None, at: str, note: AuditNote) -> AuditRecord:
    """The next record. `at` is the store's time as text."""
    seq, before = (previous.seq + 1, previous.hash) if previous else (1, BEGINNING)
    body = encode(note.body)
    return AuditRecord(seq, at, str(note.kind), body, digest(before, seq, at, str(note.kind), body))


def digest(before: str, seq: int, at: str, kind: str, body: str) -> str:
    """Each part with its length before it, so that no two records have the same text."""
    text = "".join(f"{len(part)}:{part}" for part in (before, str(seq), at, kind, body))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def flaws(records: Iterable[AuditRecord], known: AuditRecord | None = None) -> Iterable[str]:
    """
    Every place where the chain is broken, in words, beginning after `known` (None: at the very first record).

    A changed, removed, added or reordered record breaks it; a cut-off end does not show here, only against a head that
    was told elsewhere.
    """
    seq, before = (known.seq, known.hash) if known else (0, BEGINNING)
    for record in records:
        if record.seq != seq + 1:
            yield f"after record {seq} comes record {record.seq}: {_missing(seq, record.seq)}"
        if record.hash != digest(before, record.seq, record.at, record.kind, record.body):
            yield f"record {record.seq} ({record.kind} of {record.at}) is not what was chained after record {seq}"
        seq, before = record.seq, record.hash


def _missing(seq: int, found: int) -> str:
    if found <= seq:
        return "it is there twice or in the wrong place"
    return f"{found - seq - 1} are missing between them"
