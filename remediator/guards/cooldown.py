"""Hold a run whose target was remediated too recently, whichever rule did it."""

from __future__ import annotations

from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Hold, Reason, Verdict


class CooldownGuard:
    name = "cooldown"

    def __call__(self, facts: Facts) -> Verdict:
        last = facts.usage.last_finished
        if last is None or facts.run.started_at is not None:
            return Allow()
        due = last + facts.cooldown
        if facts.usage.now >= due:
            return Allow()
        return Hold(due, Reason.COOLING_DOWN, f"{facts.run.target} was remediated at {last:%H:%M:%S}")


GUARD = CooldownGuard()
