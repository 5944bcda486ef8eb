"""
Judge one simulation by what the API server, the members and the journal saw. Shares no code with the service.

In: the history, plain values in the order they happened. Out: every promise that was broken, in words. What a request
asked for is read from its own bytes; what it did, from the cluster's state at that moment.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Entry = Mapping[str, Any]

SCOPE = "milvus"
QUIET_SECONDS = 2.0
"""Within which the last write after a stop must have left: as long as a permit lasts."""
FRESH_SECONDS = 5.0 + QUIET_SECONDS
"""How old a read may be that a write's version was taken from."""
PER_TARGET, PER_TARGET_SECONDS = 1, 6 * 3600.0
PER_RULE, PER_RULE_SECONDS = 3, 3600.0
LOOK_SECONDS = 11.0
"""Between the last look at the members and the end of a verified run."""
FINAL = frozenset({"succeeded", "refused", "cancelled", "escalated"})
UNKNOWN = ("outcome_unknown", "cannot tell")
DISTURBING = frozenset({"isolate", "delete-pod", "remake-pod", "remake-claim"})


@dataclass(frozen=True)
class Violation:
    """A broken promise: its short name, and what was seen."""

    promise: str
    seen: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.seen}"


def check(history: Sequence[Entry], *, calm: bool = False) -> list[Violation]:
    """Every broken promise. `calm`: nothing went wrong but what the alert is about, so it must have been cured."""
    facts = _Facts(history)
    found = [Violation(promise, seen) for rule in RULES for promise, seen in rule(facts)]
    if calm:
        found += [Violation(promise, seen) for promise, seen in _cured(facts)]
    return found


class _Facts:
    """The history, sorted by what each entry tells."""

    def __init__(self, history: Sequence[Entry]) -> None:
        self.all = history
        self.of: dict[str, list[Entry]] = defaultdict(list)
        for entry in history:
            self.of[entry["what"]].append(entry)
        self.end: Entry = self.of["end"][-1]
        self.handled = {entry["sent"]: entry for entry in self.of["handled"]}
        self.outcomes = {_attempt(entry): entry for entry in self.of["outcome"]}
        self.finals = {e["run"]: e for e in self.of["run"] if e["state"] in FINAL}
        self.wrote: dict[int, Entry | None] = {w["n"]: self._intent_of(w) for w in self.of["sent"]}

    def _intent_of(self, write: Entry) -> Entry | None:
        """The latest intent, committed before the write left, of a step that may touch its object."""
        before = [
            e for e in self.of["intent"] if e["n"] < write["n"] and any(_is_named(t, write) for t in e["touches"])
        ]
        return before[-1] if before else None

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


def _attempt(entry: Entry) -> tuple[str, int, int]:
    return entry["run"], entry["seq"], entry["attempt"]


def _is_named(touched: Mapping[str, str], write: Entry) -> bool:
    return all(touched[key] == write[key] for key in ("kind", "namespace", "name"))


def _told(write: Entry) -> str:
    what = write["path"] if write["to"] == "etcd" else f"{write['kind']} {write['name']}"
    return f"write {write['number']} at {write['t']:.3f} ({write['method']} {what})"


Found = Iterator[tuple[str, str]]


# --- each write --------------------------------------------------------------------------------------------


def intent_first(facts: _Facts) -> Found:
    """The intent is committed before the first byte leaves, and has no outcome yet."""
    for write in facts.of["sent"]:
        intent = facts.wrote[write["n"]]
        if intent is None:
            yield "intent-first", f"{_told(write)} has no intent"
            continue
        outcome = facts.outcomes.get(_attempt(intent))
        if outcome is not None and outcome["n"] < write["n"]:
            yield "intent-first", f"{_told(write)} left after its attempt was settled"


def once(facts: _Facts) -> Found:
    """One send for one attempt; one effect for one step."""
    sends, effects = Counter[Any](), Counter[Any]()
    for write in facts.of["sent"]:
        intent = facts.wrote[write["n"]]
        if intent is None:
            continue
        sends[_attempt(intent)] += 1
        if facts.handled.get(write["n"], {}).get("applied"):
            effects[intent["run"], intent["seq"]] += 1
    for (run, seq, attempt), count in sends.items():
        if count > 1:
            yield "one-send", f"attempt {attempt} of step {seq} of {run} was sent {count} times"
    for (run, seq), count in effects.items():
        if count > 1:
            yield "one-effect", f"step {seq} of {run} took effect {count} times"


