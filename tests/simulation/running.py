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
from tests.simulation.faults import Scene
from tests.simulation.loop import Stuck, VirtualLoop, run_in
from tests.simulation.planted import NO_BUG, PLANTED
from tests.simulation.planting import Planted
from tests.simulation.scenes import as_line
from tests.simulation.service import Seams
from tests.simulation.shrinking import shrink
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


def run_seed(seed: int, *, planted: str = "", keep: bool = False) -> Result:
    """One simulation of the service as it is, or with one planted bug in it."""
    bug = bug_of(planted)
    return run_scene(bug.scene(seed), bug.seams, keep=keep)


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
    except Exception as error:
        error.add_note(f"while the scene {as_line(scene)} was played")
        raise
    finally:
        if collects:
            gc.enable()
    kept = tuple(world.history.entries) if keep else ()
    return Result(scene.seed, scene, world.history.digest(), tuple(found), kept)


def shrink_result(result: Result, *, planted: str = "") -> Result:
    """The smallest scene in which the same promise is broken: the first that it was, or one the planted bug is for."""
    bug = bug_of(planted)
    broken = [violation.promise for violation in result.violations]
    promise = next((name for name in broken if name in bug.finds), broken[0])

    def breaks(scene: Scene) -> bool:
        return any(violation.promise == promise for violation in run_scene(scene, bug.seams).violations)

    return run_scene(shrink(result.scene, breaks), bug.seams)


def find_planted(name: str, seeds: int = MOST_SEEDS) -> tuple[str, int | None, str]:
    """The planted bug's name, the first seed that finds it (None: none does), and what was seen."""
    for seed in range(seeds):
        seen = [v for v in run_seed(seed, planted=name).violations if v.promise in bug_of(name).finds]
        if seen:
            return name, seed, str(seen[0])
    return name, None, ""


def bug_of(name: str) -> Planted:
    """The planted bug of that name; "" is none."""
    return next(bug for bug in (NO_BUG, *PLANTED) if bug.name == name)
