"""What driving a run needs from the other rooms, handed over once by `app`, and the bounds it works within."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from remediator.model.objects import ObjectRef
from remediator.model.rules import Limit, Rule
from remediator.model.seams import Access, Brake, Clock, Guard, Observer, RunStore, Tenure
from remediator.model.systems import AnySystem


@dataclass(frozen=True)
class Bounds:
    """How far the engine may go; from the settings."""

    per_service: Limit
    per_namespace: Limit
    protected_namespaces: tuple[str, ...]
    own: tuple[ObjectRef, ...] = ()
    evidence_max_age: timedelta = timedelta(seconds=5)
    permit_seconds: float = 1.5
    recheck: timedelta = timedelta(seconds=10)
    """How soon unknown evidence is looked for again."""
    concurrency: int = 16
    conflicts: int = 3
    """Writes refused for a newer version before a step gives up."""
    tries: int = 3
    """Workers that may vanish with one run in hand before a person is told instead."""
    approval: timedelta = timedelta(hours=1)
    """How long a person's answer is waited for."""
    call_seconds: float = 10.0
    """What a call may take at most; less than this left of a lease, and the lease is renewed first."""
    lease_margin: float = 1.0
    """Seconds before a lease ends in which nothing of ours may still be on its way."""


class ForEver:
    """The tenure of a run that nobody else can take: a journal of one process."""

    async def ends(self, run_id: str, *, needed: float) -> float:
        return math.inf

    def is_cancelled(self, run_id: str) -> bool:
        return False


@dataclass(frozen=True)
class Desk:
    store: RunStore
    clock: Clock
    systems: Mapping[str, AnySystem]
    rule: Callable[[str], Rule | None]
    """The rule as it is loaded now."""
    access: Access
    brakes: Brake
    guards: Sequence[Guard]
    tell: Observer
    bounds: Bounds
    tenure: Tenure = field(default_factory=ForEver)
