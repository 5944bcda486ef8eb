"""
Claim due runs and drive each in a task of its own, never more than the settings allow.

A run that fails inside ends with a person and disturbs no other; one that was in hand when several workers vanished is
not tried again. A run that is no longer ours is let go of at once. On stop no new step begins; what was sent is waited
for a little, and the rest is resumed from the journal by the next worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from remediator.model.errors import DamagedRecord, IllegalMove, LostRun, StoreUnavailable
from remediator.model.ledger import Claimed
from remediator.model.reports import Admitted
from remediator.model.runs import WAITING, Run, RunEvent, RunState, StepState
from remediator.model.verdicts import Reason
from remediator.runs.awaiting import take_answer
from remediator.runs.beginning import begin
from remediator.runs.desk import Desk
from remediator.runs.executing import carry_out
from remediator.runs.leasing import Leases
from remediator.runs.moving import advance, stop
from remediator.runs.verifying import verify

IDLE = 30.0
"""Seconds without anything due after which the store is asked all the same."""
AGAIN = 1.0
IDLE_BESIDE_OTHERS = 1.0
"""The same where other workers share the store: what they file or let go of may not be heard of."""
STORE_AWAY = 1.0


async def drive(desk: Desk, run: Run) -> Run:
    """Move a claimed run on until it waits or ends."""
    if run.version == 1:  # raised by its first claim, and by nothing else yet
        desk.tell(Admitted(run))
    while not run.state.is_final:
        match run.state:
            case RunState.HELD:
                run = await advance(desk, run, RunEvent.DUE, run.reason, run.detail)
            case RunState.AWAITING_APPROVAL:
                run = await take_answer(desk, run)
            case RunState.PENDING:
                run = await begin(desk, run)
            case RunState.RUNNING:
                run = await carry_out(desk, run)
            case _:
                run = await verify(desk, run)
        if run.state in WAITING:
            return run
    return run


class Worker:
    """Claims and drives runs until cancelled."""

    def __init__(self, desk: Desk, *, complain: Callable[[str, Exception], None]) -> None:
        self._complain = complain
        self._wake = asyncio.Event()
        self._driven: dict[str, asyncio.Task[None]] = {}
        self._leases = Leases(
            desk.store, desk.clock, margin=desk.bounds.lease_margin, lost=self._let_go, complain=complain
        )
        self._desk = replace(desk, tenure=self._leases)
        self._idle = IDLE if desk.store.lease is None else IDLE_BESIDE_OTHERS

    def wake(self) -> None:
        """Something may be due: a run was filed."""
        self._wake.set()

    @property
    def busy(self) -> int:
        return len(self._driven)

    async def run(self) -> None:
        """Until cancelled. Ends no run: what is under way is resumed from the journal."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._leases.keep(), name="leases")
            while True:
                self._wake.clear()
                wait = await self._claim(tasks)
                await self._sleep(wait)

    async def _claim(self, tasks: asyncio.TaskGroup) -> float:
        """Take what is due; answers how long nothing more will be."""
        try:
            free = self._desk.bounds.concurrency - len(self._driven)
            if free <= 0:
                return IDLE  # a run that ends wakes the worker
            asked_at = self._desk.clock.monotonic()
            claimed = await self._desk.store.claim(free)
            for entry in claimed:
                self._take_up(tasks, entry, asked_at)
            due = await self._desk.store.due_in()
        except StoreUnavailable as error:
            self._complain("the store cannot be asked for due runs", error)
            return STORE_AWAY
        if due is None:
            return self._idle
        # What is due and was not claimed waits for a run in hand to end: asking again at once would be spinning.
        return min(self._idle, due.total_seconds() if due.total_seconds() > 0 else AGAIN)

    def _take_up(self, tasks: asyncio.TaskGroup, claimed: Claimed, asked_at: float) -> None:
        """In a task of its own. A run that is still in hand from an earlier claim is put down first."""
        run_id = claimed.run.id
        earlier = self._driven.get(run_id)
        if earlier is None:
            self._leases.taken([run_id], asked_at)
        work = self._drive(claimed) if earlier is None else self._put_down(run_id, earlier)
        self._driven[run_id] = tasks.create_task(work, name=f"run {run_id}")

    async def _put_down(self, run_id: str, earlier: asyncio.Task[None]) -> None:
        """
        The lease was over before this worker noticed, and the claim that followed was its own.

        Nothing is begun beside what an earlier claim has begun: that is let go of, and when it has ended, whoever
        comes first may have the run.
        """
        try:
            earlier.cancel()
            await asyncio.wait({earlier})
        finally:
            await self._give_back(run_id)

    async def _sleep(self, seconds: float) -> None:
        """Until something is filed or finished, or the time has passed."""
        timer = asyncio.ensure_future(self._desk.clock.sleep(seconds))
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({timer, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            woken.cancel()
            await asyncio.gather(timer, woken, return_exceptions=True)

    def _let_go(self, run_id: str) -> None:
        """Another worker may have it: whatever it does here ends now, but for the answer to what was sent."""
        task = self._driven.get(run_id)
        if task is not None:
            task.cancel()
        self._complain(f"run {run_id} is no longer this worker's", LostRun(f"the lease of run {run_id} is over"))

    async def _drive(self, claimed: Claimed) -> None:
        run = claimed.run
        try:
            if claimed.tries > self._desk.bounds.tries:
                await self._end(run, Reason.QUARANTINED, _vanished(claimed.tries - 1) + await self._left_open(run))
            else:
                await drive(self._desk, run)
        except LostRun as error:
            self._complain(f"run {run.id} moved on elsewhere", error)
        except DamagedRecord as error:
            self._complain(f"a record of run {run.id} is damaged", error)
            await self._hand_over(run.id, error)
        except StoreUnavailable as error:
            self._complain(f"run {run.id} waits for the store", error)
            await self._desk.clock.sleep(STORE_AWAY)
        except Exception as error:  # noqa: BLE001 - one run must not end the others
            self._complain(f"run {run.id} failed inside", error)
            await self._hand_over(run.id, error)
        finally:
            await self._give_back(run.id)

    async def _give_back(self, run_id: str) -> None:
        """It counts as in hand until it is given back: what is claimed meanwhile is not begun beside it."""
        self._leases.given_back(run_id)
        try:
            await self._release(run_id)
        finally:
            if self._driven.get(run_id) is asyncio.current_task():
                del self._driven[run_id]
            self._wake.set()

    async def _release(self, run_id: str) -> None:
        try:
            await asyncio.shield(self._desk.store.release(run_id))
        except StoreUnavailable as error:
            self._complain(f"run {run_id} could not be given back", error)

    async def _hand_over(self, run_id: str, error: Exception) -> None:
        """End a run that our own mistake broke: never in silence."""
        try:
            run = await self._desk.store.get(run_id)
            if run is not None:
                await self._end(run, Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")
        except (StoreUnavailable, IllegalMove) as again:
            self._complain(f"run {run_id} could not be handed over; it is taken up again later", again)
            await self._desk.clock.sleep(IDLE)

    async def _left_open(self, run: Run) -> str:
        """What nobody knows of a run that is not tried again, for the person who takes it over."""
        open_ = [step for step in await self._desk.store.steps(run.id) if step.state is StepState.INTENT]
        return "".join(f"; cannot tell whether step {step.seq} ({step.verb}) was done" for step in open_)

    async def _end(self, run: Run, reason: Reason, detail: str) -> None:
        """From whatever state, to a person."""
        if run.state.is_final:
            return
        if run.state is RunState.HELD:
            run = await advance(self._desk, run, RunEvent.DUE, run.reason, run.detail)
        await stop(self._desk, run, reason, detail)


def _vanished(times: int) -> str:
    return f"{times} workers vanished with this run in hand, so it is not tried again: see their logs and their ends"