def preconditions(facts: _Facts) -> Found:
    """Every write to the cluster names a uid and a version, both from a read that was just made."""
    reads: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for entry in facts.all:
        if entry["what"] == "read":
            reads[entry["path"], entry["uid"]][entry["version"]] = entry["t"]
        if entry["what"] != "sent" or entry["to"] != "kube":
            continue
        if not entry["uid"]:
            yield "uid", f"{_told(entry)} names no uid"
        if not entry["version"]:
            yield "version", f"{_told(entry)} names no resourceVersion"
            continue
        at = reads[entry["path"], entry["uid"]].get(entry["version"]) if entry["uid"] else entry["t"]
        if at is None or entry["t"] - at > FRESH_SECONDS:
            yield "fresh", f"{_told(entry)}: its version was not read within {FRESH_SECONDS:g} s before"


def right_incarnation(facts: _Facts) -> Found:
    """A write goes to the incarnation that the plan was made for."""
    for write in facts.of["sent"]:
        intent = facts.wrote[write["n"]]
        if intent is None or not write["uid"]:
            continue
        planned = {touch["uid"] for touch in intent["touches"] if _is_named(touch, write)}
        if write["uid"] not in planned:
            yield "incarnation", f"{_told(write)} is for uid {write['uid']}, planned was {sorted(planned)}"


def in_scope(facts: _Facts) -> Found:
    for write in facts.of["sent"]:
        cluster_scoped = write["kind"] == "PersistentVolume"
        if write["kind"] not in ("Pod", "PersistentVolumeClaim", "PersistentVolume"):
            yield "scope", f"{_told(write)} is to a kind no plan has"
        if not cluster_scoped and write["namespace"] != SCOPE:
            yield "scope", f"{_told(write)} is in namespace {write['namespace']!r}"


def harmless(facts: _Facts) -> Found:
    """Nothing of a member that votes is deleted, and no data that is not kept."""
    for write in facts.of["sent"]:
        handled = facts.handled.get(write["n"])
        if write["method"] != "DELETE" or handled is None or not handled["applied"]:
            continue
        before = handled["before"]
        pod = before["pods"].get(write["name"].removeprefix("data-"), {})
        if pod.get("votes"):
            yield "healthy-member", f"{_told(write)} deletes of a member that votes"
        if write["kind"] == "PersistentVolumeClaim":
            if before["volumes"].get(write["uid"], "Retain") != "Retain":
                yield "data-kept", f"{_told(write)}: the volume behind it is not retained"
            run = (facts.wrote[write["n"]] or {}).get("run")
            if not any(b["run"] == run and b["n"] < write["n"] and b["size"] for b in facts.of["backup"]):
                yield "data-kept", f"{_told(write)}: the run has no backup"


# --- when nobody may write ---------------------------------------------------------------------------------


def quiet(facts: _Facts) -> Found:
    """Two seconds after a freeze, a disarming or a pause, nothing is sent until it is undone."""
    spans = [("frozen", *span) for span in facts.until("freeze", True)]
    spans += [("disarmed", *span) for span in facts.until("arm", False)]
    spans += [("paused", *span) for span in _pauses(facts)]
    for write in facts.of["sent"]:
        for why, since, until in spans:
            if since + QUIET_SECONDS < write["t"] < until:
                yield why, f"{_told(write)} left {write['t'] - since:.3f} s after it was {why}"


def _pauses(facts: _Facts) -> Iterator[tuple[float, float]]:
    since: dict[str, float] = {}
    for entry in facts.of["pause"]:
        if entry["on"]:
            since.setdefault(entry["kind"], entry["t"])
        elif entry["kind"] in since:
            yield since.pop(entry["kind"]), entry["t"]
    yield from ((begun, float("inf")) for begun in since.values())


def resolved(facts: _Facts) -> Found:
    """A run whose alert was resolved before its first write never writes."""
    over = {
        _episode(a): e["t"]
        for e in reversed(facts.of["acknowledged"])
        for a in e["alerts"]
        if a["status"] == "resolved"
    }
    episodes = {e["run"]: _named_episode(e["labels"], e["starts_at"]) for e in facts.of["admitted"]}
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
                f"{_told(write)} is the first of {run}, {write['t'] - at:.3f} s after the alert was resolved",
            )


