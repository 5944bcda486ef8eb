"""
`RunStore` without a disk, for tests and simulations.

In and out: as the seam says; the same conformance suite holds it to the same promises, durability excepted. Values
pass through the same text as in the real journal, so nothing is shared with the caller and nothing is kept that the
real one would lose. Several workers may share one ledger, as replicas share a database; then claims are leases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import (
    FREEZE,
    AuditKind,
    AuditNote,
    AuditRecord,
    Claimed,
    Delivery,
    Filed,
    History,
    Renewed,
    RunFilter,
    Signal,
    StartRequest,
    Switch,
    Trace,
    Usage,
    arm_switch,
)
from remediator.model.runs import Run, RunState, StepRecord, StepState
from remediator.model.seams import Clock
from remediator.model.verdicts import Allow, Verdict
from remediator.store import auditing, rulings
from remediator.store.memory.claiming import Claims
from remediator.store.memory.ledger import Ledger
from remediator.store.rows import run_from, run_text, step_from, step_text


class MemoryStore:
    """No method awaits anything, so each is one transaction by itself: it checks first and changes after."""

    def __init__(
        self, clock: Clock, ledger: Ledger | None = None, *, worker: str = "worker-1", lease: timedelta | None = None
    ) -> None:
        self.lease = lease
        self._clock = clock
        self._ledger = ledger or Ledger()
        self._worker = worker
        self._claims = Claims(self._ledger, worker, lease)
        self._is_open = True

    def after_restart(self) -> MemoryStore:
        """The store as the next process finds it: the same facts, no claims of its own. This one is closed."""
        self._is_open = False
        self._claims.give_up_all()
        return MemoryStore(self._clock, self._ledger, worker=self._worker, lease=self.lease)

    def beside(self, worker: str) -> MemoryStore:
        """The store of another worker on the same ledger."""
        return MemoryStore(self._clock, self._ledger, worker=worker, lease=self.lease)

    def _open_ledger(self) -> Ledger:
        if not self._is_open:
            raise StoreUnavailable("the journal in memory is closed")
        return self._ledger

    def _record(self, note: AuditNote) -> None:
        self._ledger.record(note, self._clock.now())

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
        self._record(auditing.of_delivery(delivery, filed))
        return filed

    @staticmethod
    def _note_resolutions(ledger: Ledger, delivery: Delivery) -> None:
        over = {alert.episode for alert in delivery.resolved}
        if not over:
            return
        for episode in over:
            ledger.resolutions.setdefault(episode, delivery.received_at)
        for run in [run for run in ledger.runs.values() if run.episode in over]:
            resolved = replace(run, resolved_at=run.resolved_at or delivery.received_at)
            is_asked = run.state is RunState.AWAITING_APPROVAL
            ledger.runs[run.id] = replace(
                resolved, due_at=min(run.due_at, delivery.received_at) if is_asked else run.due_at
            )

    # --- who has which run ---------------------------------------------------------------------------------

    async def claim(self, limit: int) -> Sequence[Claimed]:
        self._open_ledger()
        return self._claims.claim(self._clock.now(), limit)

    async def renew(self) -> Renewed:
        self._open_ledger()
        return self._claims.renew(self._clock.now())

    async def release(self, run_id: str) -> None:
        self._open_ledger()
        self._claims.release(run_id)

    async def due_in(self) -> timedelta | None:
        self._open_ledger()
        return self._claims.due_in(self._clock.now())

    # --- one run's transactions ----------------------------------------------------------------------------

    async def save(self, run: Run, trace: Trace | None = None) -> Run:
        ledger = self._open_ledger()
        stored = rulings.check_version(run, ledger.runs.get(run.id))
        after = rulings.saved(run, stored)
        if rulings.wakes(after, ledger.told(run.id)):
            after = replace(after, due_at=min(after.due_at, self._clock.now()))
        ledger.runs[run.id] = _as_stored(after)
        if trace is not None:
            ledger.traces.setdefault(run.id, []).append(trace)
            self._record(auditing.of_move(after, trace))
        if after.state.is_final and not stored.state.is_final:
            self._let_go(ledger, after)
        if rulings.gives_up_claim(after):
            self._claims.give_up(run.id)
        return after

    def _let_go(self, ledger: Ledger, run: Run) -> None:
        key = ledger.locked_by(run.id) or (run.target.key if run.target else None)
        ledger.locks = {target: holder for target, holder in ledger.locks.items() if holder != run.id}
        if run.touched and key is not None:
            ledger.finishes.setdefault(key, []).append(run.finished_at or self._clock.now())

    async def start(self, request: StartRequest, judge: Callable[[Usage], Verdict]) -> Verdict:
        ledger = self._open_ledger()
        stored = rulings.check_version(request.run, ledger.runs.get(request.run.id))
        if rulings.has_started(request, stored, ledger.locked_by(stored.id)):
            return Allow()
        usage = await self.usage(request)
        verdict = judge(usage)
        if isinstance(verdict, Allow):
            rulings.check_free(request, usage)
            for scope in rulings.scopes(request):
                ledger.starts.setdefault(scope, []).append((usage.now, request.run.id))
            ledger.locks[request.target_key] = stored.id
        self._record(auditing.of_start(request, usage, verdict))
        return verdict

    async def intend(self, run: Run, record: StepRecord) -> Run:
        ledger = self._open_ledger()
        stored = rulings.check_version(run, ledger.runs.get(run.id))
        attempts = [step for step in await self.steps(run.id) if step.seq == record.seq]
        after = rulings.intended(run, record, stored, attempts)
        ledger.steps[record.run_id, record.seq, record.attempt] = step_from(step_text(record))
        ledger.runs[run.id] = after
        self._record(auditing.of_intent(record))
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
        if after.version == stored.version:
            return stored
        ledger.steps[key] = step
        ledger.runs[run.id] = after
        if step.state is StepState.DONE:
            ledger.tries[run.id] = 0
        self._record(auditing.of_outcome(step))
        return after

    async def signal(self, signal: Signal) -> Signal:
        ledger = self._open_ledger()
        run = rulings.check_signal(signal, ledger.runs.get(signal.run_id))
        told = ledger.signals.setdefault(run.id, [])
        earlier = [s for s in told if (s.name, s.digest) == (signal.name, signal.digest)]
        if earlier:
            return earlier[0]
        told.append(signal)
        if rulings.wakes(run, ledger.told(run.id)):
            ledger.runs[run.id] = replace(run, due_at=min(run.due_at, self._clock.now()))
        self._record(auditing.of_signal(signal))
        return signal

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

    async def signals(self, run_id: str) -> Sequence[Signal]:
        return tuple(self._open_ledger().signals.get(run_id, ()))

    async def usage(self, request: StartRequest) -> Usage:
        ledger, now = self._open_ledger(), self._clock.now()
        begun = [ledger.starts.get(scope, []) for scope in rulings.scopes(request)]
        by_rule, by_target, by_namespace, in_all = (
            rulings.in_window((at for at, run in starts if run != request.run.id), limit, now)
            for starts, limit in zip(begun, rulings.limits(request), strict=True)
        )
        holder = ledger.locks.get(request.target_key)
        arming = await self.switch(arm_switch(request.run.rule))
        return Usage(
            now=rulings.store_now(now, max((at for at, _ in begun[-1]), default=None)),
            rule_starts=by_rule,
            target_starts=by_target,
            namespace_starts=by_namespace,
            global_starts=in_all,
            finishes=rulings.recent(ledger.finishes.get(request.target_key, ()), now),
            holder=holder if holder != request.run.id else None,
            frozen=await self._is_on(FREEZE),
            armed=arming is not None and arming.on,
            armed_revision=arming.revision if arming and arming.on else "",
        )

    # --- switches and housekeeping -------------------------------------------------------------------------

    async def throw(self, switch: Switch) -> None:
        self._open_ledger().switches.append(switch)
        self._record(auditing.of_switch(switch))

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

    async def ended(self, before: datetime, limit: int) -> Sequence[History]:
        ledger = self._open_ledger()
        over = [run for run in ledger.runs.values() if run.state.is_final and _ended_at(run) < before]
        found = []
        for run in sorted(over, key=_ended_at)[: max(0, limit)]:
            steps, traces, told = await self.steps(run.id), await self.traces(run.id), await self.signals(run.id)
            found.append(History(run, tuple(steps), tuple(traces), tuple(told)))
        return found

    async def forget(self, run_ids: Sequence[str]) -> int:
        """`cases` stays: that an episode had a run is remembered."""
        ledger = self._open_ledger()
        ended = [run_id for run_id in run_ids if run_id in ledger.runs and ledger.runs[run_id].state.is_final]
        for run_id in ended:
            for known in (ledger.runs, ledger.made_by, ledger.traces, ledger.signals):
                known.pop(run_id, None)
        ledger.steps = {key: step for key, step in ledger.steps.items() if key[0] not in ended}
        if ended:
            self._record(auditing.of_forgotten("runs", ended))
        return len(ended)

    # --- the audit trail -----------------------------------------------------------------------------------

    async def note(self, note: AuditNote) -> None:
        self._open_ledger()
        self._record(note)

    async def audit_head(self) -> AuditRecord | None:
        chain = self._open_ledger().audit
        return chain[-1] if chain else None

    async def audit(self, after: int, limit: int) -> Sequence[AuditRecord]:
        return self._open_ledger().audit[after : after + max(0, limit)]

    async def audit_latest(self, kind: AuditKind) -> AuditRecord | None:
        return next((record for record in reversed(self._open_ledger().audit) if record.kind == kind), None)

    async def close(self) -> None:
        self._is_open = False


def _ended_at(run: Run) -> datetime:
    return run.finished_at or run.due_at


def _as_stored(run: Run) -> Run:
    return run_from(run_text(run))
