"""
Judge one simulation by what the API server, the members and the journal saw. Shares no code with the service.

README.md beside this says which rule holds the service to which invariant. Each entry is judged with only what came
before it, so judging the whole history once is judging after every step.

In: the history, plain values in the order they happened. Out: every promise that was broken, in words. What a request
asked for is read from its own bytes; what it did, from the cluster's state at that moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.simulation.facts import Entry, Facts
from tests.simulation.on_audit import ON_AUDIT
from tests.simulation.on_knowledge import ON_KNOWLEDGE
from tests.simulation.on_leases import ON_LEASES
from tests.simulation.on_people import ON_PEOPLE
from tests.simulation.on_runs import ON_RUNS, cured
from tests.simulation.on_writes import ON_WRITES

RULES = (*ON_WRITES, *ON_KNOWLEDGE, *ON_LEASES, *ON_PEOPLE, *ON_RUNS, *ON_AUDIT)


@dataclass(frozen=True)
class Violation:
    """A broken promise: its short name, and what was seen."""

    promise: str
    seen: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.seen}"


def check(history: Sequence[Entry], *, calm: bool = False) -> list[Violation]:
    """Every broken promise. `calm`: nothing went wrong but what the alert is about, so it must have been cured."""
    facts = Facts(history)
    found = [Violation(promise, seen) for rule in RULES for promise, seen in rule(facts)]
    if calm:
        found += [Violation(promise, seen) for promise, seen in cured(facts)]
    return found
