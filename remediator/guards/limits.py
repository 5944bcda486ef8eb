"""
Strict sliding windows: at most N started runs per rule, target, namespace and in all, in any window of that length.

Counted from the store inside the transaction that starts the run, so restarts and races do not refill them. A run
that has started has spent its share and is not counted again. A limit of none refuses: no wait makes room.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from remediator.model.rules import Limit
from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Hold, Reason, Refuse, Verdict


class LimitsGuard:
    name = "limits"

    def __call__(self, facts: Facts) -> Verdict:
        if facts.run.started_at is not None:
            return Allow()
        limits = (facts.per_rule, facts.per_target, facts.per_namespace, facts.per_service)
        if min(limit.count for limit in limits) < 1:
            return Refuse(Reason.RATE_LIMITED, f"a limit of rule {facts.run.rule} or of the service allows no run")
        usage = facts.usage
        held = [
            hold
            for hold in (
                _wait("this rule", usage.rule_starts, facts.per_rule),
                _wait("this target", usage.target_starts, facts.per_target),
                _wait("this namespace", usage.namespace_starts, facts.per_namespace),
                _wait("the service", usage.global_starts, facts.per_service),
            )
            if hold is not None
        ]
        return max(held, key=lambda h: h.until) if held else Allow()


def _wait(what: str, starts: Sequence[datetime], limit: Limit) -> Hold | None:
    """Hold until enough starts have left the window; None when there is room now."""
    if len(starts) < limit.count:
        return None
    frees = starts[len(starts) - limit.count] + limit.window
    return Hold(
        frees, Reason.RATE_LIMITED, f"{what} has started {len(starts)} runs in {limit.window}, of {limit.count}"
    )


GUARD = LimitsGuard()
