"""
Whether the journal is what its audit trail says: every write and decision in both, exactly once, and alike.

In: what the trail tells, and rows. Out: every difference in words, naming record and row. Pure. What a record of an
older version did not say is not asked of its row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from remediator.model.ledger import AuditNote, History, Signal, SignalName, Switch
from remediator.model.runs import FINAL, Run, StepRecord, StepState
from remediator.store import auditing
from remediator.store.account import Account, Attempt, Said, ToldRun, with_move
from remediator.store.rows import encode, plain

SCOPES = 4
"""Rows that count one start, as many as `rulings.scopes` has."""
Thrown = tuple[int, Switch]
"""A row of the switches, with its number."""


def of_run(told: ToldRun | None, kept: History) -> Iterator[str]:
    """A run's row and all that belongs to it."""
    if told is None:
        yield f"run {kept.run.id} is in the journal, and no record tells of its admission"
        return
    yield from _standing(told, kept.run)
    yield from _moves(told, kept)
    yield from _attempts(told, kept)
    yield from _signals(told, kept)


def _standing(told: ToldRun, run: Run) -> Iterator[str]:
    if str(run.state) != told.state:
        said = f"record {told.last.seq} moved it to" if told.last else f"record {told.admitted} left it"
        yield f"run {run.id} is {run.state} in the journal, and {said} {told.state}"
    elif told.last:
        yield from (f"run {run.id}: {text}" for text in _unlike(told.last, _as_moved(run)))
    done = [seq for (seq, _), attempt in told.attempts.items() if _state(attempt) == StepState.DONE]
    if run.cursor != max(done, default=-1) + 1:
        yield f"run {run.id} has {run.cursor} steps behind it in the journal, and the trail tells of {len(set(done))}"
    wrote = any(attempt.intent.body.get("effect") != "none" for attempt in told.attempts.values())
    if run.touched != wrote:
        yield f"run {run.id} has {'' if run.touched else 'not '}written by the journal, and the trail says otherwise"
    if run.approved and (str(SignalName.APPROVE), run.approved) not in told.signals:
        yield f"run {run.id} is approved in the journal, and no record tells of that yes"


def _as_moved(run: Run) -> Mapping[str, Any]:
    """What the last move said of the run and still holds. A pending run may have looked and planned since."""
    standing = {"rule": run.rule, "reason": str(run.reason or ""), "detail": run.detail}
    if run.state == "pending":
        return standing
    target, plan = str(run.target) if run.target else "", run.plan.digest if run.plan else ""
    return standing | {"revision": run.rule_revision, "target": target, "plan": plan}


def _state(attempt: Attempt) -> str:
    return str(attempt.outcome.body.get("state")) if attempt.outcome else ""


def _moves(told: ToldRun, kept: History) -> Iterator[str]:
    history = b""
    for trace in kept.traces:
        history = with_move(history, vars(trace))
    if len(kept.traces) != told.moves:
        yield f"run {kept.run.id} has {len(kept.traces)} moves in the journal, and the trail tells of {told.moves}"
    elif history != told.history and told.last:
        until = f"records {told.admitted} to {told.last.seq}"
        yield f"run {kept.run.id} has moves in the journal that are not those of {until}"


def _attempts(told: ToldRun, kept: History) -> Iterator[str]:
    rows = {(step.seq, step.attempt): step for step in kept.steps}
    for key in sorted(told.attempts.keys() | rows.keys()):
        row, attempt = rows.get(key), told.attempts.get(key)
        name = f"attempt {key[1]} of step {key[0]} of run {kept.run.id}"
        if attempt is None:
            yield f"{name} is in the journal, and no record tells of it"
        elif row is None:
            yield f"{name} is told of by record {attempt.intent.seq}, and is not in the journal"
        else:
            yield from (f"{name}: {text}" for text in _attempt(attempt, row))


def _attempt(told: Attempt, row: StepRecord) -> Iterator[str]:
    yield from _unlike(told.intent, _body(auditing.of_intent(row)))
    if told.outcome:
        yield from _unlike(told.outcome, _body(auditing.of_outcome(row)))
    elif row.state is not StepState.INTENT:
        yield f"the journal has it as {row.state}, and no record tells what became of it"


