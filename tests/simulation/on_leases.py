"""
The promises about who has a run: one process at a time, nothing sent that may outlast its claim, and an end of trying.

In: the facts of one simulation. Out: each broken promise by its short name, with what was seen. A claim without an
end by the clock lasts as long as its process; with one, until then, wherever it was not renewed by the store.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import inf

from tests.simulation.facts import FINAL, WAITING, Entry, Facts, Found, write_told

MARGIN = 1.0
"""Seconds before a claim ends in which nothing of its process may still be on its way."""
TRIES = 3
HASTE, HASTE_SECONDS = 20, 10.0
COMMITS = ("intent", "outcome", "run", "start")


@dataclass
class Tenure:
    """One process has one run, from one entry of the history until another."""

    run: str
    life: int
    began: float
    until: float
    ended: int = -1
    """The entry that gave it back; -1: none did."""

    def is_over_at(self, entry: Entry) -> bool:
        return 0 <= self.ended < entry["n"] or self.until < entry["t"]


class Tenures:
    """Every claim of a simulation, and what each process could count on at each of its writes."""

    def __init__(self, facts: Facts) -> None:
        self.all: list[Tenure] = []
        self._of: dict[str, list[Tenure]] = defaultdict(list)
        self.at_write: dict[int, tuple[float, Entry]] = {}
        """Until when the run of each write was its sender's, as the store had it then."""
        self.before: list[tuple[Entry, str, Tenure | None]] = []
        """Each claim of a run, and who had it last."""
        for entry in facts.all:
            self._take(facts, entry)

    def latest(self, run: str, life: int | None = None) -> Tenure | None:
        return next((t for t in reversed(self._of[run]) if life is None or t.life == life), None)

    def _take(self, facts: Facts, entry: Entry) -> None:
        match entry["what"]:
            case "claim":
                self._claimed(entry)
            case "renew":
                self._renewed(entry)
            case "release":
                self._give_back(entry)
            case "run" if entry["state"] in FINAL | WAITING:
                self._give_back(entry)
            case "crash":
                self._gone(entry["life"], entry["t"])
            case "sent":
                run = (facts.wrote[entry["n"]] or {}).get("run", "")
                held = self.latest(run, entry["life"]) if run else None
                self.at_write[entry["n"]] = (held.until if held else -inf, entry)

    def _renewed(self, entry: Entry) -> None:
        for run in entry["runs"]:
            if (held := self.latest(run, entry["life"])) is not None:
                held.until = max(held.until, entry["until"])

    def _gone(self, life: int, at: float) -> None:
        for tenure in self.all:
            if tenure.life == life and tenure.until == inf:
                tenure.until = at

    def _claimed(self, entry: Entry) -> None:
        for run in entry["runs"]:
            self.before.append((entry, run, self.latest(run)))
            until = inf if entry["until"] is None else entry["until"]
            self.all.append(Tenure(run, entry["life"], entry["t"], until))
            self._of[run].append(self.all[-1])

    def _give_back(self, entry: Entry) -> None:
        held = self.latest(entry["run"], entry["life"])
        if held is not None and held.ended < 0:
            held.ended = entry["n"]


def one_holder(facts: Facts) -> Found:
    """Nobody is given a run that another process still has."""
    for claim, run, had in Tenures(facts).before:
        if had is not None and had.life != claim["life"] and not had.is_over_at(claim):
            told = f"life {claim['life']} claims {run} at {claim['t']:.3f}"
            yield "one-holder", f"{told}, which life {had.life} has until {had.until:.3f}"


def in_time(facts: Facts) -> Found:
    """No write leaves with less of its claim left than its own time limit and a margin."""
    for until, write in Tenures(facts).at_write.values():
        if write["ends"] > until - MARGIN + 1e-6 and facts.wrote[write["n"]] is not None:
            told = f"{write_told(write)} by life {write['life']} may last until {write['ends']:.3f}"
            yield "lease", f"{told}; its claim ends at {until:.3f}"


def fenced(facts: Facts) -> Found:
    """Once another process has a run, whoever had it before stores nothing more of it."""
    holder: dict[str, int] = {}
    had: dict[str, set[int]] = defaultdict(set)
    for entry in facts.all:
        if entry["what"] == "claim":
            for run in entry["runs"]:
                holder[run] = entry["life"]
                had[run].add(entry["life"])
        elif entry["what"] in COMMITS and entry["run"] in holder and entry["life"] != holder[entry["run"]]:
            was = "had it before" if entry["life"] in had[entry["run"]] else "never had it"
            told = f"life {entry['life']} stores a {entry['what']} of {entry['run']} at {entry['t']:.3f}"
            yield "fence", f"{told}: it {was}, and life {holder[entry['run']]} has it"


def quarantined(facts: Facts) -> Found:
    """A run in whose hands one process after the other is gone is not tried for ever."""
    gone = {e["life"]: e["n"] for e in facts.of["crash"]}
    lost: dict[str, int] = defaultdict(int)
    held: dict[str, int] = {}
    for entry in facts.all:
        if entry["what"] == "claim":
            for run in entry["runs"]:
                before = held.get(run)
                lost[run] += before is not None and gone.get(before, inf) < entry["n"]
                held[run] = entry["life"]
                if lost[run] > TRIES:
                    yield "tries", f"{run} is tried again after {lost[run]} processes ended with it in hand"
        elif entry["what"] == "release" or (entry["what"] == "run" and entry["state"] in FINAL | WAITING):
            held.pop(entry["run"], None)
            lost[entry["run"]] = 0
        elif entry["what"] == "outcome" and entry["state"] == "done":
            held.pop(entry["run"], None)  # it got on: whatever ends this process, it was not stuck at that
            lost[entry["run"]] = 0


def let_go(facts: Facts) -> Found:
    """At the end nothing is reserved for a run that is over: no target, no claim."""
    over = {run for run, state in facts.end["runs"].items() if state["state"] in FINAL}
    for what in ("locks", "leases"):
        for run in over & set(facts.end[what]):
            yield "let-go", f"{run} has ended and is still among the {what}"


def unhurried(facts: Facts) -> Found:
    """A run that waits really waits: it is not taken up again and again."""
    if facts.scene["skew"]:
        return  # it is due by the clock of who put it to wait, and whether it is due is asked by the store's
    claims: dict[str, list[float]] = defaultdict(list)
    for entry in facts.of["claim"]:
        for run in entry["runs"]:
            claims[run].append(entry["t"])
    for run, times in claims.items():
        if any(late - early < HASTE_SECONDS for early, late in zip(times, times[HASTE:], strict=False)):
            yield "unhurried", f"{run} is taken up {len(times)} times, {HASTE + 1} of them in {HASTE_SECONDS:g} s"


ON_LEASES = (one_holder, in_time, fenced, quarantined, let_go, unhurried)
