"""
Carry out a plan, one step at a time: look, ask, commit the intent, call, commit the outcome.

The intent is durable before the first byte of a call leaves, and a call whose outcome is not known is settled by
asking the world (`recovering`), never by sending it again. A failed step ends the run's steps. Nothing here knows
what a verb does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from remediator.model.errors import (
    AnswerLost,
    Conflict,
    Forbidden,
    IllegalMove,
    NotFound,
    Permanent,
    PermitRefused,
    RemoteError,
    StoreUnavailable,
    Temporary,
)
from remediator.model.evidence import Answer
from remediator.model.plans import Effect, Step
from remediator.model.reports import StepReported
from remediator.model.runs import Run, RunEvent, RunState, StepRecord, StepState
from remediator.model.seams import WriteAccess
from remediator.model.systems import AlreadyDone, AnySystem, Blocked, Done, Failed, Ready, Retry, StepResult, Verb
from remediator.model.verdicts import Allow, Ask, Hold, Permit, Reason, Refuse, Verdict
from remediator.runs.asking import ask_guards, cancelled
from remediator.runs.desk import Desk
from remediator.runs.looking import Look, look, still_required, unmet
from remediator.runs.moving import advance, at_recheck, hold, obey, stop
from remediator.runs.recovering import Settled, settle, settle_interrupted

STOPPING = 20.0
"""Seconds a stop waits for a write's answer: longer than any single request may take (at most 15)."""
LONGEST_PAUSE = 15.0
"""Seconds at most before a write that was lost is attempted anew; the first pauses are shorter."""
LOOKS = 3
"""Times the evidence is renewed for one step before it counts as unknown."""


@dataclass(frozen=True)
class NotSent:
    """The call was refused before it could take effect: proven not applied."""

    why: str


@dataclass(frozen=True)
class Lost:
    """Nobody knows whether the call took effect."""

    why: str


Answered = StepResult | NotSent | Lost


async def carry_out(desk: Desk, run: Run) -> Run:
    """Every remaining step; the run comes back verifying, held, or ended."""
    while run.state is RunState.RUNNING:
        steps = run.plan.steps if run.plan else ()
        if run.cursor >= len(steps):
            return await advance(desk, run, RunEvent.STEPS_DONE, None, f"{len(steps)} steps done")
        run = await _one_step(desk, run, steps[run.cursor])
    return run


async def _one_step(desk: Desk, run: Run, step: Step) -> Run:
    """Take one step as far as it goes now: done, held, or the end of the run."""
    verb = _verb(desk, step)
    if verb is None:
        return await stop(desk, run, Reason.INTERNAL_ERROR, f"this release has no verb {step.verb}")
    attempts = [r for r in await desk.store.steps(run.id) if r.seq == step.seq]
    try:
        if attempts and attempts[-1].state is StepState.INTENT:
            return await _follow(desk, await settle_interrupted(desk, run, step, verb, attempts[-1]))
        if unwanted := await cancelled(desk, run):  # needs nothing of a cluster that may not answer
            return await obey(desk, run, Refuse(Reason.CANCELLED, unwanted))
        spent = _attempts_spent(desk, step, attempts)
        if spent:
            return await stop(desk, run, Reason.STEP_FAILED, spent)
        return await _attempt(desk, run, step, verb, attempts)
    except Temporary as error:
        return await hold(desk, run, at_recheck(desk, Reason.EVIDENCE_UNKNOWN, str(error)))
    except (Permanent, AnswerLost) as error:
        return await stop(desk, run, Reason.STEP_FAILED, str(error))


def _verb(desk: Desk, step: Step) -> Verb | None:
    system: AnySystem | None = desk.systems.get(step.verb.partition(".")[0])
    return system.verbs.get(step.verb) if system else None


def _attempts_spent(desk: Desk, step: Step, attempts: list[StepRecord]) -> str:
    """Why this step may not be tried again; "" when it may."""
    if any(r.state is StepState.FAILED for r in attempts):
        return f"step {step.seq} ({step.verb}) has failed: {attempts[-1].detail}"
    if step.is_write and attempts and desk.clock.now() >= attempts[0].deadline:
        return f"step {step.seq} ({step.verb}) ran out of time: {attempts[-1].detail}"
    conflicts = [r for r in attempts if r.state is StepState.NOT_APPLIED and r.detail.startswith("conflict")]
    if len(conflicts) > desk.bounds.conflicts:
        return f"step {step.seq} ({step.verb}) met {len(conflicts)} conflicts: {attempts[-1].detail}"
    return ""


# --- one attempt -------------------------------------------------------------------------------------------


