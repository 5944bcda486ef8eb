"""
What is known of a freeze that does not come from the store: nobody asks for one, somebody does, or nobody can tell.

Plain values. Each names the brake it was seen at, in words that a person can act on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Released:
    """Nobody asks for a freeze there."""

    by: str


@dataclass(frozen=True)
class Engaged:
    """Somebody asks for a freeze there, for this reason."""

    by: str
    why: str
    let_go: str
    """What a person does so that it lets go."""


@dataclass(frozen=True)
class Unreadable:
    """Nobody can tell whether somebody asks for a freeze there."""

    by: str
    why: str


BrakeState = Released | Engaged | Unreadable


def tightest(states: Sequence[BrakeState]) -> BrakeState:
    """The state that binds: any that is engaged, else any that cannot be read. With no brake at all nobody can tell."""
    for kind in (Engaged, Unreadable):
        for state in states:
            if isinstance(state, kind):
                return state
    return states[0] if states else Unreadable("brakes", "there is no brake to look at")
