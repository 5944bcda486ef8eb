"""
Bugs planted on purpose, to prove that the judge sees them.

In: a store or a system. Out: the same with one promise broken. Nothing but a life that is told so is ever handed one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

from remediator.model.ledger import Delivery, Filed
from remediator.model.plans import Effect, Step
from remediator.model.runs import Run, StepRecord
from remediator.model.seams import ReadAccess, WriteAccess
from remediator.model.systems import AnySystem, Found, StepResult, Verb
from tests.kills.points import POINTS

BEHIND = 0.2
"""Seconds by which a commit comes after its answer."""


@dataclass(frozen=True)
class Planted:
    broken: str
    """The judge's word for the promise that it breaks."""
    points: tuple[str, ...]
    """Where a life must end for it to show."""
    store: Callable[[Any], Any] = lambda store: store
    system: Callable[[AnySystem], AnySystem] = lambda system: system

    def seeds(self) -> Iterator[int]:
        return (seed for seed in count() if POINTS[seed % len(POINTS)].name in self.points)


class _Store:
    """A store with one method of another kind."""

    def __init__(self, store: Any, name: str, method: Callable[..., Awaitable[Any]]) -> None:
        self._store, self._name, self._method = store, name, method

    def __getattr__(self, name: str) -> Any:
        return partial(self._method, self._store) if name == self._name else getattr(self._store, name)


_behind: set[asyncio.Task[Any]] = set()


def _later(commit: Awaitable[Any]) -> None:
    async def wait() -> None:
        await asyncio.sleep(BEHIND)
        await commit

    task = asyncio.ensure_future(wait())
    _behind.add(task)
    task.add_done_callback(_behind.discard)


async def _acknowledged_first(store: Any, delivery: Delivery) -> list[Filed]:
    _later(store.file(delivery))
    return [Filed(c.rule, c.alert.episode, c.run_id, created=True) for c in delivery.candidates]


async def _intended_later(store: Any, run: Run, record: StepRecord) -> Run:
    if record.effect is Effect.NONE:
        return await store.intend(run, record)  # type: ignore[no-any-return]
    _later(store.intend(run, record))
    return replace(run, version=run.version + 1, touched=True)


# --- verbs -------------------------------------------------------------------------------------------------


def _with_verbs(change: Callable[[Verb], Any], system: AnySystem) -> AnySystem:
    return replace(system, verbs={name: change(verb) for name, verb in system.verbs.items()})


class _Probing:
    """A verb whose probe does not look."""

    def __init__(self, verb: Verb, found: Found) -> None:
        self.effect, self._verb, self._found = verb.effect, verb, found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._verb, name)

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        return self._found


class _Twice:
    """A verb that makes sure."""

    def __init__(self, verb: Verb) -> None:
        self.effect, self._verb = verb.effect, verb

    def __getattr__(self, name: str) -> Any:
        return getattr(self._verb, name)

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        if step.verb == "mill.turn":
            await self._verb.apply(write, step, intent)
        return await self._verb.apply(write, step, intent)


PLANTED: Mapping[str, Planted] = {
    "acknowledge before the commit": Planted(
        "kept", ("file.before", "anywhere"), store=lambda store: _Store(store, "file", _acknowledged_first)
    ),
    "send before the intent is committed": Planted(
        "intended", ("mark.answered",), store=lambda store: _Store(store, "intend", _intended_later)
    ),
    "take what is not known for not done": Planted(
        "once",
        ("turn.applied", "turn.answered"),
        system=partial(_with_verbs, lambda verb: _Probing(verb, Found.NOT_DONE)),
    ),
    "take what is not known for done": Planted(
        "once",
        ("turn.before", "intend.turn.after"),
        system=partial(_with_verbs, lambda verb: _Probing(verb, Found.DONE)),
    ),
    "send again without a probe": Planted(
        "probed", ("turn.sent", "turn.applied"), system=partial(_with_verbs, lambda v: _Probing(v, Found.NOT_DONE))
    ),
    "send twice under one intent": Planted("intended", ("turn.before",), system=partial(_with_verbs, _Twice)),
}
