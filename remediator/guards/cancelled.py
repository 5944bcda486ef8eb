"""Send nothing more for a run that a person wants to end; what was sent is answered and journalled first."""

from __future__ import annotations

from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Reason, Refuse, Verdict


class CancelledGuard:
    name = "cancelled"

    def __call__(self, facts: Facts) -> Verdict:
        if facts.cancelled:
            return Refuse(Reason.CANCELLED, facts.cancelled)
        return Allow()


GUARD = CancelledGuard()
