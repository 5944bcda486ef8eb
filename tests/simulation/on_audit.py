"""
The promises about the audit trail and about secrets. The chain is computed here, from the documented format alone.

In: the facts of one simulation. Out: each broken promise by its short name, with what was seen.
"""

from __future__ import annotations

import hashlib
from collections import Counter

from tests.simulation.facts import Facts, Found

BEGINNING = "0" * 64
SECRET = "canary-4f1d9c"
TOLD = ("complaint", "run", "outcome", "not-taken", "worker-died")
"""Entries that hold what the service said."""


def chained(facts: Facts) -> Found:
    """Every record is numbered without a gap, and its hash covers it and the hash before it."""
    before = BEGINNING
    for place, (seq, at, kind, body, found) in enumerate(facts.end["audit"], start=1):
        if seq != place:
            yield "audit-chain", f"record {seq} of the audit trail stands at place {place}"
        text = "".join(f"{len(part)}:{part}" for part in (before, str(seq), at, kind, body))
        if hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() != found:
            yield "audit-chain", f"record {seq} ({kind}) is not chained to the one before it"
        before = found


def counted(facts: Facts) -> Found:
    """As many records of each kind as there were commits of it, no more and no fewer."""
    done = {
        "delivery": len(facts.of["filed"]),
        "move": sum("event" in entry for entry in facts.of["run"]),
        "start": len(facts.of["judged"]),
        "intent": len(facts.of["intent"]),
        "outcome": sum(not entry["again"] for entry in facts.of["outcome"]),
        "signal": sum(not entry["again"] for entry in facts.of["signal"]),
        "switch": sum(entry.get("stored", False) for entry in facts.of["switch"]),
    }
    recorded = Counter(kind for _, _, kind, _, _ in facts.end["audit"])
    for kind in sorted({*done, *recorded}):
        if recorded[kind] != done.get(kind, 0):
            yield "audit-count", f"{done.get(kind, 0)} commits of kind {kind}, and {recorded[kind]} records of it"


def no_secret(facts: Facts) -> Found:
    """A token that somebody left in annotations is nowhere in what the service stores or says."""
    for text in facts.end["leaks"]:
        yield "secret", f"the journal holds it: {text}"
    for entry in facts.all:
        if entry["what"] in TOLD and any(SECRET in str(entry.get(key, "")) for key in ("detail", "error", "said")):
            yield "secret", f"entry {entry['n']} ({entry['what']}) tells it"


ON_AUDIT = (chained, counted, no_secret)
