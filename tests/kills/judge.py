"""
Judge one trial by what the API server and the mills saw, what was acknowledged, and what the journal says.

In: plain values. Out: every promise that was broken, in words. Shares no code with the service: the chain of the audit
trail is computed here once more.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from tests.kills.trial import Seen

VERBS = ("mark", "drop", "turn", "rest")
FINAL = ("succeeded", "refused", "cancelled", "escalated")
ENDS = {
    "plain": {("succeeded", "cured")},
    "older": {("succeeded", "cured")},
    "trouble": {("succeeded", "cured")},
    "marked": {("succeeded", "cured")},
    "ask": {("succeeded", "cured")},
    "resolve": {("succeeded", "cured"), ("cancelled", "episode_over")},
    "deny": {("refused", "denied")},
    "expire": {("escalated", "approval_expired")},
    "withdraw": {("cancelled", "cancelled")},
    # Killed between the outcome of the wait and the end of its run, the run says of which step, and the step says why.
    "stop": {("escalated", "cancelled"), ("escalated", "step_failed")},
    "sick": {("escalated", "not_cured")},
    "disarmed": {("refused", "disarmed")},
    "well": {("succeeded", "recovered_by_itself")},
    "poison": {("succeeded", "cured"), ("escalated", "quarantined")},
}
"""How the runs of each scene may end, whatever is killed on the way."""

Broken = Iterator[str]


def judge(seen: Seen) -> list[str]:
    """Every broken promise."""
    acknowledged, sent = (_kept, _changes_kept), (_intended, _once, _probed)
    promises = (_whole, *acknowledged, *sent, _truthful, _ended, _quarantined, _free, _chained, _recorded)
    return [*seen.problems, *(f"{promise.__name__[1:]}: {told}" for promise in promises for told in promise(seen))]


def _whole(seen: Seen) -> Broken:
    for row in seen.journal["damage"]:
        yield f"the journal is damaged: {row}"


# --- what was acknowledged ---------------------------------------------------------------------------------


def _kept(seen: Seen) -> Broken:
    """Every acknowledged alert has exactly one run, or a record that says why not."""
    runs = Counter((row["body"]["labels"]["mill"]) for row in seen.journal["runs"])
    for mill, count in runs.items():
        if count != 1:
            yield f"{mill} has {count} runs for one episode"
    told = [json.loads(r["body"]) for r in seen.journal["audit"] if r["kind"] == "delivery"]
    for delivery in seen.acknowledged:
        stored = [t for t in told if t["sha256"] == delivery["sha256"]]
        if not stored:
            yield f"a delivery that was acknowledged is not in the trail: {delivery['told']}"
        for alert in delivery["alerts"]:
            mill = alert["labels"]["mill"]
            has_reason = any(mill in json.dumps(t["refused"]) or t["refused"] for t in stored)
            if alert["status"] == "firing" and not runs[mill] and not has_reason:
                yield f"the alert of {mill} was acknowledged and has neither run nor reason"
    for run_id in {run for t in told for run in t["admitted"]} - {row["id"] for row in seen.journal["runs"]}:
        yield f"{run_id} was admitted and is not in the journal"


def _changes_kept(seen: Seen) -> Broken:
    """What an operator was told is done is in the journal."""
    switches = Counter(row["name"] for row in seen.journal["switches"])
    signals = {(row["run_id"], row["name"]) for row in seen.journal["signals"]}
    for change in seen.told:
        told = change["told"]
        if "name" in told and change["path"].endswith("arm") and not switches[told["name"]]:
            yield f"{change['path']} was acknowledged and is not in the journal"
        run = change["path"].split("/")[-2]
        if "/runs/" in change["path"] and (run, told["name"]) not in signals:
            yield f"{change['path']} was acknowledged and is not in the journal"


# --- what was sent -----------------------------------------------------------------------------------------


def _writes(seen: Seen) -> list[dict[str, Any]]:
    return [entry for entry in seen.history if entry["what"] == "write"]


def _attempt_of(seen: Seen, write: dict[str, Any]) -> tuple[str, int, int] | None:
    """The attempt that stood as intended when the write arrived; None: there was none."""
    runs = {row["body"]["labels"]["mill"]: row["id"] for row in seen.journal["runs"]}
    seq = VERBS.index(write["verb"]) if write["verb"] in VERBS else -1
    open_ones = [
        (run, number, attempt)
        for run, number, attempt, state in write["attempts"]
        if run == runs.get(write["mill"]) and number == seq and state == "intent"
    ]
    return max(open_ones, default=None)


def _intended(seen: Seen) -> Broken:
    """When a write arrived its intent was on disk, and no other write was sent under that intent."""
    sent: Counter[tuple[str, int, int]] = Counter()
    for write in _writes(seen):
        attempt = _attempt_of(seen, write)
        if attempt is None:
            yield f"write {write['n']} ({write['verb']} {write['mill']}) arrived and no intent of it was committed"
        else:
            sent[attempt] += 1
    for attempt, count in sent.items():
        if count > 1:
            yield f"attempt {attempt} was sent {count} times"


def _once(seen: Seen) -> Broken:
    """Each effect happened at most once, and exactly once where a run says that it was done by its own hand."""
    applied = Counter((e["verb"], e["mill"]) for e in seen.history if e["what"] == "applied" and e["changed"])
    for (verb, mill), count in applied.items():
        if count > 1:
            yield f"{verb} took effect {count} times on {mill}"
    runs = {row["id"]: row["body"]["labels"]["mill"] for row in seen.journal["runs"]}
    for row in seen.journal["steps"]:
        step, verb = row["body"], VERBS[row["seq"]]
        is_written = step["state"] == "done" and step["effect"] != "none"
        if is_written and not applied[verb, runs[row["run_id"]]]:
            yield f"step {verb} of {row['run_id']} is journalled done and never took effect"
        if step["state"] == "failed" and verb != "rest":
            yield f"step {verb} of {row['run_id']} failed: {step['detail']}"


def _probed(seen: Seen) -> Broken:
    """Between two writes of one step the world was asked what had become of the first."""
    by_step: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for write in _writes(seen):
        by_step[write["verb"], write["mill"]].append(write)
    for (verb, mill), writes in by_step.items():
        for earlier, later in itertools.pairwise(writes):
            asked = [e for e in seen.history[earlier["n"] : later["n"]] if _is_probe(e, verb, mill)]
            if not any(entry["life"] > earlier["life"] for entry in asked):
                yield f"{verb} of {mill} was sent again ({later['n']} after {earlier['n']}) without a probe"
    yield from _settled_by_probe(seen)


def _is_probe(entry: dict[str, Any], verb: str, mill: str) -> bool:
    if verb == "turn":
        return bool(entry["what"] == "asked" and entry["about"] == "probe" and entry["mill"] == mill)
    plural = {"mark": "statefulsets", "drop": "pods"}[verb]
    is_list = entry["what"] == "read" and entry["verb"] == "list" and entry["plural"] == plural
    return is_list and bool(entry["query"].get("labelSelector") == f"mill={mill}")


def _settled_by_probe(seen: Seen) -> Broken:
    """In the trail: a new attempt of a writing step comes after the outcome of the one before, never beside it."""
    open_ones: dict[tuple[str, int], int] = {}
    for record in seen.journal["audit"]:
        told = json.loads(record["body"])
        if record["kind"] == "intent":
            step = told["run"], told["seq"]
            if step in open_ones:
                yield f"attempt {told['attempt']} of {step} was journalled while attempt {open_ones[step]} was open"
            open_ones[step] = told["attempt"]
        elif record["kind"] == "outcome":
            open_ones.pop((told["run"], told["seq"]), None)
    given_up = {row["id"] for row in seen.journal["runs"] if row["body"].get("reason") == "quarantined"}
    for step, attempt in open_ones.items():
        if step[0] in given_up:
            continue  # nobody takes it up again, and a person is told so
        yield f"attempt {attempt} of {step} has no outcome in the end"


# --- how it ended ------------------------------------------------------------------------------------------


def _truthful(seen: Seen) -> Broken:
    written = {write["mill"] for write in _writes(seen)}
    for row in seen.journal["runs"]:
        mill, state = row["body"]["labels"]["mill"], row["state"]
        if state == "succeeded" and seen.ails[mill]:
            yield f"{row['id']} succeeded, and {mill} is {seen.ails[mill]}"
        if state in ("refused", "cancelled") and mill in written:
            yield f"{row['id']} is {state}, and something was written"
        if state not in FINAL:
            yield f"{row['id']} is still {state}"


def _ended(seen: Seen) -> Broken:
    for row in seen.journal["runs"]:
        end = (row["state"], row["body"].get("reason"))
        if row["state"] in FINAL and end not in ENDS[seen.plan.scene]:
            yield f"{row['id']} ended as {end} in the scene {seen.plan.scene}: {row['body']['detail'][:300]}"


def _quarantined(seen: Seen) -> Broken:
    """Exactly the run that ended every life is set aside, and after as many lives as it may end."""
    ends = {row["body"]["labels"]["mill"]: row["body"].get("reason") for row in seen.journal["runs"]}
    given_up = {mill for mill, reason in ends.items() if reason == "quarantined"}
    if given_up != ({seen.plan.only} if seen.plan.only else set()):
        yield f"set aside are the runs of {given_up or 'nobody'}, of all {ends}"
    if seen.plan.only and len(seen.kills) != seen.plan.tries:
        yield f"{len(seen.kills)} lives ended over it, and it may end {seen.plan.tries}"


def _free(seen: Seen) -> Broken:
    """No lock outlives its run, and each start was counted once."""
    for row in seen.journal["target_locks"]:
        yield f"{row['run_id']} has ended and still holds {row['target_key']}"
    starts = Counter((row["run_id"], row["scope"]) for row in seen.journal["starts"])
    for (run, scope), count in starts.items():
        if count > 1:
            yield f"the start of {run} was counted {count} times in {scope}"
    started = {row["id"] for row in seen.journal["runs"] if row["body"].get("started_at")}
    for run in started ^ {run for run, _ in starts}:
        yield f"{run} has started, or was counted as started, but not both"


# --- the trail ---------------------------------------------------------------------------------------------


def _chained(seen: Seen) -> Broken:
    before = "0" * 64
    for number, record in enumerate(seen.journal["audit"], start=1):
        parts = (before, str(record["seq"]), record["at"], record["kind"], record["body"])
        text = "".join(f"{len(part)}:{part}" for part in parts)
        if record["seq"] != number or record["hash"] != hashlib.sha256(text.encode()).hexdigest():
            yield f"record {record['seq']} of the trail does not follow the one before"
        before = record["hash"]


def _recorded(seen: Seen) -> Broken:
    """One record for each intent, each outcome, each move and each signal; none for what is not there."""
    found = Counter((r["kind"], *_about(r["kind"], json.loads(r["body"]))) for r in seen.journal["audit"])
    wanted: Counter[tuple[Any, ...]] = Counter()
    for row in seen.journal["steps"]:
        about = (row["run_id"], row["seq"], row["attempt"])
        wanted["intent", *about] += 1
        wanted["outcome", *about] += row["body"]["state"] != "intent"
    for row in seen.journal["traces"]:
        wanted["move", row["run_id"], row["body"]["event"]] += 1
    for row in seen.journal["signals"]:
        wanted["signal", row["run_id"], row["name"]] += 1
    for about in found | wanted:
        if about[0] in ("intent", "outcome", "move", "signal") and found[about] != wanted[about]:
            yield f"{about} is {found[about]} times in the trail and {wanted[about]} times in the journal"


def _about(kind: str, told: dict[str, Any]) -> tuple[Any, ...]:
    match kind:
        case "intent" | "outcome":
            return told["run"], told["seq"], told["attempt"]
        case "move":
            return told["run"], told["event"]
        case "signal":
            return told["run"], told["name"]
        case _:
            return ()
