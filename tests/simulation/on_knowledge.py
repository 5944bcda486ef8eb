"""
The promises about knowing: what is not known is found out by reading, and a write changes what was declared only.

In: the facts of one simulation. Out: each broken promise by its short name, with what was seen.
"""

from __future__ import annotations

from collections import defaultdict

from tests.simulation.facts import Entry, Facts, Found, attempt_of, is_named, write_told

PLURALS = {"Pod": "pods", "PersistentVolumeClaim": "persistentvolumeclaims", "PersistentVolume": "persistentvolumes"}
MEMBERS = "/v3/cluster/member/list"
STEADY_SECONDS = 30.0
FRESH_SECONDS = 7.0
"""As long as the evidence that a write rests on may be old."""


def looked_up(facts: Facts) -> Found:
    """An attempt whose call did not say what became of it is settled by a read that came after it."""
    intents = {attempt_of(e): e for e in facts.of["intent"]}
    last_sent = {attempt_of(i): w for w in facts.of["sent"] if (i := facts.wrote[w["n"]]) is not None}
    for attempt, outcome in facts.outcomes.items():
        intent = intents[attempt]
        if not outcome["by_probe"] or intent["effect"] == "none":
            continue
        since = last_sent.get(attempt, intent)["n"]
        reads = (e for e in facts.of["read"] if since < e["n"] < outcome["n"] and e["life"] == outcome["life"])
        if not any(_is_about(read, intent) for read in reads):
            yield "looked-up", f"attempt {attempt} is journalled {outcome['state']}, and nobody has looked"


def settled_first(facts: Facts) -> Found:
    """No further write to an object while it is not known what became of the last one."""
    open_attempts: dict[tuple[str, int, int], Entry] = {}
    for entry in facts.all:
        if entry["what"] == "intent" and entry["effect"] != "none":
            open_attempts[attempt_of(entry)] = entry
        elif entry["what"] == "outcome":
            open_attempts.pop(attempt_of(entry), None)
        elif entry["what"] == "run" and "event" in entry and entry["state"] == "escalated":
            open_attempts = {attempt: e for attempt, e in open_attempts.items() if attempt[0] != entry["run"]}
        elif entry["what"] == "sent":
            mine = facts.wrote[entry["n"]]
            for attempt, intent in open_attempts.items():
                is_mine = mine is not None and attempt == attempt_of(mine)
                if not is_mine and any(is_named(touched, entry) for touched in intent["touches"]):
                    yield "settled-first", f"{write_told(entry)} left while attempt {attempt} had no outcome"


def _is_about(read: Entry, intent: Entry) -> bool:
    if intent["verb"].startswith("etcd."):
        return bool(read["path"] == MEMBERS)
    return any(str(read["path"]).endswith(f"/{PLURALS[t['kind']]}/{t['name']}") for t in intent["touches"])


def unknown_is_no(facts: Facts) -> Found:
    """What could not be read just now is read well before anything is sent, or nothing is sent."""
    if len(facts.of["admitted"]) != 1:
        return  # whose read it was cannot be seen from outside
    unread: dict[int, dict[str, float]] = defaultdict(dict)
    for entry in facts.all:
        if entry["what"] == "unread":
            unread[entry["life"]][entry["path"]] = entry["t"]
        elif entry["what"] == "read":
            unread[entry["life"]].pop(entry["path"], None)
        elif entry["what"] == "sent":
            for path, at in unread[entry["life"]].items():
                if entry["t"] - at < FRESH_SECONDS:
                    yield "unknown", f"{write_told(entry)} left, and {path} could not be read at {at:.3f} nor since"


def contained(facts: Facts) -> Found:
    """What a patch changed, at the server, is what its step had declared."""
    for write in facts.of["sent"]:
        intent = facts.wrote[write["n"]]
        changed = facts.handled.get(write["n"], {}).get("changed", ())
        beyond = sorted(set(changed) - set(intent["changes"] if intent else ()))
        if beyond:
            yield "contained", f"{write_told(write)} also changed {', '.join(beyond)}"


def steady(facts: Facts) -> Found:
    """A run that says it is cured has watched for as long as its rule wants, by a clock that nobody sets."""
    for run, final in facts.finals.items():
        if final["reason"] != "cured":
            continue
        watched = [e for e in facts.of["run"] if e["run"] == run and e["state"] == "verifying" and "event" in e]
        seconds = final["t"] - watched[-1]["t"] if watched else 0.0
        if seconds < STEADY_SECONDS:
            yield "steady", f"{run} says it is cured after {seconds:.1f} s of watching; {STEADY_SECONDS:g} were wanted"


ON_KNOWLEDGE = (looked_up, settled_first, unknown_is_no, contained, steady)
