"""
`RunStore` without a disk, for tests and simulations.

In and out: as the seam says; the same conformance suite holds it to the same promises, durability excepted. Values
pass through the same text as in the real journal, so nothing is shared with the caller and nothing is kept that the
real one would lose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import FREEZE, Delivery, Filed, RunFilter, StartRequest, Switch, Trace, Usage, arm_switch
from remediator.model.runs import Run, StepRecord, StepState
from remediator.model.seams import Clock
from remediator.model.verdicts import Allow, Verdict
from remediator.store import rulings
from remediator.store.claims import Claims
from remediator.store.rows import run_from, run_text, step_from, step_text

StepKey = tuple[str, int, int]


@dataclass
class Ledger:
    """All that a real journal would have on disk."""

    deliveries: dict[int, Delivery] = field(default_factory=dict)
    next_delivery: int = 1
    runs: dict[str, Run] = field(default_factory=dict)
    """In the order they were filed."""
    made_by: dict[str, int] = field(default_factory=dict)
    cases: dict[rulings.CaseKey, str] = field(default_factory=dict)
    resolutions: dict[str, datetime] = field(default_factory=dict)
    steps: dict[StepKey, StepRecord] = field(default_factory=dict)
    traces: dict[str, list[Trace]] = field(default_factory=dict)
    starts: dict[str, list[tuple[datetime, str]]] = field(default_factory=dict)
    """When, and which run."""
    locks: dict[str, str] = field(default_factory=dict)
    finished: dict[str, datetime] = field(default_factory=dict)
    switches: list[Switch] = field(default_factory=list)


class MemoryStore:
    """No method awaits anything, so each is one transaction by itself: it checks first and changes after."""

    def __init__(self, clock: Clock, ledger: Ledger | None = None) -> None:
        self._clock = clock
        self._ledger = ledger or Ledger()
        self._claims = Claims()
        self._is_open = True

    def after_restart(self) -> MemoryStore:
        """The store as the next process finds it: the same facts, no claims. This one is closed."""
        self._is_open = False
        return MemoryStore(self._clock, self._ledger)

    def _open_ledger(self) -> Ledger:
        if not self._is_open:
            raise StoreUnavailable("the journal in memory is closed")
        return self._ledger

    async def file(self, delivery: Delivery) -> Sequence[Filed]:
        ledger = self._open_ledger()
        filed, admitted = rulings.admit(delivery, ledger.cases, ledger.resolutions.keys())
        runs = [rulings.new_run(candidate, delivery.received_at) for candidate in admitted]
        taken = [run.id for run in runs if run.id in ledger.runs]
        if taken or len({run.id for run in runs}) < len(runs):
            raise StoreUnavailable(f"run ids must be new, and these are not: {taken or [run.id for run in runs]}")
        number = ledger.next_delivery
        ledger.next_delivery += 1
        ledger.deliveries[number] = replace(delivery, candidates=(), resolved=())
        for run in runs:
            ledger.runs[run.id] = _as_stored(run)
            ledger.cases[run.rule, run.episode] = run.id
            ledger.made_by[run.id] = number
        self._note_resolutions(ledger, delivery)
        return filed

    @staticmethod
    def _note_resolutions(ledger: Ledger, delivery: Delivery) -> None:
        over = {alert.episode for alert in delivery.resolved}
        if not over:
            return
        for episode in over:
            ledger.resolutions.setdefault(episode, delivery.received_at)
        for run in [run for run in ledger.runs.values() if run.episode in over and run.resolved_at is None]:
            ledger.runs[run.id] = replace(run, resolved_at=delivery.received_at)

    # --- who has which run ---------------------------------------------------------------------------------

    async def claim(self, now: datetime, limit: int) -> Sequence[Run]:
        self._claims.look()
        live = (run for run in self._open_ledger().runs.values() if not run.state.is_final and run.due_at <= now)
        return self._claims.take(sorted(live, key=lambda run: run.created_at), limit)

    async def release(self, run_id: str) -> None:
        self._claims.give_up(run_id)

    async def next_due(self) -> datetime | None:
        claimed = self._claims.ids()
        runs = self._open_ledger().runs.values()
        return min((run.due_at for run in runs if not run.state.is_final and run.id not in claimed), default=None)

    # --- one run's transactions ----------------------------------------------------------------------------

    async def save(self, run: Run, trace: Trace | None = None) -> Run:
        ledger = self._open_ledger()
        stored = rulings.check_version(run, ledger.runs.get(run.id))
        after = rulings.saved(run, stored)
        ledger.runs[run.id] = _as_stored(after)
        if trace is not None:
            ledger.traces.setdefault(run.id, []).append(trace)
        if after.state.is_final and not stored.state.is_final:
            self._let_go(ledger, after)
        if rulings.gives_up_claim(after):
            self._claims.give_up(run.id)
        return after

    def _let_go(self, ledger: Ledger, run: Run) -> None:
        key = ledger_lock(ledger, run.id) or (run.target.key if run.target else None)
        ledger.locks = {target: holder for target, holder in ledger.locks.items() if holder != run.id}
        if run.touched and key is not None:
            at = run.finished_at or self._clock.now()
            ledger.finished[key] = max(at, ledger.finished.get(key, at))

    async def start(self, request: StartRequest, judge: Callable[[Usage], Verdict]) -> Verdict:
        ledger = self._open_ledger()
        stored = rulings.check_version(request.run, ledger.runs.get(request.run.id))
        if rulings.has_started(request, stored, ledger_lock(ledger, stored.id)):
            return Allow()
        usage = await self.usage(request)
        verdict = judge(usage)
        if isinstance(verdict, Allow):
            rulings.check_free(request, usage)
            for scope in rulings.scopes(request):
                ledger.starts.setdefault(scope, []).append((usage.now, request.run.id))
            ledger.locks[request.target_key] = stored.id
        return verdict

    async def intend(self, run: Run, record: StepRecord) -> Run:
        ledger = self._open_ledger()
        stored = rulings.check_version(run, ledger.runs.get(run.id))
        attempts = [step for step in await self.steps(run.id) if step.seq == record.seq]
        after = rulings.intended(run, record, stored, attempts)
        ledger.steps[record.run_id, record.seq, record.attempt] = step_from(step_text(record))
        ledger.runs[run.id] = after
        return after

    async def settle(
        self,
        run: Run,
        record: StepRecord,
        *,
        state: StepState,
        by_probe: bool,
        changed: bool,
        detail: str,
        at: datetime,
    ) -> Run:
        ledger = self._open_ledger()
        outcome = rulings.outcome_of(record, state=state, by_probe=by_probe, changed=changed, detail=detail, at=at)
        stored = rulings.check_version(run, ledger.runs.get(run.id))
        key = (run.id, record.seq, record.attempt)
        after, step = rulings.settled(run, outcome, stored, ledger.steps.get(key))
        ledger.steps[key] = step
        ledger.runs[run.id] = after
        return after

    # --- questions -----------------------------------------------------------------------------------------

    async def get(self, run_id: str) -> Run | None:
        return self._open_ledger().runs.get(run_id)

    async def list(self, which: RunFilter) -> Sequence[Run]:
        oldest_first = sorted(self._open_ledger().runs.values(), key=lambda run: run.created_at)
        wanted = [run for run in reversed(oldest_first) if not which.states or run.state in which.states]
        return [run for run in wanted if not which.rule or run.rule == which.rule][: max(0, which.limit)]

    async def steps(self, run_id: str) -> Sequence[StepRecord]:
        found = self._open_ledger().steps
        return [found[key] for key in sorted(found) if key[0] == run_id]

    async def traces(self, run_id: str) -> Sequence[Trace]:
        return tuple(self._open_ledger().traces.get(run_id, ()))

    async def usage(self, request: StartRequest) -> Usage:
        ledger, now = self._open_ledger(), self._clock.now()
        begun = [ledger.starts.get(scope, []) for scope in rulings.scopes(request)]
        rule, target, everything = ([at for at, run in starts if run != request.run.id] for starts in begun)
        holder = ledger.locks.get(request.target_key)
        return Usage(
            now=rulings.store_now(now, max((at for at, _ in begun[-1]), default=None)),
            rule_starts=rulings.in_window(rule, request.per_rule, now),
            target_starts=rulings.in_window(target, request.per_target, now),
            global_starts=rulings.in_window(everything, request.per_service, now),
            last_finished=ledger.finished.get(request.target_key),
            holder=holder if holder != request.run.id else None,
            frozen=await self._is_on(FREEZE),
            armed=await self._is_on(arm_switch(request.run.rule)),
        )

    # --- switches and housekeeping -------------------------------------------------------------------------

    async def throw(self, switch: Switch) -> None:
        self._open_ledger().switches.append(switch)

    async def switch(self, name: str) -> Switch | None:
        return next((s for s in reversed(self._open_ledger().switches) if s.name == name), None)

    async def switches(self) -> Sequence[Switch]:
        latest = {switch.name: switch for switch in self._open_ledger().switches}
        return [latest[name] for name in sorted(latest)]

    async def _is_on(self, name: str) -> bool:
        found = await self.switch(name)
        return found is not None and found.on

    async def prune(self, deliveries_before: datetime) -> int:
        ledger = self._open_ledger()
        kept = {ledger.made_by[run.id] for run in ledger.runs.values() if not run.state.is_final}
        old = [n for n, d in ledger.deliveries.items() if d.received_at < deliveries_before and n not in kept]
        for number in old:
            del ledger.deliveries[number]
        return len(old)

    async def close(self) -> None:
        self._is_open = False


def ledger_lock(ledger: Ledger, run_id: str) -> str | None:
    """The target whose lock this run has."""
    return next((target for target, holder in ledger.locks.items() if holder == run_id), None)


def _as_stored(run: Run) -> Run:
    return run_from(run_text(run))
