"""The index saves asking, and never changes the answer."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.dispatch import RuleIndex

LABEL_NAMES = ["alertname", "namespace", "pod", "team"]
VALUES = ["", "a", "b", "a|b", "c-1", "a.", "ab", "(a)", "(?:a|b)", ".*", "a|", "|", "(a|b)|c", "(a)|(b)", "a+"]

texts = st.builds(
    lambda label, op, value: f"{label}{op}{value}",
    st.sampled_from(LABEL_NAMES),
    st.sampled_from(["=", "=", "=~", "=~", "!=", "!~"]),
    st.sampled_from(VALUES),
)
rule_texts = st.lists(st.lists(texts, max_size=3), max_size=12)
alerts = st.dictionaries(st.sampled_from([*LABEL_NAMES, "x", "y"]), st.sampled_from([*VALUES, "c"]), max_size=6)


def test_the_index_answers_as_if_every_rule_were_asked(make_rule):
    """Over random rules and labels: the same rules, in the same order."""

    @settings(max_examples=300, deadline=None)
    @given(rule_texts, st.lists(alerts, min_size=1, max_size=8))
    def claim(rules, many):
        made = [make_rule(*matchers, name=f"r{n}") for n, matchers in enumerate(rules)]
        index = RuleIndex(made)
        for labels in many:
            assert list(index.matching(labels)) == [rule for rule in made if rule.matches(labels)]

    claim()


def test_a_rule_with_an_empty_part_admits_nothing(make_rule, make_alert, dispatch):
    """Without matchers or without namespaces there is no run, whatever the alert says."""

    @settings(max_examples=200, deadline=None)
    @given(st.lists(texts, max_size=3), st.sampled_from([(), ("milvus",)]), alerts)
    def claim(matchers, namespaces, labels):
        matchers = matchers if not namespaces else []
        rule = make_rule(*matchers, namespaces=namespaces)

        assert dispatch([rule], make_alert({"namespace": "milvus", **labels})).candidates == ()

    claim()


def test_rules_that_spell_out_another_value_are_not_asked(make_rule):
    """The cost of an alert does not grow with rules that cannot match it."""
    asked = []

    def counted(rule):
        def accepts(matcher):
            return lambda text: asked.append(rule.name) or matcher.accepts(text)

        return replace(rule, matchers=tuple(replace(m, accepts=accepts(m)) for m in rule.matchers))

    others = [
        [make_rule(f"alertname=Other{n}", name=f"name-{n}") for n in range(200)],
        [make_rule("alertname=~One|Two|Three", f"team=t{n}", name=f"words-{n}") for n in range(200)],
        [make_rule("alertname=Mine", f"pod=other-{n}", name=f"pod-{n}") for n in range(200)],
        [make_rule("pod=~.*", f"team=~(x{n}|y{n})", name=f"team-{n}") for n in range(200)],
    ]
    mine = make_rule("alertname=Mine", "pod=~mine-.*", name="mine")
    index = RuleIndex([counted(rule) for rule in (*itertools.chain(*others), mine)])

    found = index.matching({"alertname": "Mine", "pod": "mine-1", "team": "t"})

    assert [rule.name for rule in found] == ["mine"]
    assert set(asked) == {"mine"}


def test_a_rule_that_spells_out_nothing_is_asked_about_every_alert(make_rule):
    """A pattern or a negation cannot be filed, and is not forgotten."""
    rules = [make_rule("pod=~etcd-.*", name="pattern"), make_rule("team!=a", name="negation")]

    assert [rule.name for rule in RuleIndex(rules).matching({"pod": "etcd-1"})] == ["pattern", "negation"]


def test_a_long_list_of_words_is_asked_and_not_filed(make_rule):
    """A hundred words in one matcher still match."""
    words = "|".join(f"w{n}" for n in range(100))

    assert len(RuleIndex([make_rule(f"alertname=~{words}")]).matching({"alertname": "w99"})) == 1


def test_a_rule_for_an_absent_label_finds_an_alert_without_it(make_rule):
    """Absence has no drawer, so such a rule is never filed under it."""
    index = RuleIndex([make_rule("team=", name="nobody's")])

    assert [rule.name for rule in index.matching({"alertname": "A"})] == ["nobody's"]
    assert list(index.matching({"alertname": "A", "team": "a"})) == []
