"""
Act only inside the rule's literal namespaces, and only on the very object the plan was made for.

Labels narrow a scope and never widen it; an empty scope is nowhere. Cluster-scoped objects (a volume) are
reached only through an object in scope, and a step may touch only what it declared.
"""

from __future__ import annotations

from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Reason, Refuse, Verdict


class ScopeGuard:
    name = "scope"

    def __call__(self, facts: Facts) -> Verdict:
        target = facts.run.target
        if target is None:
            return Refuse(Reason.TARGET_NOT_FOUND, "the run has no target")
        if not facts.rule_is_loaded:
            return Refuse(Reason.RULE_GONE, f"rule {facts.run.rule} is no longer loaded")
        outside = [r for r in (target, *facts.touches) if r.namespace and r.namespace not in facts.namespaces]
        if outside or not target.namespace:
            named = outside[0] if outside else target
            return Refuse(Reason.OUTSIDE_SCOPE, f"{named} is outside the namespaces of rule {facts.run.rule}")
        if not facts.target_uid or facts.target_uid != target.uid:
            return Refuse(
                Reason.TARGET_CHANGED,
                f"{target} is not the object the run was made for (uid {facts.target_uid or 'none'}, not {target.uid})",
            )
        return Allow()


GUARD = ScopeGuard()
