"""
All brakes as one: looked at before every write, and watched in between.

In: the brakes, the file that a signal makes, the latch. Out: what binds just now, what each says, and a notice of
every change. A signal that can neither make its file nor reach the store holds in memory, and both are tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from remediator.brakes.file import FileBrake
from remediator.brakes.latching import Latch
from remediator.model.brakes import BrakeState, Engaged, Released, Unreadable, tightest
from remediator.model.errors import StoreUnavailable
from remediator.model.seams import Brake, Clock

SIGNAL = "signal SIGUSR1"
AGAIN = 1.0
"""Seconds after which what is engaged is compared with the store again, and what is owed is tried again."""

What = Literal["engaged", "released", "unreadable", "recorded", "not recorded", "in memory only"]


@dataclass(frozen=True)
class Noticed:
    """What an operator should read of a brake."""

    what: What
    by: str
    why: str = ""


class Brakes:
    name = "brakes"
    every = AGAIN

    def __init__(
        self, brakes: Sequence[Brake], file: FileBrake, latch: Latch, clock: Clock, tell: Callable[[Noticed], None]
    ) -> None:
        self._brakes = {brake.name: brake for brake in brakes}
        self._file, self._latch, self._clock, self._tell = file, latch, clock, tell
        self._seen: dict[str, BrakeState] = {}
        self._wake = asyncio.Event()
        self._is_away = False

    async def look(self) -> BrakeState:
        """What binds just now."""
        return tightest(await self.look_at_each())

    async def look_at_each(self) -> Sequence[BrakeState]:
        """Every brake, looked at just now, and what was let go of before the store had it."""
        return self._with_owed([await self._look_at(brake) for brake in self._brakes.values()])

    @property
    def latest(self) -> Sequence[BrakeState]:
        """The same as they were seen last."""
        return self._with_owed(list(self._seen.values()))

    def _with_owed(self, seen: Sequence[BrakeState]) -> Sequence[BrakeState]:
        engaged = {state.by for state in seen if isinstance(state, Engaged)}
        return [*seen, *(owed for owed in self._latch.owed if owed.by not in engaged)]

    async def _look_at(self, brake: Brake) -> BrakeState:
        state = await brake.look()
        before = self._seen.get(brake.name, Released(brake.name))
        self._seen[brake.name] = state
        if self._latch.see(state):
            self._wake.set()
        if state != before:
            self._tell(_change(before, state))
        return state

    # --- the signal ----------------------------------------------------------------------------------------

    def signalled(self) -> None:
        """Freeze at once: from here on every look says so, whatever becomes of the file."""
        why = f"{SIGNAL} at {self._clock.now():%Y-%m-%d %H:%M:%S} UTC"
        self._latch.owe(Engaged(SIGNAL, why, ""))
        problem = self._try_file(why)
        if problem:
            self._tell(Noticed("in memory only", SIGNAL, f"will not survive a restart: {problem}"))
        self._wake.set()

    def _try_file(self, why: str) -> str:
        """Let the file hold what the signal asked for; answers why it cannot, or \"\"."""
        problem = self._file.make(why)
        if not problem:
            self._latch.owe(self._file.engaged(why))
            self._latch.forgive(SIGNAL)
        return problem

    # --- the tasks -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: watch every brake, and tell the store."""
        async with asyncio.TaskGroup() as tasks:
            for brake in self._brakes.values():
                tasks.create_task(self._watch(brake), name=f"watch {brake.name}")
            tasks.create_task(self._keep(), name="latch")

    async def _watch(self, brake: Brake) -> None:
        while True:
            await self._look_at(brake)
            await self._clock.sleep(brake.every)

    async def _keep(self) -> None:
        while True:
            self._wake.clear()
            await self._tell_store()
            if any(isinstance(state, Engaged) for state in self.latest):
                await self._clock.sleep(AGAIN)
            else:
                await self._wake.wait()

    async def _tell_store(self) -> None:
        owed = {state.by: state for state in self._latch.owed}
        if SIGNAL in owed:
            self._try_file(owed[SIGNAL].why)
        try:
            for state in await self._latch.keep(list(self._seen.values())):
                self._tell(Noticed("recorded", state.by, state.why))
            self._is_away = False
        except StoreUnavailable as error:
            if owed and not self._is_away:
                self._tell(Noticed("not recorded", ", ".join(owed), str(error)))
            self._is_away = True


def _change(before: BrakeState, state: BrakeState) -> Noticed:
    match state:
        case Engaged(by, why, _):
            return Noticed("engaged", by, why)
        case Unreadable(by, why):
            return Noticed("unreadable", by, why)
        case Released(by):
            was_engaged = isinstance(before, Engaged)
            stays = "what it froze stays frozen until `remediator unfreeze`"
            return Noticed("released", by, stays if was_engaged else "it can be read again")
