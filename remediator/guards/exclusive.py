"""One run for each target: the lock belongs to the run and is taken in the transaction that starts it."""

from __future__ import annotations

from datetime import timedelta

from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Hold, Reason, Verdict

LOOK_AGAIN = timedelta(seconds=15)


class ExclusiveGuard:
    name = "exclusive"

    def __call__(self, facts: Facts) -> Verdict:
        holder = facts.usage.holder
        if holder is not None and holder != facts.run.id:
            return Hold(facts.now + LOOK_AGAIN, Reason.TARGET_BUSY, f"{holder} is at work on {facts.run.target}")
        return Allow()


GUARD = ExclusiveGuard()
