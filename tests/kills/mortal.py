"""
Stand between the service and its store, with a place to end before and after each transaction.

In: the calls of the seam. Out: the store's own answers, unchanged. A transaction is named for what it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from remediator.model.ledger import Delivery, Signal, StartRequest, Trace
from remediator.model.runs import Run, RunState, StepRecord, StepState
from tests.kills.ending import End


def _file(delivery: Delivery) -> str:
    return "file" if delivery.candidates else "resolve"


def _save(run: Run, trace: Trace | None = None) -> str:
    if trace is not None:
        return f"save.{trace.event}"
    return "save.plan" if run.state is RunState.PENDING else "save.watch"


def _intend(_: Run, record: StepRecord) -> str:
    return "intend.already" if "already_done" in record.intent else f"intend.{_verb(record)}"


def _settle(_: Run, record: StepRecord, *, state: StepState, by_probe: bool, **__: Any) -> str:
    if "already_done" in record.intent:
        return "settle.already"
    how = {StepState.DONE: "done", StepState.NOT_APPLIED: "not", StepState.FAILED: "failed"}[state]
    if by_probe:
        how = f"probed_{how}"
    return f"settle.{_verb(record)}.{'again' if how == 'not' and _verb(record) == 'rest' else how}"


def _verb(record: StepRecord) -> str:
    return record.verb.partition(".")[2]


def _signal(signal: Signal) -> str:
    return f"signal.{signal.name}"


def _always(name: str, *_: Any, **__: Any) -> str:
    return name


NAMED: Mapping[str, Callable[..., str]] = {
    "file": _file,
    "save": _save,
    "intend": _intend,
    "settle": _settle,
    "signal": _signal,
    **{name: partial(_always, name) for name in ("claim", "start", "release", "throw", "prune", "renew", "close")},
}


class Mortal:
    """The store of a life that ends."""

    def __init__(self, store: Any, end: End, transactions: list[str]) -> None:
        self._store, self._end, self._transactions = store, end, transactions

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return partial(self._transact, name, found) if name in NAMED else found

    async def _transact(self, kind: str, method: Any, *told: Any, **words: Any) -> Any:
        name, mill = NAMED[kind](*told, **words), _mill(*told)
        if kind == "claim" and self._end.is_at("claim") and not await self._is_worth_claiming():
            return await method(*told, **words)
        self._end.at(f"{name}.before", mill)
        self._transactions.append(name)
        try:
            answer = await method(*told, **words)
        finally:
            self._transactions.remove(name)
        self._end.at(f"{name}.after", mill)
        return answer

    async def _is_worth_claiming(self) -> bool:
        """A claim of nothing is no point to die at."""
        due = await self._store.due_in()
        return due is not None and due.total_seconds() <= 0


def _mill(*told: Any) -> str:
    """Which mill it is about, where it is about one."""
    first = told[0].run if told and isinstance(told[0], StartRequest) else told[0] if told else None
    return first.labels.get("mill", "") if isinstance(first, Run) else ""
