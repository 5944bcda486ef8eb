"""
Act only where an operator wants action: the rule's mode says `auto`, and the rule was armed.

A fresh install is disarmed, so every rule behaves as `observe`. Arming is a record in the store; no file arms.
"""

from __future__ import annotations

from remediator.model.rules import Mode
from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Ask, Reason, Refuse, Verdict


class ModeGuard:
    name = "mode"

    def __call__(self, facts: Facts) -> Verdict:
        if facts.mode is Mode.OBSERVE:
            return Refuse(
                Reason.OBSERVE_ONLY, f"rule {facts.run.rule} observes: it reports its plan and writes nothing"
            )
        if not facts.usage.armed:
            return Refuse(
                Reason.DISARMED, f"rule {facts.run.rule} is disarmed; `remediator arm {facts.run.rule}` arms it"
            )
        if facts.mode is Mode.APPROVE:
            return Ask(Reason.APPROVAL_NEEDED, f"rule {facts.run.rule} wants a person's yes each time")
        return Allow()


GUARD = ModeGuard()
