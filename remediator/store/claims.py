"""
Which runs the workers of this process have.

In: runs read from the journal. Out: those that are free, now claimed. Kept in memory on purpose: a journal has one
process, so a restart gives every claim back. Belongs to the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Iterable

from remediator.model.runs import Run


class Claims:
    """The claimed run ids."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._returned: set[str] = set()

    def __len__(self) -> int:
        return len(self._held)

    def ids(self) -> frozenset[str]:
        return frozenset(self._held)

    def look(self) -> None:
        """Before reading the journal for `take`: what is given back from now on may have been read too early."""
        self._returned.clear()

    def take(self, runs: Iterable[Run], limit: int) -> list[Run]:
        """The first `limit` of `runs` that nobody has, now claimed."""
        free = [run for run in runs if run.id not in self._held and run.id not in self._returned][: max(0, limit)]
        self._held.update(run.id for run in free)
        return free

    def set_aside(self, run_id: str) -> bool:
        """A run that cannot be read is nobody's until the next start. Whether that is news."""
        is_news = run_id not in self._held
        self._held.add(run_id)
        return is_news

    def give_up(self, run_id: str) -> None:
        self._held.discard(run_id)
        self._returned.add(run_id)
