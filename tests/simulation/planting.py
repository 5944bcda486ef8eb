"""
What a planted bug is: a name, where it enters, the scene in which it can show, and the promises it must break.

Each enters through a seam, as a wrapper around what the service is handed; nothing is patched. `finds` are the
promises of which at least one must be seen broken; `always`, `cluster`, `store` and `reply` bring about the situation
in which such a bug can show at all, and everything else is drawn from the seed as ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.faults import Fault, Reply, Scene, Store, draw
from tests.simulation.service import Seams


@dataclass(frozen=True)
class Planted:
    name: str
    what: str
    finds: tuple[str, ...]
    seams: Seams
    always: tuple[str | Fault, ...] = ()
    cluster: str = ""
    store: Store | None = "memory"
    """What some of them are wrong about is only to be seen in a ledger in memory."""
    reply: Reply = ""

    def scene(self, seed: int) -> Scene:
        return draw(seed, self.always, self.cluster, self.store, self.reply)
