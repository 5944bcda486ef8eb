"""
From a scene that breaks a promise to a smaller one that still breaks it.

In: a scene, what runs it, and the promise. Out: a scene from which nothing more can be taken away: each fault is
needed, lasts no longer and comes at no odder a moment than it must, every option that can be calm is calm, and the
cluster is the simplest. A candidate that breaks another promise is not the same finding, and is not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from tests.simulation.faults import Fault, Scene

LASTING = (5.0, 20.0, 60.0)
MOST_RUNS = 300
"""After which the smallest so far is good enough."""

Breaks = Callable[[Scene], bool]


def shrink(scene: Scene, breaks: Breaks) -> Scene:
    """`breaks` plays a scene and says whether the promise is broken in it, as it is in the one given."""
    left = MOST_RUNS
    while left > 0:
        for smaller in simpler(scene):
            left -= 1
            if breaks(smaller):
                scene = smaller
                break
        else:
            return scene
    return scene


def simpler(scene: Scene) -> Iterator[Scene]:
    """Every scene that is simpler in one way, those that take most away first."""
    for dropped in scene.faults:
        yield replace(scene, faults=tuple(fault for fault in scene.faults if fault is not dropped))
    if scene.cluster != "three":
        yield replace(scene, cluster="three", removed=scene.removed[:1])
    yield from calmer(scene)
    for fault in scene.faults:
        for milder in milder_than(fault):
            yield replace(scene, faults=tuple(milder if one is fault else one for one in scene.faults))


def calmer(scene: Scene) -> Iterator[Scene]:
    """With one option at its calm value."""
    for option in fields(Scene):
        if option.name in ("seed", "cluster", "faults") or getattr(scene, option.name) == option.default:
            continue
        if option.name == "removed" and len(scene.removed) > 1:
            continue  # how many are removed belongs to the kind of cluster
        calm: Any = {option.name: option.default}
        yield replace(scene, **calm)


def milder_than(fault: Fault) -> Iterator[Fault]:
    """The same fault, shorter or at a rounder or earlier moment."""
    yield from (replace(fault, lasting=seconds) for seconds in LASTING if seconds < fault.lasting)
    if fault.moment == "at":
        rounder = (0.0, float(10 * int(fault.number / 10)), float(int(fault.number)))
        yield from (replace(fault, number=number) for number in rounder if number < fault.number)
    else:
        yield from (replace(fault, number=number) for number in range(1, int(fault.number)))