def _signals(told: ToldRun, kept: History) -> Iterator[str]:
    rows = {(str(signal.name), signal.digest): signal for signal in kept.signals}
    for key in sorted(told.signals.keys() | rows.keys()):
        row, said = rows.get(key), told.signals.get(key)
        name = f"the {key[0]} of run {kept.run.id}"
        if said is None or row is None:
            where = f"told by record {said.seq}, and not in the journal" if said else "in the journal, and in no record"
            yield f"{name} is {where}"
        else:
            yield from (f"{name}: {text}" for text in _unlike(said, _of_signal(row)))


def _of_signal(row: Signal) -> Mapping[str, Any]:
    return _body(auditing.of_signal(row))


# --- what belongs to no run alone --------------------------------------------------------------------------


def of_missing_runs(told: Account, found: Mapping[str, object]) -> Iterator[str]:
    for run_id, run in told.runs.items():
        if run_id not in found:
            yield f"run {run_id} was admitted by record {run.admitted}, and is not in the journal"


def of_past(told: Account, past: Sequence[str]) -> Iterator[str]:
    """`past`: runs that the journal remembers to have forgotten, so that their episodes get no second one."""
    yield from (
        f"run {run_id} is past in the journal, and no record forgot it"
        for run_id in past
        if run_id not in told.forgotten
    )
    rest = told.forgotten.keys() - set(past)
    yield from (
        f"run {run_id} was forgotten by record {told.forgotten[run_id]}, and its episode is not remembered"
        for run_id in sorted(rest)
    )


def of_switches(told: Sequence[Said], rows: Sequence[Thrown]) -> Iterator[str]:
    """Both in the order they were thrown; one that is missing or added leaves the others in their places."""
    left = [tuple(str(said.body.get(name)) for name in ("name", "on", "by", "why")) for said in told]
    right = [(switch.name, str(switch.on), switch.by, switch.why) for _, switch in rows]
    for _, i, i_end, j, j_end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        pairs = min(i_end - i, j_end - j)
        for said, (number, switch) in zip(told[i : i + pairs], rows[j : j + pairs], strict=True):
            kept = _body(auditing.of_switch(switch))
            # Written only where there is one, so none in the record is none in the row: it decides what is armed.
            whole = said._replace(body={"revision": "", **said.body})
            unlike = _unlike(whole, {"revision": "", **kept})
            yield from (f"switch {number} ({switch.name}): {text}" for text in unlike)
        for said in told[i + pairs : i_end]:
            yield f"record {said.seq} tells of a switch ({said.body.get('name')}), and it is not in the journal"
        for number, switch in rows[j + pairs : j_end]:
            yield f"switch {number} ({switch.name}) is in the journal, and no record tells of it"


def of_starts(told: Account, counted: Mapping[str, int], since: str) -> Iterator[str]:
    """`counted`: rows that count a run's start; they may be gone where the start is older than `since`."""
    for run_id in sorted(counted.keys() - told.starts.keys()):
        yield f"a start of run {run_id} is counted in the journal, and no record allowed it"
    for run_id, said in told.starts.items():
        rows = counted.get(run_id, 0)
        if rows != SCOPES and not (rows == 0 and said.at < since):
            allowed = f"run {run_id} was allowed to start by record {said.seq}"
            yield f"{allowed}, and {rows} of its {SCOPES} starts are counted"


def of_locks(told: Account, locks: Mapping[str, str]) -> Iterator[str]:
    """`locks`: the run that has each target."""
    due = {
        plain(str(run.started.body["target"])): (run_id, run.started.seq)
        for run_id, run in told.runs.items()
        if run.started and run.state not in FINAL
    }
    for target in sorted(due.keys() | locks.keys()):
        holder, (run_id, seq) = locks.get(target), due.get(target, ("", 0))
        if holder != run_id:
            said = f"record {seq} gave it to run {run_id}" if run_id else "no record gave it to a run that is not over"
            yield f"target {target} is {'held by run ' + holder if holder else 'free'} in the journal, and {said}"


# --- alike -------------------------------------------------------------------------------------------------


def _body(note: AuditNote) -> Mapping[str, Any]:
    """As it reads back from JSON."""
    body: dict[str, Any] = json.loads(encode(note.body))
    return body


def _unlike(said: Said, kept: Mapping[str, Any]) -> Iterator[str]:
    """Each part that both have and that differs."""
    for name in sorted(said.body.keys() & kept.keys()):
        if said.body[name] != kept[name]:
            yield f"record {said.seq} says {name} {_short(said.body[name])}, the journal {_short(kept[name])}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:80] + "…"