async def _attempt(desk: Desk, run: Run, step: Step, verb: Verb, attempts: list[StepRecord]) -> Run:
    prepared, asked_at = await verb.prepare(desk.access.read(), run.id, step), desk.clock.monotonic()
    if step.is_write and isinstance(prepared, Ready):
        verdict, asked_at = await _second_look(desk, run, step)
        if not isinstance(verdict, Allow):
            return await obey(desk, run, verdict)
        # All that looking took a while, and the world went on: what the verb itself must see is seen last.
        prepared = await verb.prepare(desk.access.read(), run.id, step)
    if isinstance(prepared, Blocked):
        return await obey(desk, run, _verdict_on(prepared))
    deadline = attempts[0].deadline if attempts else desk.clock.now() + step.timeout
    record = _record(desk, run, step, len(attempts) + 1, deadline)
    if isinstance(prepared, AlreadyDone):
        return await _journal_as_done(desk, run, step, record, prepared)
    if step.is_write and desk.clock.monotonic() >= asked_at + desk.bounds.permit_seconds:
        stale = "reading what the guards and the step must know takes longer than a permit lasts"
        return await hold(desk, run, at_recheck(desk, Reason.EVIDENCE_STALE, stale))
    record = replace(record, intent=prepared.intent, started_at=desk.clock.now())
    return await _send(desk, run, step, verb, record, asked_at)


def _verdict_on(blocked: Blocked) -> Ask | Refuse:
    """What is missing may be a person's to give; everything else means that the plan no longer fits."""
    if blocked.reason is Reason.APPROVAL_NEEDED:
        return Ask(blocked.reason, blocked.detail)
    return Refuse(blocked.reason, blocked.detail)


def _record(desk: Desk, run: Run, step: Step, attempt: int, deadline: datetime) -> StepRecord:
    return StepRecord(
        run.id, step.seq, attempt, step.verb, step.effect, StepState.INTENT, {}, desk.clock.now(), deadline
    )


async def _second_look(desk: Desk, run: Run, step: Step) -> tuple[Verdict, float]:
    """Right before a write: the evidence and every guard once more; with when the facts for that began to be read."""
    seen = await _fresh_look(desk, run, step)
    if isinstance(seen, Hold | Refuse):
        return seen, 0.0
    facts, verdict = await ask_guards(desk, run, step, seen.at)
    return verdict, facts.asked_at


async def _fresh_look(desk: Desk, run: Run, step: Step) -> Look | Hold | Refuse:
    """The evidence this step rests on, seen just now. What no longer holds refuses; what is not known holds."""
    rule = desk.rule(run.rule)
    system = desk.systems.get(rule.system) if rule else None
    if rule is None or system is None:
        return Refuse(Reason.RULE_GONE, f"rule {run.rule} is no longer loaded")
    for _ in range(LOOKS):
        seen = await look(desk, run, system)
        lacking = still_required(step, seen) or (None if run.touched else unmet(seen, rule, system, run.labels))
        if lacking is not None:
            break
        if timedelta(0) <= desk.clock.now() - seen.at <= desk.bounds.evidence_max_age / 2:
            return seen
    else:
        return at_recheck(desk, Reason.EVIDENCE_STALE, "a look takes longer than its evidence stays fresh")
    if lacking.answer is Answer.UNKNOWN:
        return at_recheck(desk, Reason.EVIDENCE_UNKNOWN, f"{lacking.probe}: {lacking.seen}")
    return Refuse(lacking.reason, f"{lacking.probe}: {lacking.seen}")


async def _journal_as_done(desk: Desk, run: Run, step: Step, record: StepRecord, found: AlreadyDone) -> Run:
    """Nothing is sent, so nothing is touched: the record's effect is none."""
    untouched = replace(record, effect=Effect.NONE, intent={"already_done": found.detail})
    run = await desk.store.intend(run, untouched)
    return await settle(desk, run, step, untouched, Settled(StepState.DONE, found.detail, changed=False))


async def _send(desk: Desk, run: Run, step: Step, verb: Verb, record: StepRecord, asked_at: float) -> Run:
    """Commit the intent, make the call, commit what became of it. The run must be ours until the call has ended."""
    margin = desk.bounds.lease_margin
    ends = await desk.tenure.ends(run.id, needed=desk.bounds.call_seconds + margin if step.is_write else margin)
    run = await desk.store.intend(run, record)
    desk.tell(StepReported(run, step, record.attempt, StepState.INTENT, step.why, record.started_at))
    permit = Permit(
        run.id,
        step.seq,
        record.attempt,
        step.may_touch if step.is_write else (),
        asked_at + desk.bounds.permit_seconds,
        ends - margin,
    )
    attempted = _call_and_settle(desk, run, step, verb, record, desk.access.write(permit))
    run, pause = await (_uninterrupted(attempted) if step.is_write else attempted)
    await desk.clock.sleep(pause)
    return run


