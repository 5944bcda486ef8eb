"""
Act only on evidence that was just seen: older than the limit, it is looked for again before anything is sent.

So is evidence from the future: the clock was set back, and its age is not known.
"""

from __future__ import annotations

from datetime import timedelta

from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Hold, Reason, Verdict


class FreshnessGuard:
    name = "freshness"

    def __call__(self, facts: Facts) -> Verdict:
        if timedelta(0) <= facts.evidence_age <= facts.evidence_max_age:
            return Allow()
        seconds = facts.evidence_age.total_seconds()
        return Hold(facts.now, Reason.EVIDENCE_STALE, f"the evidence is {seconds:.1f} s old")


GUARD = FreshnessGuard()
