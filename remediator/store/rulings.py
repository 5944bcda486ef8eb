"""
What both stores must rule alike: who is admitted, which version holds, which step may be journalled.

In: stored values and what is asked. Out: the values to store next, or LostRun or IllegalMove. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from remediator.model.errors import IllegalMove, LostRun
from remediator.model.ledger import (
    BACK_OFF_MEMORY,
    Candidate,
    Delivery,
    Filed,
    Signal,
    SignalName,
    StartRequest,
    Usage,
)
from remediator.model.plans import Effect
from remediator.model.rules import Limit
from remediator.model.runs import WAITING, Run, RunState, StepRecord, StepState
from remediator.model.verdicts import Reason

GLOBAL_SCOPE = "global"

CaseKey = tuple[str, str]
"""Rule and episode: what has one run, ever."""


def scopes(request: StartRequest) -> tuple[str, str, str, str]:
    """Where a start counts: for its rule, its target, its namespace and the whole service."""
    rule, target, namespace = request.run.rule, request.target_key, request.namespace
    return f"rule:{rule}", f"target:{target}", f"namespace:{namespace}", GLOBAL_SCOPE


def limits(request: StartRequest) -> tuple[Limit, Limit, Limit, Limit]:
    """In the order of `scopes`."""
    return request.per_rule, request.per_target, request.per_namespace, request.per_service


# --- filing ------------------------------------------------------------------------------------------------


def case_key(candidate: Candidate) -> CaseKey:
    return candidate.rule, candidate.alert.episode


def admit(
    delivery: Delivery, known: Mapping[CaseKey, str], over: Collection[str]
) -> tuple[list[Filed], list[Candidate]]:
    """
    What becomes of each candidate, in order, and those that become runs.

    `known` has the run of each rule and episode that was seen before, `over` the episodes already resolved.
    """
    filed: list[Filed] = []
    admitted: dict[CaseKey, Candidate] = {}
    for candidate in delivery.candidates:
        key = case_key(candidate)
        earlier = known.get(key) or (admitted[key].run_id if key in admitted else None)
        if earlier is not None:
            filed.append(Filed(*key, run_id=earlier, created=False, reason=Reason.DUPLICATE))
        elif key[1] in over:
            filed.append(Filed(*key, run_id=None, created=False, reason=Reason.RESOLVED))
        else:
            admitted[key] = candidate
            filed.append(Filed(*key, run_id=candidate.run_id, created=True))
    return filed, list(admitted.values())


def new_run(candidate: Candidate, at: datetime) -> Run:
    return Run(
        id=candidate.run_id,
        rule=candidate.rule,
        rule_revision=candidate.rule_revision,
        episode=candidate.alert.episode,
        labels=candidate.alert.labels,
        starts_at=candidate.alert.starts_at,
        state=RunState.PENDING,
        created_at=at,
        due_at=at,
    )


# --- saving ------------------------------------------------------------------------------------------------


def check_version(run: Run, stored: Run | None) -> Run:
    """The stored run, if `run` was read at its version; else LostRun."""
    if stored is None:
        raise LostRun(f"run {run.id} is not in the journal; drop it")
    if stored.version != run.version:
        raise LostRun(f"run {run.id} has moved on to version {stored.version} from {run.version}; read it again")
    return stored


def saved(run: Run, stored: Run) -> Run:
    """
    What a save leaves in the journal. Raises IllegalMove where it would rewrite what cannot change.

    A write stays journalled and the first resolution stays the first, whatever the saver knew of them.
    """
    if stored.state.is_final and run.state is not stored.state:
        raise IllegalMove(f"run {run.id} ended as {stored.state} and cannot become {run.state}")
    if (run.rule, run.episode, run.created_at) != (stored.rule, stored.episode, stored.created_at):
        raise IllegalMove(f"run {run.id} cannot change its rule, its episode or when it was created")
    return replace(
        run,
        version=stored.version + 1,
        touched=stored.touched or run.touched,
        resolved_at=stored.resolved_at or run.resolved_at,
    )


def gives_up_claim(run: Run) -> bool:
    return run.state.is_final or run.state in WAITING


def wakes(run: Run, told: Iterable[tuple[SignalName, str]]) -> bool:
    """Whether a waiting run has a signal (its name and digest) to see to: it must not be put to sleep over it."""
    if run.state not in WAITING:
        return False
    digest = run.plan.digest if run.plan and run.state is RunState.AWAITING_APPROVAL else ""
    return any(name is SignalName.CANCEL or bool(digest and about == digest) for name, about in told)


def check_signal(signal: Signal, stored: Run | None) -> Run:
    """The run that is told something. Raises LostRun, IllegalMove."""
    if stored is None:
        raise LostRun(f"there is no run {signal.run_id}")
    if stored.state.is_final:
        raise IllegalMove(f"run {stored.id} ended as {stored.state}; it can no longer be told to {signal.name}")
    return stored


# --- claiming ----------------------------------------------------------------------------------------------


def choose(waiting: Iterable[tuple[str, int]], limit: int, *, suspect_in_hand: bool) -> list[str]:
    """
    Which of `waiting` (ids with the tries of each, oldest first) may be claimed.

    A run that was in hand when its worker vanished is claimed alone among its like: were all of them taken up
    together again, the one that breaks its worker would make suspects of the others for ever.
    """
    chosen: list[str] = []
    for run_id, tries in waiting:
        if len(chosen) >= limit:
            break
        if tries:
            if suspect_in_hand:
                continue
            suspect_in_hand = True
        chosen.append(run_id)
    return chosen


# --- starting ----------------------------------------------------------------------------------------------


def has_started(request: StartRequest, stored: Run, held: str | None) -> bool:
    """Whether the run owns the lock it asks for (`held`: the target whose lock it has). Raises IllegalMove."""
    if stored.state.is_final:
        raise IllegalMove(f"run {stored.id} ended as {stored.state} and cannot start")
    if held is not None and held != request.target_key:
        raise IllegalMove(f"run {stored.id} started on {held} and cannot start on {request.target_key} as well")
    return held is not None


def check_free(request: StartRequest, usage: Usage) -> None:
    if usage.holder is not None:
        raise IllegalMove(f"run {request.run.id} was allowed to start, but {usage.holder} has {request.target_key}")


def store_now(clock_now: datetime, newest_start: datetime | None) -> datetime:
    """The time that limits are judged at: a clock that was set back does not go behind the newest start."""
    return clock_now if newest_start is None else max(clock_now, newest_start)


def in_window(starts: Iterable[datetime], limit: Limit, clock_now: datetime) -> tuple[datetime, ...]:
    """Starts that still count, oldest first; one that lies in the future (the clock was set back) counts too."""
    return tuple(sorted(at for at in starts if at > clock_now - limit.window))


def recent(finishes: Iterable[datetime], now: datetime) -> tuple[datetime, ...]:
    """Ends that still count towards a cooldown, oldest first: the newest whatever its age, as cooldowns may be long."""
    known = sorted(finishes)
    return tuple(at for at in known if at > now - BACK_OFF_MEMORY or at is known[-1])


# --- steps -------------------------------------------------------------------------------------------------


def intended(run: Run, record: StepRecord, stored: Run, attempts: Sequence[StepRecord]) -> Run:
    """The run once `record` is journalled. `attempts`: this step's so far, in order. Raises IllegalMove."""
    step = f"step {record.seq} of run {run.id}"
    if record.run_id != run.id or record.state is not StepState.INTENT:
        raise IllegalMove(f"only an intent of the run itself can be journalled before {step}")
    if stored.state.is_final:
        raise IllegalMove(f"run {run.id} ended as {stored.state}; {step} cannot be sent")
    last = attempts[-1] if attempts else None
    if last is not None and last.state in (StepState.INTENT, StepState.DONE):
        raise IllegalMove(f"{step} stands at {last.state} (attempt {last.attempt}); it cannot be attempted again")
    due = last.attempt + 1 if last else 1
    if record.attempt != due:
        raise IllegalMove(f"the next attempt of {step} is {due}, not {record.attempt}")
    return replace(stored, version=stored.version + 1, touched=stored.touched or record.effect is not Effect.NONE)


