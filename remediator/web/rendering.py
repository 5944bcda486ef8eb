"""
The nouns as plain JSON values, for programs.

In: runs, steps, traces, rules, switches. Out: dictionaries with stable keys; times are ISO 8601 in UTC. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from remediator.model.brakes import BrakeState, Released
from remediator.model.ledger import Signal, Switch, Trace, is_armed
from remediator.model.rules import Limit, Rule
from remediator.model.runs import Run, StepRecord


def run_json(run: Run) -> dict[str, Any]:
    """A run as a line of a list."""
    return {
        "id": run.id,
        "rule": run.rule,
        "rule_revision": run.rule_revision,
        "alertname": run.labels.get("alertname", ""),
        "episode": run.episode,
        "state": str(run.state),
        "reason": str(run.reason) if run.reason else None,
        "detail": run.detail,
        "target": str(run.target) if run.target else None,
        "touched": run.touched,
        "steps_done": run.cursor,
        "steps_planned": len(run.plan.steps) if run.plan else 0,
        "created_at": _time(run.created_at),
        "due_at": None if run.state.is_final else _time(run.due_at),
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
        "resolved_at": _time(run.resolved_at),
    }


def whole_run_json(
    run: Run, steps: Sequence[StepRecord], traces: Sequence[Trace], signals: Sequence[Signal]
) -> dict[str, Any]:
    """A run with all that is known of it: what was seen, what is planned, what was done, and its history."""
    return {
        **run_json(run),
        "labels": dict(run.labels),
        "starts_at": run.starts_at,
        "target_object": run.target.as_json() if run.target else None,
        "diagnosis": run.diagnosis.as_json() if run.diagnosis else None,
        "plan": {**run.plan.as_json(), "digest": run.plan.digest} if run.plan else None,
        "steps": [_step_json(step) for step in steps],
        "traces": [_trace_json(trace) for trace in traces],
        "signals": [signal_json(signal) for signal in signals],
    }


def rule_json(rule: Rule, arming: Switch | None) -> dict[str, Any]:
    """`arming` is the newest record of the rule's own switch; it may have armed another revision."""
    return {
        "name": rule.name,
        "system": rule.system,
        "mode": str(rule.mode),
        "armed": is_armed(arming, rule.revision),
        "armed_revision": arming.revision if arming and arming.on else None,
        "remedy": rule.remedy,
        "matchers": [str(matcher) for matcher in rule.matchers],
        "namespaces": list(rule.namespaces),
        "limits": {
            "per_rule": _limit_json(rule.per_rule),
            "per_target": _limit_json(rule.per_target),
            "cooldown_seconds": rule.cooldown.total_seconds(),
        },
        "runbook": rule.runbook,
        "revision": rule.revision,
        "source": rule.source,
    }


def switch_json(switch: Switch) -> dict[str, Any]:
    said = {"name": switch.name, "on": switch.on, "by": switch.by, "why": switch.why, "at": _time(switch.at)}
    return said | ({"revision": switch.revision} if switch.revision else {})


def brake_json(brake: BrakeState) -> dict[str, Any]:
    why = "" if isinstance(brake, Released) else brake.why
    return {"by": brake.by, "state": type(brake).__name__.lower(), "why": why}


def signal_json(signal: Signal) -> dict[str, Any]:
    return {
        "run": signal.run_id,
        "name": str(signal.name),
        "plan": signal.digest,
        "by": signal.by,
        "why": signal.why,
        "at": _time(signal.at),
    }


def _step_json(step: StepRecord) -> dict[str, Any]:
    return {
        "seq": step.seq,
        "attempt": step.attempt,
        "verb": step.verb,
        "effect": str(step.effect),
        "state": str(step.state),
        "intent": dict(step.intent),
        "started_at": _time(step.started_at),
        "deadline": _time(step.deadline),
        "finished_at": _time(step.finished_at),
        "by_probe": step.by_probe,
        "changed": step.changed,
        "detail": step.detail,
    }


def _trace_json(trace: Trace) -> dict[str, Any]:
    return {
        "at": _time(trace.at),
        "before": trace.before,
        "event": trace.event,
        "after": trace.after,
        "reason": trace.reason,
        "detail": trace.detail,
    }


def _limit_json(limit: Limit) -> dict[str, Any]:
    return {"count": limit.count, "window_seconds": limit.window.total_seconds()}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