def _episode(alert: Mapping[str, Any]) -> str:
    return _named_episode(alert["labels"], alert["startsAt"])


def _named_episode(labels: Mapping[str, str], starts_at: str) -> str:
    return f"{sorted(labels.items())}@{starts_at}"


# --- runs --------------------------------------------------------------------------------------------------


def one_run(facts: _Facts) -> Found:
    """One run for each rule and episode; what was acknowledged has one."""
    runs = Counter((e["rule"], _named_episode(e["labels"], e["starts_at"])) for e in facts.of["admitted"])
    for (rule, episode), count in runs.items():
        if count > 1:
            yield "one-run", f"rule {rule} has {count} runs for {episode}"
    known = {episode for _, episode in runs}
    told = [(e["n"], a) for e in facts.of["acknowledged"] for a in e["alerts"] if a["labels"]["namespace"] == SCOPE]
    over = {_episode(a): n for n, a in reversed(told) if a["status"] == "resolved"}
    for n, alert in told:
        episode = _episode(alert)
        if alert["status"] == "firing" and episode not in known and over.get(episode, n) >= n:
            yield "acked-kept", f"the alert acknowledged as entry {n} has no run"
    for run in {e["run"] for e in facts.of["admitted"]} - set(facts.end["runs"]):
        yield "acked-kept", f"{run} was admitted and is not in the journal"


def one_at_a_time(facts: _Facts) -> Found:
    """While a run writes to a target, no other run of that target has started and not ended."""
    targets = {e["run"]: e["target"] for e in facts.of["start"]}
    ended = {run: e["n"] for run, e in facts.finals.items()}
    for write in facts.of["sent"]:
        run = (facts.wrote[write["n"]] or {}).get("run", "")
        if run and not any(e["run"] == run and e["n"] < write["n"] for e in facts.of["start"]):
            yield "started", f"{_told(write)} is of {run}, which has not started"
        for other in facts.of["start"]:
            is_live = other["n"] < write["n"] < ended.get(other["run"], len(facts.all))
            if other["run"] != run and is_live and other["target"] == targets.get(run):
                yield "exclusive", f"{_told(write)} of {run} while {other['run']} is at work"


def limits(facts: _Facts) -> Found:
    for kind, count, seconds in (("target", PER_TARGET, PER_TARGET_SECONDS), ("rule", PER_RULE, PER_RULE_SECONDS)):
        starts: dict[str, list[float]] = defaultdict(list)
        for entry in facts.of["start"]:
            earlier = [t for t in starts[entry[kind]] if entry["t"] - t < seconds]
            starts[entry[kind]].append(entry["t"])
            if len(earlier) >= count:
                yield "limits", f"{entry['run']} starts as number {len(earlier) + 1} of its {kind} within {seconds:g} s"


def ended(facts: _Facts) -> Found:
    """Every run ends, with a reason, and nothing broke inside."""
    for run, state in facts.end["runs"].items():
        if state["state"] not in FINAL:
            yield (
                "stuck",
                f"{run} is still {state['state']} after all that time ({state['reason']}: {state['detail'][:120]})",
            )
        elif not state["reason"]:
            yield "stuck", f"{run} ended as {state['state']} without a reason"
        if state["reason"] in ("internal_error", "guard_failed"):
            yield "inside", f"{run} broke inside: {state['detail'][:200]}"
    for entry in facts.of["worker-died"]:
        yield "inside", f"the worker died: {entry['error']}"
    for entry in facts.of["complaint"]:
        if "failed inside" in entry["said"] or "moved on elsewhere" in entry["said"]:
            yield "inside", f"{entry['said']}: {entry['error']}"


def settled(facts: _Facts) -> Found:
    """No intent without an outcome, unless the run ended by saying that it cannot know."""
    for step in facts.end["steps"]:
        run = facts.end["runs"].get(step["run"], {})
        is_told = any(word in f"{run.get('reason')} {run.get('detail')}" for word in UNKNOWN)
        if step["state"] == "intent" and not is_told:
            yield "settled", f"step {step['seq']} of {step['run']} has no outcome, and the run says {run.get('reason')}"


