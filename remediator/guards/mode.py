"""
Act only where an operator wants action: the rule's mode says `auto`, and the rule was armed as it is now.

A fresh install is disarmed, so every rule behaves as `observe`. Arming is a record in the store; no file arms, and a
file that says something else than it did when it was armed is not armed any more.
"""

from __future__ import annotations

from datetime import timedelta

from remediator.model.rules import Mode
from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Ask, Hold, Reason, Refuse, Verdict

LOOK_AGAIN = timedelta(seconds=30)
SHOWN = 12
"""Digits of a revision, for people."""


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
        if facts.usage.armed_revision != facts.rule_revision:
            return _changed_since(facts)
        if facts.mode is Mode.APPROVE:
            return Ask(Reason.APPROVAL_NEEDED, f"rule {facts.run.rule} wants a person's yes each time")
        return Allow()


def _changed_since(facts: Facts) -> Verdict:
    """Nothing is begun; a cure that is half done waits for a person to arm the rule as it is now."""
    rule, armed, now = facts.run.rule, facts.usage.armed_revision[:SHOWN], facts.rule_revision[:SHOWN]
    detail = f"rule {rule} was armed at revision {armed or 'none'} and is now {now}; `remediator arm {rule}` arms it"
    if facts.run.touched:
        return Hold(facts.now + LOOK_AGAIN, Reason.DISARMED, detail)
    return Refuse(Reason.DISARMED, detail)


GUARD = ModeGuard()
