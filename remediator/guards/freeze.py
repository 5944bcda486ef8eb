"""
Nothing is written while the service is frozen, by the switch or by a brake. Only an explicit unfreeze ends it.

A brake that cannot be read leaves it open whether somebody froze, so the answer is to wait.
"""

from __future__ import annotations

from datetime import timedelta

from remediator.model.brakes import Engaged, Unreadable
from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Hold, Reason, Verdict

LOOK_AGAIN = timedelta(seconds=5)


class FreezeGuard:
    name = "freeze"

    def __call__(self, facts: Facts) -> Verdict:
        until, brakes = facts.now + LOOK_AGAIN, facts.brakes
        if isinstance(brakes, Engaged):
            return Hold(until, Reason.FROZEN, f"frozen by {brakes.by}: {brakes.why}")
        if facts.usage.frozen:
            return Hold(until, Reason.FROZEN, "the service is frozen; `remediator unfreeze` ends it")
        if isinstance(brakes, Unreadable):
            detail = f"cannot tell whether {brakes.by} says freeze: {brakes.why}"
            return Hold(until, Reason.EVIDENCE_UNKNOWN, detail)
        return Allow()


GUARD = FreezeGuard()
