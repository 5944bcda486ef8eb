"""
Remember the latest changes, so that a watch can start in the recent past.

In: every change as it is made. Out: the changes after a resourceVersion, for one type and one selection; 410 once
the bounded history no longer reaches back that far.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from remediator.model.objects import ResourceType
from remediator.practice.refusals import expired
from remediator.practice.resources import stored_as

Seen = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Change:
    """One committed change. `manifest` is what was stored (the last state, when it went)."""

    version: int
    type: str
    resource: ResourceType
    manifest: Mapping[str, Any]
    before: Mapping[str, Any] | None


class History:
    """The last `length` changes of the whole server."""

    def __init__(self, length: int) -> None:
        self._changes: deque[Change] = deque(maxlen=length)
        self._oldest_known = 0

    def record(self, change: Change) -> None:
        if len(self._changes) == self._changes.maxlen:
            self._oldest_known = self._changes[0].version
        self._changes.append(change)

    def forget(self) -> None:
        """Compaction: every watch that is not up to date will be told 410."""
        if self._changes:
            self._oldest_known = self._changes[-1].version
        self._changes.clear()

    def reaches(self, version: int) -> bool:
        return version >= self._oldest_known

    def after(self, version: int) -> Iterator[Change]:
        """Changes later than `version`, oldest first; 410 when some of them are forgotten."""
        if not self.reaches(version):
            raise expired(version, self._oldest_known)
        return iter([change for change in self._changes if change.version > version])


def seen_as(change: Change, resource: ResourceType, is_selected: Seen) -> str:
    """
    What a watch of `resource` with a selection calls this change; "" when it does not concern it.

    An object that enters the selection is ADDED and one that leaves it is DELETED, whatever happened to it.
    """
    if change.resource != stored_as(resource):
        return ""
    was = change.before is not None and is_selected(change.before)
    is_in = change.type != "DELETED" and is_selected(change.manifest)
    if is_in:
        return "MODIFIED" if was else "ADDED"
    return "DELETED" if was else ""
