"""
Run one seed, or one planted bug, and say what was found.

In: a seed. Out: plain results that can cross from one process to another. The same seed gives the same digest, on
any machine and in any process.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

from tests.simulation.checker import Violation, check
from tests.simulation.faults import Scene, draw
from tests.simulation.loop import Stuck, VirtualLoop, run_in
from tests.simulation.planted import PLANTED
from tests.simulation.planting import Planted
from tests.simulation.service import Seams
from tests.simulation.world import World

MOST_SEEDS = 40
"""Within which a planted bug must be found."""


@dataclass(frozen=True)
class Result:
    seed: int
    scene: Scene
    digest: str
    violations: tuple[Violation, ...]
    history: tuple[dict[str, Any], ...] = ()


def run_seed(seed: int, *, keep: bool = False) -> Result:
    """One simulation of the service as it is."""
    return run_scene(draw(seed), keep=keep)


def run_scene(scene: Scene, seams: Seams | None = None, *, keep: bool = False) -> Result:
    loop = VirtualLoop(scene.seed)
    world = World(scene, loop, seams)
    collects = gc.isenabled()
    gc.disable()  # nearly all garbage is acyclic, and looking for the rest takes a fifth of the time
    try:
        run_in(loop, world.play())
        found = check(world.history.entries, calm=scene.is_calm)
    except Stuck as stuck:
        found = [Violation("stuck", str(stuck))]
    finally:
        if collects:
            gc.enable()
    kept = tuple(world.history.entries) if keep else ()
    return Result(scene.seed, scene, world.history.digest(), tuple(found), kept)


def find_planted(name: str, seeds: int = MOST_SEEDS) -> tuple[str, int | None, str]:
    """The planted bug's name, the first seed that finds it (None: none does), and what was seen."""
    bug: Planted = next(p for p in PLANTED if p.name == name)
    for seed in range(seeds):
        result = run_scene(bug.scene(seed), bug.seams)
        seen = [v for v in result.violations if v.promise in bug.finds]
        if seen:
            return name, seed, str(seen[0])
    return name, None, ""
