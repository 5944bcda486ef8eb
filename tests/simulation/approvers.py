"""
People who are asked for a yes: what each kind of them says, when, and how often.

In: a world whose rule asks. Out: signals, told as the API tells them, to exactly the plan that was on the screen; but
for those who name another plan, as only a forged request would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from remediator.model.ledger import Signal, SignalName
from tests.simulation.replica import APPROVAL

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOKS_EVERY = 2.0
LATE = APPROVAL.total_seconds() - 1.0
OTHER_PLAN = "0" * 64
YES, NO = SignalName.APPROVE, SignalName.DENY


class Approvers:
    def __init__(self, world: World) -> None:
        self._world = world
        self._answered: set[tuple[str, str]] = set()

    async def watch(self) -> None:
        """Look now and then at what waits, and answer each question once."""
        world = self._world
        while world.is_open:
            await world.clock.sleep(LOOKS_EVERY)
            for asked in world.keeping.waiting():
                if asked not in self._answered:
                    self._answered.add(asked)
                    world.people.spawn(self._answer(*asked), "answer")

    async def _answer(self, run_id: str, digest: str) -> None:
        world = self._world
        match world.scene.reply:
            case "approve":
                await self._say(run_id, digest, YES)
            case "deny":
                await self._say(run_id, digest, NO)
            case "late":
                await world.clock.sleep(world.far.uniform(LATE - 20.0, LATE + 2.0))
                await self._say(run_id, digest, YES)
            case "twice":
                world.people.spawn(self._say(run_id, digest, YES), "yes")
                await self._say(run_id, digest, YES, by="carol")
            case "race":
                world.people.spawn(self._say(run_id, digest, YES), "yes")
                await self._say(run_id, digest, NO, by="carol")
            case "deny-first":
                await self._say(run_id, digest, NO)
                await self._say(run_id, digest, YES, by="carol")
            case "cancel":
                await self._say(run_id, "", SignalName.CANCEL)
            case "other-plan":
                await self._say(run_id, OTHER_PLAN, YES)

    async def _say(self, run_id: str, digest: str, name: SignalName, *, by: str = "alice") -> None:
        await self._world.tell(Signal(run_id, name, digest, by, "looked at it", self._world.clock.now()))
