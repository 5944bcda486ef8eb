"""
Move a run in its table, durably, then tell it. The only place that saves a run's state.

Holding has an end: a run that is held past its rule's patience is handed to a person instead.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from remediator.model.ledger import Trace
from remediator.model.reports import Transitioned
from remediator.model.runs import Run, RunEvent, RunState, move
from remediator.model.verdicts import Ask, Hold, Reason, Refuse
from remediator.runs.asking import is_answered
from remediator.runs.desk import Desk

NO_LONGER_WANTED = frozenset({Reason.EPISODE_OVER, Reason.CANCELLED})
"""Reasons that withdraw a run: there is nothing to be done any more, or nobody wants it done."""
APPROVAL_UNTIL = "approval_until"
"""Note of when the time for an answer is up: a signal brings the run's due time forward."""
DEFAULT_PATIENCE = timedelta(minutes=15)
HELD_AT = "held_at"
"""Note of the step a run was held at: patience is for one place, and a step that was done since begins it anew."""


async def advance(desk: Desk, run: Run, event: RunEvent, reason: Reason | None, detail: str, **changes: Any) -> Run:
    """One legal move, saved with its trace and then told. Raises IllegalMove and changes nothing otherwise."""
    now = desk.clock.now()
    before, after = run.state, move(run.state, event, touched=run.touched)
    if after.is_final:
        changes.setdefault("finished_at", now)
    moved = replace(run, state=after, reason=reason, detail=detail, **changes)
    trace = Trace(now, str(before), str(event), str(after), str(reason or ""), detail)
    saved = await desk.store.save(moved, trace)
    desk.tell(Transitioned(saved, before, event, reason, detail, now))
    return saved


async def hold(desk: Desk, run: Run, held: Hold) -> Run:
    """Wait until `held.until`, or hand the run to a person when that is past the rule's patience."""
    now = desk.clock.now()
    since = (run.held_since if run.notes.get(HELD_AT) == run.cursor else None) or now
    deadline = since + _patience(desk, run)
    if held.until > deadline or now >= deadline:
        return await stop(desk, run, Reason.WAITED_TOO_LONG, f"{held.reason}: {held.detail}")
    due = max(held.until, now + timedelta(milliseconds=100))
    notes = {**run.notes, HELD_AT: run.cursor}
    return await advance(desk, run, RunEvent.HELD, held.reason, held.detail, held_since=since, due_at=due, notes=notes)


def _patience(desk: Desk, run: Run) -> timedelta:
    rule = desk.rule(run.rule)
    return rule.patience if rule else DEFAULT_PATIENCE


async def refuse(desk: Desk, run: Run, refusal: Refuse) -> Run:
    """End the run: refused when nothing was written, otherwise stopped and handed to a person."""
    if run.touched:
        return await stop(desk, run, refusal.reason, refusal.detail)
    event = RunEvent.WITHDRAWN if refusal.reason in NO_LONGER_WANTED else RunEvent.REFUSED
    return await advance(desk, run, event, refusal.reason, refusal.detail)


async def ask_person(desk: Desk, run: Run, question: Ask) -> Run:
    """Put a plan that a yes would let go to a person; hand over everything else that only a person can settle."""
    if run.state is RunState.PENDING and not run.touched and run.plan is not None and is_answered(question):
        waiting = asked(run, desk.clock.now(), desk.bounds.approval)
        return await advance(desk, run, RunEvent.ASKED, question.reason, question.detail, **waiting)
    return await stop(desk, run, question.reason, question.detail)


async def stop(desk: Desk, run: Run, reason: Reason, detail: str) -> Run:
    """Never half-way in silence: whatever was done, a person is told where it stopped and why."""
    if run.state is RunState.PENDING and not run.touched:
        return await advance(desk, run, RunEvent.GAVE_UP, reason, detail)
    event = RunEvent.GAVE_UP if run.state is RunState.VERIFYING else RunEvent.STOPPED
    return await advance(desk, run, event, reason, detail)


async def obey(desk: Desk, run: Run, verdict: Hold | Ask | Refuse) -> Run:
    """Do what a verdict says that does not let the run go on."""
    match verdict:
        case Hold():
            return await hold(desk, run, verdict)
        case Ask():
            return await ask_person(desk, run, verdict)
        case Refuse():
            return await refuse(desk, run, verdict)


def asked(run: Run, now: datetime, patience: timedelta) -> dict[str, Any]:
    """What changes about a run that is put to wait for an answer."""
    until = now + patience
    return {"due_at": until, "held_since": None, "notes": {**run.notes, APPROVAL_UNTIL: until.isoformat()}}


def at_recheck(desk: Desk, reason: Reason, detail: str) -> Hold:
    """A hold that looks again soon."""
    until: datetime = desk.clock.now() + desk.bounds.recheck
    return Hold(until, reason, detail)
