"""Nothing is written while the service is frozen. Only an explicit unfreeze ends it."""

from __future__ import annotations

from datetime import timedelta

from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Hold, Reason, Verdict

LOOK_AGAIN = timedelta(seconds=5)


class FreezeGuard:
    name = "freeze"

    def __call__(self, facts: Facts) -> Verdict:
        if facts.usage.frozen:
            return Hold(facts.now + LOOK_AGAIN, Reason.FROZEN, "the service is frozen; `remediator unfreeze` ends it")
        return Allow()


GUARD = FreezeGuard()
