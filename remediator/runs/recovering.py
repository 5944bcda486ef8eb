"""
Settle an intent that has no outcome: after a crash, a lost answer, a timeout.

The world is asked, never the memory. `done` is journalled as such; `not done` allows a fresh attempt with fresh
guards; `unknown` waits until the step's deadline and then a person is told. A call is never blindly repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

from remediator.model.errors import RemoteError
from remediator.model.plans import Effect, Step
from remediator.model.reports import StepReported
from remediator.model.runs import Run, StepRecord, StepState
from remediator.model.systems import Found, Verb
from remediator.model.verdicts import Hold, Reason, Refuse
from remediator.runs.desk import Desk
from remediator.runs.moving import at_recheck


@dataclass(frozen=True)
class Settled:
    """What became of an intent."""

    state: StepState
    detail: str
    changed: bool
    by_probe: bool = False


async def settle(desk: Desk, run: Run, step: Step, record: StepRecord, outcome: Settled) -> Run:
    """Commit an outcome, then tell it."""
    now = desk.clock.now()
    run = await desk.store.settle(
        run,
        record,
        state=outcome.state,
        by_probe=outcome.by_probe,
        changed=outcome.changed,
        detail=outcome.detail,
        at=now,
    )
    seconds = (now - record.started_at).total_seconds()
    desk.tell(StepReported(run, step, record.attempt, outcome.state, outcome.detail, now, seconds, outcome.by_probe))
    return run


async def settle_interrupted(
    desk: Desk, run: Run, step: Step, verb: Verb, record: StepRecord, why: str = "the process ended meanwhile"
) -> Run | tuple[Run, Hold | Refuse]:
    """The run with the step settled; or, where the world cannot tell yet, what to do meanwhile."""
    if record.effect is Effect.NONE:
        outcome = Settled(StepState.NOT_APPLIED, f"it changes nothing and is run again: {why}", changed=False)
        return await settle(desk, run, step, record, outcome)
    found = await _ask_the_world(desk, run, step, verb, record)
    if found is Found.DONE:
        outcome = Settled(StepState.DONE, f"seen to be done: {why}", changed=True, by_probe=True)
        return await settle(desk, run, step, record, outcome)
    if found is Found.NOT_DONE:
        outcome = Settled(StepState.NOT_APPLIED, f"seen not to be done: {why}", changed=False, by_probe=True)
        return await settle(desk, run, step, record, outcome)
    detail = f"cannot tell whether step {step.seq} ({step.verb}) was done: {why}"
    if desk.clock.now() >= record.deadline:
        return run, Refuse(Reason.OUTCOME_UNKNOWN, f"{detail}, and its time is up: a person must look")
    return run, at_recheck(desk, Reason.OUTCOME_UNKNOWN, detail)


async def _ask_the_world(desk: Desk, run: Run, step: Step, verb: Verb, record: StepRecord) -> Found:
    try:
        return await verb.probe(desk.access.read(), run.id, step, record.intent)
    except RemoteError:
        return Found.UNKNOWN
