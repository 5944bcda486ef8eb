"""
Take up a run that waited for a person: approved, denied, withdrawn, or without an answer for too long.

A no counts before a yes, whichever came first, as nothing has begun. A yes is worth something for exactly the plan it
was given to; the run then looks, plans and asks its guards once more, for the world moved while the person thought.
"""

from __future__ import annotations

from datetime import datetime

from remediator.model.ledger import Signal, SignalName
from remediator.model.runs import Run, RunEvent
from remediator.model.verdicts import Reason
from remediator.runs.desk import Desk
from remediator.runs.moving import APPROVAL_UNTIL, advance


async def take_answer(desk: Desk, run: Run) -> Run:
    digest = run.plan.digest if run.plan else ""
    told = {s.name: s for s in await desk.store.signals(run.id) if s.digest in ("", digest)}
    if cancel := told.get(SignalName.CANCEL):
        return await advance(desk, run, RunEvent.WITHDRAWN, Reason.CANCELLED, _said(cancel, "cancelled"))
    if run.resolved_at is not None:
        detail = f"the alert was resolved at {run.resolved_at:%H:%M:%S}"
        return await advance(desk, run, RunEvent.WITHDRAWN, Reason.EPISODE_OVER, detail)
    if deny := told.get(SignalName.DENY):
        return await advance(desk, run, RunEvent.DENIED, Reason.DENIED, _said(deny, "denied"))
    approve = told.get(SignalName.APPROVE)
    if approve is not None and approve.at <= _until(run):
        said = _said(approve, "approved")
        return await advance(desk, run, RunEvent.APPROVED, run.reason, said, approved=digest)
    late = f"; {_said(approve, 'approved')}, too late" if approve else ""
    return await advance(desk, run, RunEvent.EXPIRED, Reason.APPROVAL_EXPIRED, f"nobody answered in time{late}")


def _until(run: Run) -> datetime:
    return datetime.fromisoformat(run.notes[APPROVAL_UNTIL])


def _said(signal: Signal, verb: str) -> str:
    return f"{signal.by} {verb} it: {signal.why}"
