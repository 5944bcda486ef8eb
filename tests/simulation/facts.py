"""
The history of a simulation, sorted for judging. Plain values; shares no code with the service.

In: the entries in the order they happened. Out: which write belongs to which intent, what became of each, and when
which switch stood how.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]
Found = Iterator[tuple[str, str]]
"""Broken promises: the short name, and what was seen."""

SCOPE = "milvus"
DELIVERY_SECONDS = 30.0
QUIET_SECONDS = 2.0
"""Within which the last write after a stop must have left: as long as a permit lasts."""
WAITING = frozenset({"held", "awaiting_approval"})
FINAL = frozenset({"succeeded", "refused", "cancelled", "escalated"})


class Facts:
    """The history, sorted by what each entry tells."""

    def __init__(self, history: Sequence[Entry]) -> None:
        self.all = history
        self.of: dict[str, list[Entry]] = defaultdict(list)
        for entry in history:
            self.of[entry["what"]].append(entry)
        self.scene: Entry = self.of["scene"][0]
        self.scope = SCOPE
        self.end: Entry = self.of["end"][-1]
        self.handled = {entry["sent"]: entry for entry in self.of["handled"]}
        self.outcomes = {attempt_of(entry): entry for entry in self.of["outcome"]}
        self.finals = {e["run"]: e for e in self.of["run"] if e["state"] in FINAL}
        self.wrote: dict[int, Entry | None] = {w["n"]: self._intent_of(w) for w in self.of["sent"]}

    def _intent_of(self, write: Entry) -> Entry | None:
        """The latest intent, committed before the write left and by its own process, of a step that may touch it."""
        for intent in reversed(self.of["intent"]):
            is_before = intent["n"] < write["n"] and intent["life"] == write["life"]
            if is_before and any(is_named(touched, write) for touched in intent["touches"]):
                return intent
        return None

    def put_back(self, write: Entry, by: int) -> bool:
        """Whether somebody undid this write before entry `by`: then it looks as if it had never been applied."""
        handled = self.handled.get(write["n"])
        since = handled["n"] if handled else write["n"]
        return any(e["name"] == write["name"] and since < e["n"] < by for e in self.of["reverted"])

    def is_not_wanted(self, at: float) -> bool:
        """Whether the rule was removed or narrowed at that time, or while a delivery may have been on its way."""
        wanted = [(e["t"], self.scope in e["namespaces"]) for e in self.of["rule"]]
        now = [is_mine for t, is_mine in wanted if t <= at][-1:]
        return not all([*now, *(is_mine for t, is_mine in wanted if at - DELIVERY_SECONDS < t <= at)])

    def until(self, name: str, on: bool) -> Iterator[tuple[float, float]]:
        """The spans of time in which the switch stood at `on`."""
        since: float | None = None
        for entry in self.of["switch"]:
            if entry["name"] == name or (name == "arm" and entry["name"].startswith("arm:")):
                if entry["on"] is on:
                    since = entry["t"] if since is None else since
                elif since is not None:
                    yield since, entry["t"]
                    since = None
        if since is not None:
            yield since, float("inf")


def attempt_of(entry: Entry) -> tuple[str, int, int]:
    return entry["run"], entry["seq"], entry["attempt"]


def is_named(touched: Mapping[str, str], write: Entry) -> bool:
    return all(touched[key] == write[key] for key in ("kind", "namespace", "name"))


def write_told(write: Entry) -> str:
    what = write["path"] if write["to"] == "etcd" else f"{write['kind']} {write['name']}"
    return f"write {write['number']} at {write['t']:.3f} ({write['method']} {what})"


def episode_of(alert: Mapping[str, Any]) -> str:
    return named_episode(alert["labels"], alert["startsAt"])


def named_episode(labels: Mapping[str, str], starts_at: str) -> str:
    return f"{sorted(labels.items())}@{starts_at}"
