"""
The promises about each write: what came before it, what it asked for, what it did, and when nobody may write.

In: the facts of one simulation. Out: each broken promise by its short name, with what was seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from tests.simulation.facts import (
    QUIET_SECONDS,
    SCOPE,
    Entry,
    Facts,
    Found,
    attempt_of,
    episode_of,
    is_named,
    named_episode,
    write_told,
)

FRESH_SECONDS = 5.0 + QUIET_SECONDS
"""How old a read may be that a write's version was taken from."""
STOP_SECONDS = 0.1
HASTE, HASTE_SECONDS = 8, 5.0
"""More than so many sends of one step in so many seconds are no careful attempt any more."""


# --- each write --------------------------------------------------------------------------------------------


def intent_first(facts: Facts) -> Found:
    """The intent is committed before the first byte leaves, and has no outcome yet."""
    for write in facts.of["sent"]:
        intent = facts.wrote[write["n"]]
        if intent is None:
            yield "intent-first", f"{write_told(write)} has no intent"
            continue
        outcome = facts.outcomes.get(attempt_of(intent))
        if outcome is not None and outcome["n"] < write["n"]:
            yield "intent-first", f"{write_told(write)} left after its attempt was settled"


def once(facts: Facts) -> Found:
    """One send for one attempt; one effect for one step."""
    sends, effects = Counter[Any](), Counter[Any]()
    for write in facts.of["sent"]:
        intent = facts.wrote[write["n"]]
        if intent is None:
            continue
        sends[attempt_of(intent)] += 1
        if facts.handled.get(write["n"], {}).get("applied") and not facts.put_back(write, len(facts.all)):
            effects[intent["run"], intent["seq"]] += 1
    for (run, seq, attempt), count in sends.items():
        if count > 1:
            yield "one-send", f"attempt {attempt} of step {seq} of {run} was sent {count} times"
    for (run, seq), count in effects.items():
        if count > 1:
            yield "one-effect", f"step {seq} of {run} took effect {count} times"


def patient(facts: Facts) -> Found:
    """A step whose writes fail is not sent again and again without a pause."""
    sends: dict[tuple[str, int], list[float]] = defaultdict(list)
    for write in facts.of["sent"]:
        intent = facts.wrote[write["n"]]
        if intent is not None:
            sends[intent["run"], intent["seq"]].append(write["t"])
    for (run, seq), times in sends.items():
        if any(late - early < HASTE_SECONDS for early, late in zip(times, times[HASTE:], strict=False)):
            yield (
                "patient",
                f"step {seq} of {run} was sent {len(times)} times, {HASTE + 1} of them in {HASTE_SECONDS:g} s",
            )


def preconditions(facts: Facts) -> Found:
    """Every write to the cluster names a uid and a version, both from a read that was just made."""
    reads: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for entry in facts.all:
        if entry["what"] == "read":
            reads[entry["path"], entry["uid"]][entry["version"]] = entry["t"]
        if entry["what"] != "sent" or entry["to"] != "kube":
            continue
        if not entry["uid"]:
            yield "uid", f"{write_told(entry)} names no uid"
        if not entry["version"]:
            yield "version", f"{write_told(entry)} names no resourceVersion"
            continue
        at = reads[entry["path"], entry["uid"]].get(entry["version"]) if entry["uid"] else entry["t"]
        if at is None or entry["t"] - at > FRESH_SECONDS:
            yield "fresh", f"{write_told(entry)}: its version was not read within {FRESH_SECONDS:g} s before"


def right_incarnation(facts: Facts) -> Found:
    """A write goes to the incarnation that the plan was made for."""
    for write in facts.of["sent"]:
        intent = facts.wrote[write["n"]]
        if intent is None or not write["uid"]:
            continue
        planned = {touch["uid"] for touch in intent["touches"] if is_named(touch, write)}
        if write["uid"] not in planned:
            yield "incarnation", f"{write_told(write)} is for uid {write['uid']}, planned was {sorted(planned)}"


def in_scope(facts: Facts) -> Found:
    for write in facts.of["sent"]:
        cluster_scoped = write["kind"] == "PersistentVolume"
        if write["kind"] not in ("Pod", "PersistentVolumeClaim", "PersistentVolume"):
            yield "scope", f"{write_told(write)} is to a kind no plan has"
        if not cluster_scoped and write["namespace"] != SCOPE:
            yield "scope", f"{write_told(write)} is in namespace {write['namespace']!r}"


