"""
Claim due runs and drive each in a task of its own, never more than the settings allow.

A run that fails inside ends with a person and disturbs no other. On stop no new step begins; what was sent is
waited for a little, and the rest is resumed from the journal by the next process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from remediator.model.errors import DamagedRecord, IllegalMove, LostRun, StoreUnavailable
from remediator.model.reports import Admitted
from remediator.model.runs import Run, RunEvent, RunState
from remediator.model.verdicts import Reason
from remediator.runs.beginning import begin
from remediator.runs.desk import Desk
from remediator.runs.executing import carry_out
from remediator.runs.moving import advance, stop
from remediator.runs.verifying import verify

IDLE = 30.0
"""Seconds without anything due after which the store is asked all the same."""
STORE_AWAY = 1.0


async def drive(desk: Desk, run: Run) -> Run:
    """Move a claimed run on until it waits or ends."""
    if run.version == 0:
        desk.tell(Admitted(run))
    while not run.state.is_final:
        match run.state:
            case RunState.HELD:
                run = await advance(desk, run, RunEvent.DUE, run.reason, run.detail)
            case RunState.PENDING:
                run = await begin(desk, run)
            case RunState.RUNNING:
                run = await carry_out(desk, run)
            case _:
                run = await verify(desk, run)
        if run.state is RunState.HELD:
            return run
    return run


class Worker:
    """Claims and drives runs until cancelled."""

    def __init__(self, desk: Desk, *, complain: Callable[[str, Exception], None]) -> None:
        self._desk = desk
        self._complain = complain
        self._wake = asyncio.Event()
        self._driven: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Something may be due: a run was filed."""
        self._wake.set()

    @property
    def busy(self) -> int:
        return len(self._driven)

    async def run(self) -> None:
        """Until cancelled. Ends no run: what is under way is resumed from the journal."""
        async with asyncio.TaskGroup() as tasks:
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
            for run in await self._desk.store.claim(self._desk.clock.now(), free):
                task = tasks.create_task(self._drive(run), name=f"run {run.id}")
                self._driven[run.id] = task
            due = await self._desk.store.next_due()
        except StoreUnavailable as error:
            self._complain("the store cannot be asked for due runs", error)
            return STORE_AWAY
        if due is None:
            return IDLE
        return min(IDLE, max(0.0, (due - self._desk.clock.now()).total_seconds()))

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

    async def _drive(self, run: Run) -> None:
        try:
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
            self._driven.pop(run.id, None)
            await asyncio.shield(self._desk.store.release(run.id))
            self._wake.set()

    async def _hand_over(self, run_id: str, error: Exception) -> None:
        """End a run that our own mistake broke: never in silence."""
        try:
            run = await self._desk.store.get(run_id)
            if run is None or run.state.is_final:
                return
            if run.state is RunState.HELD:
                run = await advance(self._desk, run, RunEvent.DUE, run.reason, run.detail)
            await stop(self._desk, run, Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")
        except (StoreUnavailable, IllegalMove) as again:
            self._complain(f"run {run_id} could not be handed over; it is taken up again later", again)
            await self._desk.clock.sleep(IDLE)
