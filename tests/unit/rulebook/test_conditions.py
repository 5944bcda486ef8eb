"""CEL conditions, asked through a loaded rule."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from remediator.model.evidence import Answer

KNOWN = {
    "labels": MappingProxyType({"pod": "etcd-0"}),
    "evidence": {"quorum": Answer.YES, "disk": Answer.UNKNOWN},
    "facts": {
        "healthy": 2,
        "ready": True,
        "lag": 1.5,
        "members": ({"id": 1}, {"id": 2}),
        "odd": object(),
        "big": 2**70,
    },
}
ASKED = {
    "facts.healthy >= 2": Answer.YES,
    "facts.healthy >= 3": Answer.NO,
    "facts.lag < 2.0 && facts.ready == true": Answer.YES,
    "facts.members.all(m, m.id > 0)": Answer.YES,
    "size(facts.members) == 2": Answer.YES,
    'labels.pod.startsWith("etcd-")': Answer.YES,
    'evidence.quorum == "yes"': Answer.YES,
    "has(facts.gone) && facts.gone == 1": Answer.NO,
    "facts.gone == 1": Answer.UNKNOWN,
    "!(facts.gone == 1)": Answer.UNKNOWN,
    'labels.gone == "x"': Answer.UNKNOWN,
    'labels.gone != "x"': Answer.UNKNOWN,
    'facts.healthy == "2" || facts.healthy > "1"': Answer.UNKNOWN,
    "facts.healthy && true": Answer.UNKNOWN,
    "1 / (facts.healthy - 2) > 0": Answer.UNKNOWN,
    'labels.pod.matches("(")': Answer.UNKNOWN,
}


@pytest.mark.parametrize(("text", "answer"), ASKED.items())
def test_a_condition_answers_yes_no_or_unknown(rule_of, text, answer):
    """An expression that fails while it runs is unknown, whatever its outer shape."""
    (condition,) = rule_of(after=f"when:\n  - '{text}'\n").conditions
    known = {**KNOWN, "facts": {k: v for k, v in KNOWN["facts"].items() if k not in ("odd", "big")}}

    assert condition.evaluate(known) is answer


@pytest.mark.parametrize("facts", [{"healthy": 2, "x": object()}, {"healthy": 2, "x": 2**70}, {"healthy": "\ud800"}])
def test_facts_that_cannot_be_put_to_the_condition_are_unknown(rule_of, facts):
    """What cannot be said cannot be confirmed."""
    (condition,) = rule_of(after="when: [facts.healthy == facts.x || facts.healthy == 2]\n").conditions

    assert condition.evaluate({"facts": facts}) is Answer.UNKNOWN


def test_a_condition_over_nothing_known_is_unknown(rule_of):
    """A diagnosis without facts confirms nothing."""
    (condition,) = rule_of(after="when: [facts.healthy >= 2]\n").conditions

    assert condition.evaluate({}) is Answer.UNKNOWN


def test_facts_that_contain_themselves_are_unknown(rule_of):
    """A loop in the facts ends as unknown and harms nobody."""
    (condition,) = rule_of(after="when: [facts.healthy >= 2]\n").conditions
    facts = {"healthy": 2}
    facts["again"] = facts

    assert condition.evaluate({"facts": facts}) is Answer.UNKNOWN
