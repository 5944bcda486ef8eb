"""
The journal's values as JSON text, and back.

In: runs, step records, traces, signals, switches. Out: text that reads back as an equal value.
Never touches a database.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from remediator.model.errors import DamagedRecord
from remediator.model.evidence import Diagnosis
from remediator.model.ledger import Candidate, Signal, SignalName, Switch, Trace
from remediator.model.objects import ObjectRef
from remediator.model.plans import Effect, Plan
from remediator.model.runs import Run, RunState, StepRecord, StepState
from remediator.model.verdicts import Reason

encode = json.JSONEncoder(separators=(",", ":")).encode
"""Made once: a storm writes ten thousand texts."""

SEAL = ',"crc32":'


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


def sealed(value: Mapping[str, Any]) -> str:
    """JSON that ends in its own checksum: SQLite finds broken pages, not a changed byte inside a plan."""
    text = encode(value)
    return f"{text[:-1]}{SEAL}{zlib.crc32(text.encode())}}}"


def unsealed(what: str, text: str) -> dict[str, Any]:
    """The value again. Raises DamagedRecord where a byte has changed."""
    content, found, checksum = text.rpartition(SEAL)
    whole = content + "}"
    if not found or checksum != f"{zlib.crc32(whole.encode('utf-8', 'replace'))}}}":
        raise _unreadable(what, text, "its checksum is wrong")
    value: dict[str, Any] = json.loads(whole)
    return value


def _unreadable(what: str, text: str, why: object) -> DamagedRecord:
    return DamagedRecord(
        f"a stored {what} cannot be read ({why}): {text[:120]}... "
        "Run the Remediator version that wrote it, or restore the journal from a backup."
    )


_UNSET: Mapping[str, Any] = {
    "target": None,
    "diagnosis": None,
    "plan": None,
    "touched": False,
    "approved": "",
    "reason": None,
    "detail": "",
    "held_since": None,
    "started_at": None,
    "finished_at": None,
    "resolved_at": None,
    "notes": {},
}
"""What a run has when it is made. Not written down: most runs of a storm never have anything else."""


def new_run_text(candidate: Candidate, at: datetime) -> str:
    """The text of the run that this candidate becomes, without making the run first."""
    now = moment(at)
    return sealed(
        {
            "id": candidate.run_id,
            "rule": candidate.rule,
            "rule_revision": candidate.rule_revision,
            "episode": candidate.alert.episode,
            "labels": dict(candidate.alert.labels),
            "starts_at": candidate.alert.starts_at,
            "state": RunState.PENDING,
            "created_at": now,
            "due_at": now,
            "version": 0,
            "cursor": 0,
        }
    )


def run_text(run: Run) -> str:
    value = {
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
        "cursor": run.cursor,
    }
    later = {
        "target": run.target.as_json() if run.target else None,
        "diagnosis": run.diagnosis.as_json() if run.diagnosis else None,
        "plan": run.plan.as_json() if run.plan else None,
        "touched": run.touched,
        "approved": run.approved,
        "reason": str(run.reason) if run.reason else None,
        "detail": run.detail,
        "held_since": maybe_moment(run.held_since),
        "started_at": maybe_moment(run.started_at),
        "finished_at": maybe_moment(run.finished_at),
        "resolved_at": maybe_moment(run.resolved_at),
        "notes": dict(run.notes),
    }
    return sealed(value | {name: known for name, known in later.items() if known != _UNSET[name]})


def run_from(text: str) -> Run:
    """Raises StoreUnavailable for a text that this version cannot read: nothing is guessed."""
    try:
        return _run_from({**_UNSET, **unsealed("run", text)})
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
        approved=data["approved"],
        reason=Reason(data["reason"]) if data["reason"] else None,
        detail=data["detail"],
        held_since=maybe_time(data["held_since"]),
        started_at=maybe_time(data["started_at"]),
        finished_at=maybe_time(data["finished_at"]),
        resolved_at=maybe_time(data["resolved_at"]),
        notes=data["notes"],
    )


class RunColumns(NamedTuple):
    """What changes beside a run's body: claims, signals and resolutions do not write the body again."""

    version: int
    due_at: datetime
    resolved_at: datetime | None


def run_from_row(body: str, columns: RunColumns) -> Run:
    """A run as its row has it: where a column knows better than the body, the column is right."""
    return replace(run_from(body), **columns._asdict())


def step_text(record: StepRecord) -> str:
    return sealed(
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
        data = unsealed("step", text)
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
    return sealed({**vars(trace), "at": moment(trace.at)})


def trace_from(text: str) -> Trace:
    data = unsealed("trace", text)
    return Trace(**{**data, "at": datetime.fromisoformat(data["at"])})


def switch_text(switch: Switch) -> str:
    return sealed({**vars(switch), "at": moment(switch.at)})


def switch_from(text: str) -> Switch:
    data = unsealed("switch", text)
    return Switch(**{**data, "at": datetime.fromisoformat(data["at"])})


def signal_text(signal: Signal) -> str:
    return sealed({**vars(signal), "name": str(signal.name), "at": moment(signal.at)})


def signal_from(text: str) -> Signal:
    data = unsealed("signal", text)
    return Signal(**{**data, "name": SignalName(data["name"]), "at": datetime.fromisoformat(data["at"])})