def harmless(facts: Facts) -> Found:
    """Nothing of a member that votes is deleted, and no data that is not kept."""
    for write in facts.of["sent"]:
        handled = facts.handled.get(write["n"])
        if write["method"] != "DELETE" or handled is None or not handled["applied"]:
            continue
        before = handled["before"]
        pod = before["pods"].get(write["name"].removeprefix("data-"), {})
        if pod.get("votes"):
            yield "healthy-member", f"{write_told(write)} deletes of a member that votes"
        if write["kind"] == "PersistentVolumeClaim":
            if before["volumes"].get(write["uid"], "Retain") != "Retain" and not _changed_since_read(facts, write):
                yield "data-kept", f"{write_told(write)}: the volume behind it is not retained"
            run = (facts.wrote[write["n"]] or {}).get("run")
            if not any(b["run"] == run and b["n"] < write["n"] and b["size"] for b in facts.of["backup"]):
                yield "data-kept", f"{write_told(write)}: the run has no backup"


def _changed_since_read(facts: Facts, write: Entry) -> bool:
    """
    Somebody changed the volume between its last read and this write, which no API can rule out.

    A precondition covers the object that is written, and that is the claim. What may be held against the service is
    to write without having read that the volume is kept.
    """
    for reverted in facts.of["reverted"]:
        reads = [r for r in facts.of["read"] if r["n"] < write["n"] and r["path"].endswith(f"/{reverted['name']}")]
        last = reads[-1] if reads else None
        if last and last["n"] < reverted["n"] and write["t"] - last["t"] < FRESH_SECONDS:
            return True
    return False


# --- when nobody may write ---------------------------------------------------------------------------------


def quiet(facts: Facts) -> Found:
    """Two seconds after a freeze, a disarming or a pause, nothing is sent until it is undone."""
    spans = [("frozen", *span) for span in facts.until("freeze", True)]
    spans += [("disarmed", *span) for span in facts.until("arm", False)]
    spans += [("paused", *span) for span in _pauses(facts)]
    for write in facts.of["sent"]:
        for why, since, until in spans:
            if since + QUIET_SECONDS < write["t"] < until:
                yield why, f"{write_told(write)} left {write['t'] - since:.3f} s after it was {why}"


def _pauses(facts: Facts) -> Iterator[tuple[float, float]]:
    since: dict[str, float] = {}
    for entry in facts.of["pause"]:
        if entry["on"]:
            since.setdefault(entry["kind"], entry["t"])
        elif entry["kind"] in since:
            yield since.pop(entry["kind"]), entry["t"]
    yield from ((begun, float("inf")) for begun in since.values())


def no_new_step_when_stopping(facts: Facts) -> Found:
    """A process that was asked to end commits no new intent."""
    for stop in facts.of["stop"]:
        for intent in facts.of["intent"]:
            if intent["life"] == stop["life"] and intent["t"] > stop["t"] + STOP_SECONDS:
                late = intent["t"] - stop["t"]
                yield (
                    "stopping",
                    f"step {intent['seq']} of {intent['run']} begins {late:.3f} s after the process was told to end",
                )


def resolved(facts: Facts) -> Found:
    """A run whose alert was resolved before its first write never writes."""
    over = {
        episode_of(a): e["t"]
        for e in reversed(facts.of["acknowledged"])
        for a in e["alerts"]
        if a["status"] == "resolved"
    }
    episodes = {e["run"]: named_episode(e["labels"], e["starts_at"]) for e in facts.of["admitted"]}
    first: dict[str, Entry] = {}
    for write in facts.of["sent"]:
        intent = facts.wrote[write["n"]]
        if intent is not None:
            first.setdefault(intent["run"], write)
    for run, write in first.items():
        at = over.get(episodes.get(run, ""))
        if at is not None and write["t"] > at + QUIET_SECONDS:
            yield (
                "resolved",
                f"{write_told(write)} is the first of {run}, {write['t'] - at:.3f} s after the alert was resolved",
            )


ON_WRITES = (
    intent_first,
    once,
    patient,
    preconditions,
    right_incarnation,
    in_scope,
    harmless,
    quiet,
    no_new_step_when_stopping,
    resolved,
)
