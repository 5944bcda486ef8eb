"""
Never touch what must not be touched: protected namespaces, and whatever keeps this service alive.

No rule can override this: a guarded object is refused even inside a rule's own scope.
"""

from __future__ import annotations

from remediator.model.objects import ObjectRef
from remediator.model.scopes import is_protected
from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Reason, Refuse, Verdict


class ProtectedGuard:
    name = "protected"

    def __call__(self, facts: Facts) -> Verdict:
        for ref in _everything_touched(facts):
            namespace = ref.name if ref.resource.kind == "Namespace" else ref.namespace
            if namespace and is_protected(namespace, facts.protected_namespaces):
                return Refuse(Reason.PROTECTED, f"{ref} lies in the protected namespace {namespace}")
            if any(own.is_same_object(ref) or _lies_in(own, ref) for own in facts.own):
                return Refuse(Reason.PROTECTED, f"{ref} keeps this service itself alive")
        return Allow()


def _everything_touched(facts: Facts) -> tuple[ObjectRef, ...]:
    target = (facts.run.target,) if facts.run.target else ()
    return (*target, *facts.touches)


def _lies_in(own: ObjectRef, ref: ObjectRef) -> bool:
    """A namespace of our own protects everything in it."""
    return own.resource.kind == "Namespace" and ref.namespace == own.name


GUARD = ProtectedGuard()
