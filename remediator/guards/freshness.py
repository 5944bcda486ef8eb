"""Act only on evidence that was just seen: older than the limit, it is looked for again before anything is sent."""

from __future__ import annotations

from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Hold, Reason, Verdict


class FreshnessGuard:
    name = "freshness"

    def __call__(self, facts: Facts) -> Verdict:
        if facts.evidence_age <= facts.evidence_max_age:
            return Allow()
        seconds = facts.evidence_age.total_seconds()
        return Hold(facts.now, Reason.EVIDENCE_STALE, f"the evidence is {seconds:.1f} s old")


GUARD = FreshnessGuard()
