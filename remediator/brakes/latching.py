"""
Turn what a brake asks for into the durable switch, once for each time it is engaged.

In: what was seen at the brakes. Out: `freeze` thrown in the store, by the brake and for its reason. What was seen and
is not in the store yet is owed, and counts as engaged until it is. It never throws the switch back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from remediator.model.brakes import BrakeState, Engaged, Released
from remediator.model.ledger import FREEZE, Switch
from remediator.model.seams import Clock


class Switches(Protocol):
    """What is asked of the store."""

    async def switch(self, name: str) -> Switch | None: ...
    async def throw(self, switch: Switch) -> None: ...


class Latch:
    def __init__(self, store: Switches, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._owed: dict[str, Engaged] = {}
        self._kept: set[str] = set()
        """Brakes whose present engagement is in the store."""

    @property
    def owed(self) -> Sequence[Engaged]:
        """Seen, and not in the store yet. Nothing else holds it once its brake is released."""
        return [replace(e, let_go="wait until the store has the record, and ask again") for e in self._owed.values()]

    def owe(self, engaged: Engaged) -> bool:
        """Remember an engagement until the store has it; answers whether it is a new one."""
        if engaged.by in self._kept or engaged.by in self._owed:
            return False
        self._owed[engaged.by] = engaged
        return True

    def forgive(self, by: str) -> None:
        """Something else holds this one."""
        self._owed.pop(by, None)

    def see(self, state: BrakeState) -> bool:
        """Take in what a brake says just now; answers whether that is a new engagement."""
        if isinstance(state, Released):
            self._kept.discard(state.by)
        return isinstance(state, Engaged) and self.owe(state)

    async def keep(self, states: Sequence[BrakeState]) -> Sequence[Engaged]:
        """
        Throw the switch for whatever is owed, and again where somebody unfroze in the same moment; answers what was
        thrown.

        Raises StoreUnavailable; what could not be thrown stays owed.
        """
        present = {state.by: state for state in states if isinstance(state, Engaged)}
        engaged = {**self._owed, **present}
        if not engaged:
            return ()
        latest = await self._store.switch(FREEZE)
        thrown = []
        for state in engaged.values():
            if self._is_missing(latest, state):
                latest = Switch(FREEZE, True, state.by, state.why, self._clock.now())
                await self._store.throw(latest)
                thrown.append(state)
            self._owed.pop(state.by, None)
            self._kept |= {state.by} & present.keys()
        return thrown

    def _is_missing(self, latest: Switch | None, state: Engaged) -> bool:
        """Whether the store does not hold it. After a restart the record that it has is taken for this engagement's."""
        if latest is None or not latest.on:
            return True
        return state.by not in self._kept and (latest.by, latest.why) != (state.by, state.why)
