"""
Which rules could want an alert, without asking all of them.

In: rules, once; then labels. Out: exactly the rules whose matchers all match, in the order they were given. A rule
is filed under the label values its most selective matcher spells out; only a rule that spells none out is asked
about every alert. It decides nothing: it only saves asking.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from remediator.model.rules import Matcher, MatchOp, Rule

Place = tuple[int, Rule]
"""A rule and its position in the given order."""

LITERALS = re.compile(r"[A-Za-z0-9_-]+(\|[A-Za-z0-9_-]+)*\Z")
GROUPED = re.compile(r"\((?:\?:)?([^()]*)\)\Z")
MOST_LITERALS = 64


def spelled_values(matcher: Matcher) -> tuple[str, ...]:
    """All values a matcher can accept, when it spells them out; else nothing. Absence is never among them."""
    if matcher.op is MatchOp.EQUAL:
        return (matcher.value,) if matcher.value else ()
    if matcher.op is not MatchOp.REGEX:
        return ()
    group = GROUPED.match(matcher.value)
    text = group[1] if group else matcher.value
    values = tuple(dict.fromkeys(text.split("|"))) if LITERALS.match(text) else ()
    return values if len(values) <= MOST_LITERALS else ()


class RuleIndex:
    """Rules filed under label values. Never changes after it is made."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        crowd = Counter(
            (matcher.label, value) for rule in rules for matcher in rule.matchers for value in spelled_values(matcher)
        )
        self._filed: dict[str, dict[str, list[Place]]] = {}
        self._unfiled: list[Place] = []
        for place in enumerate(rules):
            self._file(place, crowd)

    def matching(self, labels: Mapping[str, str]) -> Sequence[Rule]:
        """The rules that match, in their given order."""
        found: list[Place] = []
        filed = self._filed
        if len(filed) <= len(labels):
            for label, drawers in filed.items():
                value = labels.get(label)
                if value in drawers:
                    found += drawers[value]
        else:
            for label, value in labels.items():
                if label in filed and value in filed[label]:
                    found += filed[label][value]
        if self._unfiled:
            found += self._unfiled
        if not found:
            return ()
        matched = [place for place in found if place[1].matches(labels)]
        matched.sort(key=_position)
        return [rule for _, rule in matched]

    def _file(self, place: Place, crowd: Mapping[tuple[str, str], int]) -> None:
        matcher = _most_selective(place[1], crowd)
        if matcher is None:
            self._unfiled.append(place)
            return
        drawers = self._filed.setdefault(matcher.label, {})
        for value in spelled_values(matcher):
            drawers.setdefault(value, []).append(place)


def _most_selective(rule: Rule, crowd: Mapping[tuple[str, str], int]) -> Matcher | None:
    """The matcher whose values the fewest rules share; the alert's name where that is a tie."""

    def company(matcher: Matcher) -> tuple[int, bool]:
        most = max(crowd[matcher.label, value] for value in spelled_values(matcher))
        return most, matcher.label != "alertname"

    return min((m for m in rule.matchers if spelled_values(m)), key=company, default=None)


def _position(place: Place) -> int:
    return place[0]
