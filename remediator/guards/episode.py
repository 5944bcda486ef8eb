"""
Act only while the alert's episode lasts: once Alertmanager has said resolved, nothing new is begun.

After the first write a run goes on; half a cure is worse than a finished one.
"""

from __future__ import annotations

from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Reason, Refuse, Verdict


class EpisodeGuard:
    name = "episode"

    def __call__(self, facts: Facts) -> Verdict:
        run = facts.run
        if run.resolved_at is not None and not run.touched:
            return Refuse(Reason.EPISODE_OVER, f"the alert was resolved at {run.resolved_at:%H:%M:%S}")
        return Allow()


GUARD = EpisodeGuard()