async def _call_and_settle(
    desk: Desk, run: Run, step: Step, verb: Verb, record: StepRecord, access: WriteAccess
) -> tuple[Run, float]:
    """The run with the call's outcome journalled, and how long to pause before anything else."""
    answered = await _call_until_answered(desk, access, step, verb, record)
    after = await _after(desk, run, step, verb, record, answered)
    return after, _pause(after, record, answered)


def _pause(run: Run, record: StepRecord, answered: Answered) -> float:
    """Seconds before anything else: as long as was asked for, and ever longer after a write that did not arrive."""
    if isinstance(answered, Retry):
        return answered.after
    is_lost = isinstance(answered, Lost) and run.state is RunState.RUNNING and run.cursor <= record.seq
    return min(2.0**record.attempt, LONGEST_PAUSE) if is_lost else 0.0


async def _uninterrupted(attempted: Coroutine[Any, Any, tuple[Run, float]]) -> tuple[Run, float]:
    """Let a write that is on its way be answered and journalled before a stop takes effect."""
    task = asyncio.ensure_future(attempted)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=STOPPING)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


async def _call_until_answered(desk: Desk, access: WriteAccess, step: Step, verb: Verb, record: StepRecord) -> Answered:
    """
    A writing verb is called once. A waiting one is asked again until it is done or out of time.

    It is asked at least once: after a long outage what it waited for may long be there. While this process lives its
    time is counted by the clock that only goes forward.
    """
    ends = desk.clock.monotonic() + (record.deadline - desk.clock.now()).total_seconds()
    while True:
        answered = await _call(desk, access, step, verb, record.intent)
        if step.is_write or not isinstance(answered, Retry):
            return answered
        left = ends - desk.clock.monotonic()
        if left <= 0:
            return Failed(Reason.STEP_TIMED_OUT, f"not done within {step.timeout}; {answered.detail}")
        if desk.tenure.is_cancelled(record.run_id):
            return Failed(Reason.CANCELLED, f"a person ended the wait; {answered.detail}")
        await desk.clock.sleep(min(answered.after, left))


async def _call(desk: Desk, access: WriteAccess, step: Step, verb: Verb, intent: Mapping[str, Any]) -> Answered:
    """One call, every way it can end as a value. Only cancellation and a broken store pass through."""
    try:
        async with asyncio.timeout(step.timeout.total_seconds()):
            return await verb.apply(access, step, intent)
    except PermitRefused as error:
        return NotSent(f"permit: {error}")
    except RemoteError as error:
        return _meaning(error, step)
    except TimeoutError:
        return Lost(f"{step.verb} did not answer within {step.timeout}")
    except (StoreUnavailable, IllegalMove):
        raise
    except Exception as error:  # noqa: BLE001 - a step's outcome is journalled whatever the verb did
        return Lost(f"{step.verb} failed inside: {type(error).__name__}: {error}")


def _meaning(error: RemoteError, step: Step) -> Answered:
    """What an answer other than success says about the call: refused for now, refused for good, or unknown."""
    match error:
        case Conflict():
            return NotSent(f"conflict: {error}")
        case Temporary():
            return Retry(error.after, str(error))
        case AnswerLost():
            return Lost(str(error))
        case Forbidden():
            return Failed(Reason.FORBIDDEN, str(error))
        case NotFound() if step.is_write:
            return Lost(str(error))  # gone: perhaps through this very call
        case _:
            return Failed(Reason.STEP_FAILED, str(error))


async def _after(desk: Desk, run: Run, step: Step, verb: Verb, record: StepRecord, answered: Answered) -> Run:
    match answered:
        case Done(changed, detail):
            return await settle(desk, run, step, record, Settled(StepState.DONE, detail, changed=changed))
        case Retry(_, detail) | NotSent(detail):
            return await settle(desk, run, step, record, Settled(StepState.NOT_APPLIED, detail, changed=False))
        case Failed(reason, detail):
            run = await settle(desk, run, step, record, Settled(StepState.FAILED, detail, changed=False))
            return await stop(desk, run, reason, f"step {step.seq} ({step.verb}): {detail}")
        case Lost(why):
            return await _follow(desk, await settle_interrupted(desk, run, step, verb, record, why))


async def _follow(desk: Desk, recovered: Run | tuple[Run, Hold | Refuse]) -> Run:
    """Go on with a settled step, or obey what recovery found."""
    if isinstance(recovered, Run):
        return recovered
    run, verdict = recovered
    return await obey(desk, run, verdict)