# --- the truth ---------------------------------------------------------------------------------------------


def truthful_steps(facts: _Facts) -> Found:
    """What the journal says of an attempt is what became of it, as far as anybody could know then."""
    effects: dict[tuple[str, int, int], list[Entry]] = defaultdict(list)
    for write in facts.of["sent"]:
        intent = facts.wrote[write["n"]]
        if intent is not None:
            effects[_attempt(intent)].append(facts.handled.get(write["n"], {}))
    for attempt, outcome in facts.outcomes.items():
        applied = [h for h in effects.get(attempt, ()) if h.get("applied") and h["n"] < outcome["n"]]
        if outcome["state"] in ("not_applied", "failed") and applied:
            yield "truthful-step", f"attempt {attempt} is journalled {outcome['state']} and was applied"
        refused = [h for h in effects.get(attempt, ()) if not h.get("applied")]
        if outcome["state"] == "done" and refused and not applied and not outcome["by_probe"]:
            yield "truthful-step", f"attempt {attempt} is journalled done and was not applied"


def truthful_runs(facts: _Facts) -> Found:
    """Succeeded means well; refused and cancelled mean that nothing was written."""
    writers = {(facts.wrote[w["n"]] or {}).get("run") for w in facts.of["sent"]}
    for run, final in facts.finals.items():
        if final["state"] in ("refused", "cancelled") and run in writers:
            yield "truthful-run", f"{run} is {final['state']} and has written"
        objection = _ill(final["truth"])
        disturbed = any(
            final["t"] - LOOK_SECONDS <= e["t"] <= final["t"] for e in facts.of["fault"] if e["name"] in DISTURBING
        )
        if final["state"] == "succeeded" and objection and not disturbed:
            yield "truthful-run", f"{run} succeeded, and {objection}"


def _ill(truth: Mapping[str, Any]) -> str:
    """What is wrong with the cluster; "" when it is well."""
    sick = [name for name, pod in truth["pods"].items() if not (pod["ready"] and pod["votes"])]
    if len(truth["pods"]) != truth["replicas"] or sick:
        return f"{len(truth['pods'])} pods, not well: {', '.join(sick) or 'none'}"
    if truth["voters"] != truth["replicas"] or truth["members"] != truth["voters"] or not truth["has_leader"]:
        return f"{truth['voters']} voters of {truth['members']} members, leader: {truth['has_leader']}"
    return _lost(truth)


def _lost(truth: Mapping[str, Any]) -> str:
    if truth["keys"] != truth["wanted_keys"]:
        return f"{truth['keys']} of {truth['wanted_keys']} keys"
    return f"{truth['clusters']} clusters" if truth["clusters"] > 1 else ""


def nothing_lost(facts: _Facts) -> Found:
    """No key is lost, no second cluster is founded, and the quorum is lost only by what a fault cut off."""
    if lost := _lost(facts.end["truth"]):
        yield "data", f"at the end there are {lost}"
    if not facts.of["sent"]:
        return
    cut = [(e["t"], e["until"] + 15.0) for e in facts.of["isolated"]]
    for entry in facts.of["leader"]:
        by_us = entry["t"] > facts.of["sent"][0]["t"] and not any(a <= entry["t"] <= b for a, b in cut)
        if not entry["has"] and by_us:
            yield "quorum", f"the members lost their leader at {entry['t']:.3f}"


def _cured(facts: _Facts) -> Found:
    states = [state["state"] for state in facts.end["runs"].values()]
    if facts.of["scene"][0]["cluster"] == "elsewhere":
        if states:
            yield "cured", f"an alert from outside the scope made {len(states)} runs"
    elif states != ["succeeded"] or (ill := _ill(facts.end["truth"])):
        yield (
            "cured",
            f"nothing was in the way, and the runs are {facts.end['runs']}; {ill if states == ['succeeded'] else ''}",
        )


RULES = (
    intent_first,
    once,
    preconditions,
    right_incarnation,
    in_scope,
    harmless,
    quiet,
    resolved,
    one_run,
    one_at_a_time,
    limits,
    ended,
    settled,
    truthful_steps,
    truthful_runs,
    nothing_lost,
)
