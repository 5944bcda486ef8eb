"""
From what many turns told to one figure each.

In: turns by side, in the order of the rounds. Out: figures by name, `<figure>_<side>`, and ratios of ours over theirs
on the same database, `<figure>_<ours>_vs_<theirs>`. Pure: it measures nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from tests.benchmarks.engines.sides import BESIDE
from tests.benchmarks.engines.turns import Turn
from tests.benchmarks.first_write import percentile

Turns = Mapping[str, Sequence[Turn]]
PERCENTILES = (50, 99)


def figures(told: Turns) -> dict[str, float]:
    """A figure is the middle of its rounds; a percentile is taken over the waits of all rounds together."""
    found: dict[str, float] = {}
    for side, turns in told.items():
        if not turns:
            continue
        for name in turns[0].figures:
            found[f"{name}_{side}"] = statistics.median(turn.figures[name] for turn in turns)
        for name in turns[0].waits:
            waits = [wait for turn in turns for wait in turn.waits[name]]
            found |= {f"{name}_p{hundredth}_{side}": percentile(waits, hundredth) for hundredth in PERCENTILES}
    return found


def ratios(told: Turns) -> dict[str, float]:
    """The middle of the rounds' own ratios: a slow minute of the machine is then in both halves of one of them."""
    found: dict[str, float] = {}
    for theirs, ours in BESIDE.items():
        rounds = [(_all(mine), _all(other)) for mine, other in zip(told[ours], told[theirs], strict=False)]
        if not rounds:
            continue
        for name in rounds[0][0].keys() & rounds[0][1].keys():
            told_by = f"{name}_{ours}_vs_{theirs.partition('_')[0]}"
            found[told_by] = statistics.median(mine[name] / other[name] for mine, other in rounds)
    return found


def _all(turn: Turn) -> dict[str, float]:
    """A turn's figures, and the percentiles of its own waits."""
    waits = {
        f"{name}_p{hundredth}": percentile(list(found), hundredth)
        for name, found in turn.waits.items()
        for hundredth in PERCENTILES
    }
    return {**turn.figures, **waits}
