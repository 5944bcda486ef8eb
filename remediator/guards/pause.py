"""
Stay away from what a person has paused: `remediator.dev/pause: "true"` on the target or its namespace.

When the annotations could not be read, nobody knows whether a person is at work, so the answer is to wait.
"""

from __future__ import annotations

from datetime import timedelta

from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Hold, Reason, Verdict

LOOK_AGAIN = timedelta(seconds=30)


class PauseGuard:
    name = "pause"

    def __call__(self, facts: Facts) -> Verdict:
        if not facts.pauses_known:
            return Hold(
                facts.now + LOOK_AGAIN,
                Reason.EVIDENCE_UNKNOWN,
                "cannot read whether the target or its namespace is paused",
            )
        if facts.pauses:
            return Hold(facts.now + LOOK_AGAIN, Reason.PAUSED, f"a person has paused {', '.join(facts.pauses)}")
        return Allow()


GUARD = PauseGuard()