def outcome_of(
    record: StepRecord, *, state: StepState, by_probe: bool, changed: bool, detail: str, at: datetime
) -> StepRecord:
    return replace(record, state=state, by_probe=by_probe, changed=changed, detail=detail, finished_at=at)


def settled(run: Run, outcome: StepRecord, stored: Run, journalled: StepRecord | None) -> tuple[Run, StepRecord]:
    """
    The run and the step once `outcome` is journalled. Raises IllegalMove.

    The same outcome told again changes nothing; the first time it was told stays.
    """
    step = f"attempt {outcome.attempt} of step {outcome.seq} of run {run.id}"
    if outcome.state is StepState.INTENT:
        raise IllegalMove(f"{step} cannot be settled as an intent; say what became of it")
    if outcome.run_id != run.id or journalled is None:
        raise IllegalMove(f"{step} has no journalled intent, so it has no outcome")
    after = replace(
        journalled,
        state=outcome.state,
        by_probe=outcome.by_probe,
        changed=outcome.changed,
        detail=outcome.detail,
        finished_at=outcome.finished_at,
    )
    if journalled.state is not StepState.INTENT:
        if replace(after, finished_at=journalled.finished_at) != journalled:
            raise IllegalMove(f"{step} is settled as {journalled.state} and stays so")
        return stored, journalled
    cursor = max(stored.cursor, outcome.seq + 1) if outcome.state is StepState.DONE else stored.cursor
    return replace(stored, version=stored.version + 1, cursor=cursor), after
