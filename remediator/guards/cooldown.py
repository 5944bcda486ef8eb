"""
Hold a run whose target was remediated too recently, whichever rule did it.

Each remediation of the same target within a day doubles the wait: a cure that is needed again and again is no cure.
"""

from __future__ import annotations

from datetime import timedelta

from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Hold, Reason, Verdict

LONGEST = timedelta(days=1)
"""A cooldown that a rule itself sets longer than this is kept as it is."""


class CooldownGuard:
    name = "cooldown"

    def __call__(self, facts: Facts) -> Verdict:
        finishes = facts.usage.finishes
        if not finishes or facts.run.started_at is not None:
            return Allow()
        last = finishes[-1]
        due = last + growing(facts.cooldown, len(finishes))
        if facts.usage.now >= due:
            return Allow()
        times = f", for the {len(finishes)}th time in a day" if len(finishes) > 1 else ""
        return Hold(due, Reason.COOLING_DOWN, f"{facts.run.target} was remediated at {last:%H:%M:%S}{times}")


def growing(cooldown: timedelta, times: int) -> timedelta:
    """The wait after so many remediations within a day."""
    doubled: timedelta = cooldown * 2 ** min(times - 1, 10)
    return max(cooldown, min(doubled, LONGEST))


GUARD = CooldownGuard()
