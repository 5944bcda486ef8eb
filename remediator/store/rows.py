"""
The journal's values as JSON text, and back.

In: runs, step records, traces, switches. Out: text that reads back as an equal value. Never touches a database.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from remediator.model.errors import StoreUnavailable
from remediator.model.evidence import Diagnosis
from remediator.model.ledger import Switch, Trace
from remediator.model.objects import ObjectRef
from remediator.model.plans import Effect, Plan
from remediator.model.runs import Run, RunState, StepRecord, StepState
from remediator.model.verdicts import Reason

encode = json.JSONEncoder(separators=(",", ":")).encode
"""Made once: a storm writes ten thousand texts."""


@functools.lru_cache(maxsize=256)
def moment(at: datetime) -> str:
    """ISO-8601 UTC with microseconds, always: such texts sort as their times do."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone; every stored time must be aware")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def maybe_moment(at: datetime | None) -> str | None:
    return None if at is None else moment(at)


def maybe_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def plain(text: str) -> str:
    """Text that a column accepts: JSON may carry lone surrogates, and UTF-8 has no bytes for them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def run_text(run: Run) -> str:
    return encode(
        {
            "id": run.id,
            "rule": run.rule,
            "rule_revision": run.rule_revision,
            "episode": run.episode,
            "labels": dict(run.labels),
            "starts_at": run.starts_at,
            "state": str(run.state),
            "created_at": moment(run.created_at),
            "due_at": moment(run.due_at),
            "version": run.version,
            "target": run.target.as_json() if run.target else None,
            "diagnosis": run.diagnosis.as_json() if run.diagnosis else None,
            "plan": run.plan.as_json() if run.plan else None,
            "cursor": run.cursor,
            "touched": run.touched,
            "reason": str(run.reason) if run.reason else None,
            "detail": run.detail,
            "held_since": maybe_moment(run.held_since),
            "started_at": maybe_moment(run.started_at),
            "finished_at": maybe_moment(run.finished_at),
            "resolved_at": maybe_moment(run.resolved_at),
            "notes": dict(run.notes),
        },
    )


def run_from(text: str) -> Run:
    """Raises StoreUnavailable for a text that this version cannot read: nothing is guessed."""
    try:
        return _run_from(json.loads(text))
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable("run", text, error) from error


def _run_from(data: Mapping[str, Any]) -> Run:
    return Run(
        id=data["id"],
        rule=data["rule"],
        rule_revision=data["rule_revision"],
        episode=data["episode"],
        labels=data["labels"],
        starts_at=data["starts_at"],
        state=RunState(data["state"]),
        created_at=datetime.fromisoformat(data["created_at"]),
        due_at=datetime.fromisoformat(data["due_at"]),
        version=data["version"],
        target=ObjectRef.from_json(data["target"]) if data["target"] else None,
        diagnosis=Diagnosis.from_json(data["diagnosis"]) if data["diagnosis"] else None,
        plan=Plan.from_json(data["plan"]) if data["plan"] else None,
        cursor=data["cursor"],
        touched=data["touched"],
        reason=Reason(data["reason"]) if data["reason"] else None,
        detail=data["detail"],
        held_since=maybe_time(data["held_since"]),
        started_at=maybe_time(data["started_at"]),
        finished_at=maybe_time(data["finished_at"]),
        resolved_at=maybe_time(data["resolved_at"]),
        notes=data["notes"],
    )


def run_from_row(body: str, resolved_at: str | None) -> Run:
    """A run as its row has it: the column knows of resolutions that came after the body was written."""
    return replace(run_from(body), resolved_at=maybe_time(resolved_at))


def step_text(record: StepRecord) -> str:
    return encode(
        {
            "run_id": record.run_id,
            "seq": record.seq,
            "attempt": record.attempt,
            "verb": record.verb,
            "effect": str(record.effect),
            "state": str(record.state),
            "intent": dict(record.intent),
            "started_at": moment(record.started_at),
            "deadline": moment(record.deadline),
            "finished_at": maybe_moment(record.finished_at),
            "by_probe": record.by_probe,
            "changed": record.changed,
            "detail": record.detail,
        },
    )


def step_from(text: str) -> StepRecord:
    """Raises StoreUnavailable for a text that this version cannot read."""
    try:
        data = json.loads(text)
        return StepRecord(
            run_id=data["run_id"],
            seq=data["seq"],
            attempt=data["attempt"],
            verb=data["verb"],
            effect=Effect(data["effect"]),
            state=StepState(data["state"]),
            intent=data["intent"],
            started_at=datetime.fromisoformat(data["started_at"]),
            deadline=datetime.fromisoformat(data["deadline"]),
            finished_at=maybe_time(data["finished_at"]),
            by_probe=data["by_probe"],
            changed=data["changed"],
            detail=data["detail"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable("step", text, error) from error


def trace_text(trace: Trace) -> str:
    return encode([moment(trace.at), trace.before, trace.event, trace.after, trace.reason, trace.detail])


def trace_from(text: str) -> Trace:
    at, before, event, after, reason, detail = json.loads(text)
    return Trace(datetime.fromisoformat(at), before, event, after, reason, detail)


def switch_text(switch: Switch) -> str:
    return encode([switch.name, switch.on, switch.by, switch.why, moment(switch.at)])


def switch_from(text: str) -> Switch:
    name, on, by, why, at = json.loads(text)
    return Switch(name, on, by, why, datetime.fromisoformat(at))


def _unreadable(what: str, text: str, error: Exception) -> StoreUnavailable:
    return StoreUnavailable(
        f"a stored {what} cannot be read ({error}): {text[:120]}... "
        "Run the Remediator version that wrote it, or restore the journal from a backup."
    )
