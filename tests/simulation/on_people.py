"""
The promises to people: their yes is needed, their no is final, their rule is what counts, and nobody is fought.

In: the facts of one simulation. Out: each broken promise by its short name, with what was seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from math import inf

from tests.simulation.facts import QUIET_SECONDS, Entry, Facts, Found, write_told

APPROVAL_SECONDS = 90.0
AGAIN = 1
"""How often, at most, an object may be written to once somebody else has put it back."""


def approved(facts: Facts) -> Found:
    """Where the rule asks, no plan goes on without a timely yes to exactly that, and none that was denied."""
    if not facts.scene["reply"]:
        return
    for going in facts.of["run"]:
        if going.get("event") != "allowed":
            continue
        plan = json.dumps(going["steps"], sort_keys=True, separators=(",", ":"))
        digest, run = hashlib.sha256(plan.encode()).hexdigest(), going["run"]
        answers = [e for e in facts.of["signal"] if e["n"] < going["n"] and e["run"] == run and e["digest"] == digest]
        if not _is_timely(facts, run, digest, [e for e in answers if e["name"] == "approve"]):
            yield "approval", f"{run} goes on at {going['t']:.3f} without a timely yes to its plan {digest[:12]}"
    for taken in facts.of["run"]:
        if taken.get("event") == "approved" and (no := _no_before(facts, taken)) is not None:
            yield "denied", f"{taken['run']} goes on at {taken['t']:.3f}, and {no['by']} has denied it"


def _is_timely(facts: Facts, run: str, digest: str, yes: list[Entry]) -> bool:
    """Within the time for an answer, as far as the wall clocks of two machines agree on it."""
    asked = [e for e in facts.of["run"] if e["run"] == run and e.get("event") == "asked" and e["plan"] == digest]
    limit = APPROVAL_SECONDS + 2 * facts.scene["skew"] + 1.0
    return any(e["n"] > a["n"] and e["t"] - a["t"] <= limit for e in yes for a in asked)


def _no_before(facts: Facts, taken: Entry) -> Entry | None:
    """A no to the plan that was there when the run was taken up; what is told while it is read is too late."""
    run = taken["run"]
    asked = [e for e in facts.of["run"] if e["run"] == run and e["n"] < taken["n"] and e.get("plan")]
    claims = [e["n"] for e in facts.of["claim"] if run in e["runs"] and e["n"] < taken["n"]]
    digest, since = (asked[-1]["plan"] if asked else ""), (claims[-1] if claims else -1)
    told = (e for e in facts.of["signal"] if e["run"] == run and e["n"] < since)
    return next((e for e in told if e["name"] == "deny" and e["digest"] == digest), None)


def cancelled(facts: Facts) -> Found:
    """Two seconds after a person cancelled or denied a run, nothing of it is sent."""
    over = {e["run"]: e["t"] for e in reversed(facts.of["signal"]) if e["name"] == "cancel"}
    for write in facts.of["sent"]:
        run = (facts.wrote[write["n"]] or {}).get("run", "")
        if write["t"] > over.get(run, inf) + QUIET_SECONDS:
            yield "cancelled", f"{write_told(write)} left {write['t'] - over[run]:.3f} s after {run} was cancelled"


def under_rule(facts: Facts) -> Found:
    """Two seconds after its rule was removed, set to observe or narrowed, nothing of a run is sent."""
    for since, until, why in _tightened(facts):
        for write in facts.of["sent"]:
            if since + QUIET_SECONDS < write["t"] < until and facts.wrote[write["n"]] is not None:
                yield "rule", f"{write_told(write)} left {write['t'] - since:.3f} s after its rule was {why}"


def _tightened(facts: Facts) -> Iterator[tuple[float, float, str]]:
    began: tuple[float, str] | None = None
    for entry in facts.of["rule"]:
        is_mine = facts.scope in entry["namespaces"]
        why = "removed" if not entry["loaded"] else "set to observe" if entry["mode"] == "observe" else ""
        why = why or ("" if is_mine else "narrowed")
        if began is not None and why != began[1]:
            yield began[0], entry["t"], began[1]
            began = None
        if why and began is None:
            began = entry["t"], why
    if began is not None:
        yield began[0], inf, began[1]


def pinned(facts: Facts) -> Found:
    """What is carried out is the plan that was let go last before its first step, whatever its rule says by now."""
    plans: dict[str, str] = {}
    begun: set[str] = set()
    for entry in facts.all:
        run = entry.get("run", "")
        if entry["what"] == "run" and entry.get("event") == "allowed" and run not in begun:
            plans[run] = entry["plan"]
        elif entry["what"] == "intent":
            begun.add(run)
            if entry["digest"] != plans.get(run):
                yield "pinned", f"step {entry['seq']} of {run} is of another plan than the one it began with"


def no_fight(facts: Facts) -> Found:
    """An object that somebody put back is written to once more at most."""
    for name in sorted({e["name"] for e in facts.of["reverted"]}):
        first = next(e for e in facts.of["reverted"] if e["name"] == name)
        applied = [
            write
            for write in facts.of["sent"]
            if write["name"] == name and write["n"] > first["n"] and facts.handled.get(write["n"], {}).get("applied")
        ]
        if len(applied) > AGAIN:
            yield "fight", f"{write_told(applied[AGAIN])} is number {len(applied)} since somebody put {name} back"


ON_PEOPLE = (approved, cancelled, under_rule, pinned, no_fight)
