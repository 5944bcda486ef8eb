"""
The promises about runs: how many there are, that each ends, and that what they say is true.

In: the facts of one simulation. Out: each broken promise by its short name, with what was seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from tests.simulation.facts import (
    FINAL,
    SCOPE,
    Entry,
    Facts,
    Found,
    attempt_of,
    episode_of,
    named_episode,
    write_told,
)

PER_TARGET, PER_TARGET_SECONDS = 1, 6 * 3600.0
PER_RULE, PER_RULE_SECONDS = 3, 3600.0
PER_NAMESPACE, PER_SERVICE, AN_HOUR = 5, 10, 3600.0
LOOK_SECONDS = 11.0
"""Between the last look at the members and the end of a verified run."""
UNKNOWN = ("outcome_unknown", "cannot tell")
DISTURBING = frozenset({"isolate", "delete-pod", "remake-pod", "remake-claim", "fix"})


# --- runs --------------------------------------------------------------------------------------------------


def one_run(facts: Facts) -> Found:
    """One run for each rule and episode; what was acknowledged has one."""
    runs = Counter((e["rule"], named_episode(e["labels"], e["starts_at"])) for e in facts.of["admitted"])
    for (rule, episode), count in runs.items():
        if count > 1:
            yield "one-run", f"rule {rule} has {count} runs for {episode}"
    known = {episode for _, episode in runs}
    told = [(e["n"], a) for e in facts.of["acknowledged"] for a in e["alerts"] if a["labels"]["namespace"] == SCOPE]
    over = {episode_of(a): n for n, a in reversed(told) if a["status"] == "resolved"}
    for n, alert in told:
        episode = episode_of(alert)
        is_over = over.get(episode, n) < n or facts.is_not_wanted(facts.all[n]["t"])
        if alert["status"] == "firing" and episode not in known and not is_over:
            yield "acked-kept", f"the alert acknowledged as entry {n} has no run"
    for run in {e["run"] for e in facts.of["admitted"]} - set(facts.end["runs"]):
        yield "acked-kept", f"{run} was admitted and is not in the journal"


def taken(facts: Facts) -> Found:
    """An alert that is sent again and again is taken in the end, and no delivery breaks anything inside."""
    if not facts.of["acknowledged"]:
        yield "taken", "no delivery was ever acknowledged"
    for entry in facts.of["not-taken"]:
        yield "inside", f"a delivery broke: {entry['error']}"


def one_at_a_time(facts: Facts) -> Found:
    """While a run writes to a target, no other run of that target has started and not ended."""
    targets = {e["run"]: e["target"] for e in facts.of["start"]}
    ended = {run: e["n"] for run, e in facts.finals.items()}
    for write in facts.of["sent"]:
        run = (facts.wrote[write["n"]] or {}).get("run", "")
        if run and not any(e["run"] == run and e["n"] < write["n"] for e in facts.of["start"]):
            yield "started", f"{write_told(write)} is of {run}, which has not started"
        for other in facts.of["start"]:
            is_live = other["n"] < write["n"] < ended.get(other["run"], len(facts.all))
            if other["run"] != run and is_live and other["target"] == targets.get(run):
                yield "exclusive", f"{write_told(write)} of {run} while {other['run']} is at work"


def limits(facts: Facts) -> Found:
    """By the store's clock, whose windows these are; one that is set back refills nothing."""
    scopes = (
        ("target", PER_TARGET, PER_TARGET_SECONDS),
        ("rule", PER_RULE, PER_RULE_SECONDS),
        ("namespace", PER_NAMESPACE, AN_HOUR),
        ("service", PER_SERVICE, AN_HOUR),
    )
    for kind, count, seconds in scopes:
        starts: dict[str, list[float]] = defaultdict(list)
        for entry in facts.of["start"]:
            key = entry.get(kind, SCOPE)
            earlier = [at for at in starts[key] if entry["at"] - at < seconds]
            starts[key].append(entry["at"])
            if len(earlier) >= count:
                yield "limits", f"{entry['run']} starts as number {len(earlier) + 1} of its {kind} within {seconds:g} s"


def ended(facts: Facts) -> Found:
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
        is_elsewhere = "moved on elsewhere" in entry["said"] and facts.scene["store"] != "shared"
        if "failed inside" in entry["said"] or is_elsewhere:
            yield "inside", f"{entry['said']}: {entry['error']}"


def settled(facts: Facts) -> Found:
    """No intent without an outcome, unless the run ended by saying that it cannot know."""
    for step in facts.end["steps"]:
        run = facts.end["runs"].get(step["run"], {})
        is_told = any(word in f"{run.get('reason')} {run.get('detail')}" for word in UNKNOWN)
        if step["state"] == "intent" and not is_told:
            yield "settled", f"step {step['seq']} of {step['run']} has no outcome, and the run says {run.get('reason')}"


# --- the truth ---------------------------------------------------------------------------------------------


def truthful_steps(facts: Facts) -> Found:
    """What the journal says of an attempt is what became of it, as far as anybody could know then."""
    effects: dict[tuple[str, int, int], list[Entry]] = defaultdict(list)
    for write in facts.of["sent"]:
        intent = facts.wrote[write["n"]]
        if intent is not None:
            effects[attempt_of(intent)].append({**facts.handled.get(write["n"], {}), "write": write})
    for attempt, outcome in facts.outcomes.items():
        applied = [h for h in effects.get(attempt, ()) if h.get("applied") and h["n"] < outcome["n"]]
        seen = [h for h in applied if not facts.put_back(h["write"], outcome["n"])]
        if outcome["state"] in ("not_applied", "failed") and seen:
            yield "truthful-step", f"attempt {attempt} is journalled {outcome['state']} and was applied"
        refused = [h for h in effects.get(attempt, ()) if not h.get("applied")]
        if outcome["state"] == "done" and refused and not applied and not outcome["by_probe"]:
            yield "truthful-step", f"attempt {attempt} is journalled done and was not applied"


def truthful_runs(facts: Facts) -> Found:
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


def nothing_lost(facts: Facts) -> Found:
    """No key is lost, no second cluster is founded, and the quorum is lost only by what a fault cut off."""
    if lost := _lost(facts.end["truth"]):
        yield "data", f"at the end there are {lost}"
    if not facts.of["sent"]:
        return
    cut = [(e["t"], e["until"] + 15.0) for e in facts.of["isolated"]]
    cut += [(e["t"], e["t"] + 15.0) for e in facts.of["fault"] if e["name"] in DISTURBING]
    for entry in facts.of["leader"]:
        by_us = entry["t"] > facts.of["sent"][0]["t"] and not any(a <= entry["t"] <= b for a, b in cut)
        if not entry["has"] and by_us:
            yield "quorum", f"the members lost their leader at {entry['t']:.3f}"


def cured(facts: Facts) -> Found:
    states = [state["state"] for state in facts.end["runs"].values()]
    if facts.of["scene"][0]["cluster"] == "elsewhere":
        if states:
            yield "cured", f"an alert from outside the scope made {len(states)} runs"
    elif states != ["succeeded"] or (ill := _ill(facts.end["truth"])):
        yield (
            "cured",
            f"nothing was in the way, and the runs are {facts.end['runs']}; {ill if states == ['succeeded'] else ''}",
        )


ON_RUNS = (
    one_run,
    taken,
    one_at_a_time,
    limits,
    ended,
    settled,
    truthful_steps,
    truthful_runs,
    nothing_lost,
)
