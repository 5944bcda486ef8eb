"""What driving a run needs from the other rooms, handed over once by `app`, and the bounds it works within."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from remediator.model.objects import ObjectRef
from remediator.model.rules import Limit, Rule
from remediator.model.seams import Access, Clock, Guard, Observer, RunStore
from remediator.model.systems import AnySystem


@dataclass(frozen=True)
class Bounds:
    """How far the engine may go; from the settings."""

    per_service: Limit
    protected_namespaces: tuple[str, ...]
    own: tuple[ObjectRef, ...] = ()
    evidence_max_age: timedelta = timedelta(seconds=5)
    permit_seconds: float = 2.0
    recheck: timedelta = timedelta(seconds=10)
    """How soon unknown evidence is looked for again."""
    concurrency: int = 16
    conflicts: int = 3
    """Writes refused for a newer version before a step gives up."""


@dataclass(frozen=True)
class Desk:
    store: RunStore
    clock: Clock
    systems: Mapping[str, AnySystem]
    rule: Callable[[str], Rule | None]
    """The rule as it is loaded now."""
    access: Access
    guards: Sequence[Guard]
    tell: Observer
    bounds: Bounds
