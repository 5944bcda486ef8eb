"""What a good rule file becomes, and every way in which one can be wrong."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from remediator.model.rules import Limit, Mode, Verification

MATCH = '  - alertname="KubePodCrashLooping"\n'
REMEDY = "  name: replace-removed-members\n"
FULL = """
mode: approve
when:
  - facts.healthy >= 2
  - evidence.quorum == "yes"
limits: {per_rule: 5 per 2h, per_target: 2 per 1d}
cooldown: 1h30m
patience: 2d
verify: {within: 10m, steady_for: 90s, every: 2s}
runbook: https://example.invalid/etcd
"""


def test_a_short_rule_gets_the_safe_defaults(rule_of):
    """What is not said is observe, rare, and slow to try again."""
    rule = rule_of()

    assert rule.mode is Mode.OBSERVE
    assert (rule.per_rule, rule.per_target) == (Limit(3, timedelta(hours=1)), Limit(1, timedelta(hours=6)))
    assert (rule.cooldown, rule.patience) == (timedelta(minutes=30), timedelta(minutes=15))
    assert rule.verification == Verification(timedelta(minutes=15), timedelta(minutes=2), timedelta(seconds=5))
    assert rule.parameters == {"max_members": 1, "wait": 60.0, "snapshot": True, "class": "default"}
    assert (rule.conditions, rule.runbook) == ((), "")


def test_a_full_rule_says_all_that_is_written(rule_of):
    """Every key of a file arrives in the rule."""
    rule = rule_of(
        (REMEDY, REMEDY + "  with: {max_members: 2, wait: 1m30s, snapshot: false, class: fast}\n"), after=FULL
    )

    assert (rule.name, rule.system, rule.remedy) == ("etcd-member-removed", "etcd", "replace-removed-members")
    assert rule.mode is Mode.APPROVE
    assert [str(m) for m in rule.matchers] == ['alertname="KubePodCrashLooping"']
    assert rule.namespaces == ("milvus",)
    assert rule.parameters == {"max_members": 2, "wait": 90.0, "snapshot": False, "class": "fast"}
    assert [c.text for c in rule.conditions] == ["facts.healthy >= 2", 'evidence.quorum == "yes"']
    assert (rule.per_rule, rule.per_target) == (Limit(5, timedelta(hours=2)), Limit(2, timedelta(days=1)))
    assert (rule.cooldown, rule.patience) == (timedelta(minutes=90), timedelta(days=2))
    assert rule.verification == Verification(timedelta(minutes=10), timedelta(seconds=90), timedelta(seconds=2))
    assert rule.runbook == "https://example.invalid/etcd"


def test_a_rule_carries_the_hash_of_its_file_and_its_line(write, load_all):
    """A run can be pinned to the very bytes its rule was read from."""
    path = write(("name: etcd-member", "# a comment\nname: etcd-member"))

    (rule,) = load_all(path).rules

    assert rule.revision == hashlib.sha256(path.read_bytes()).hexdigest()
    assert rule.source == f"{path}:2"


WRONG = {
    "unknown key": (("system: etcd", "systm: etcd"), '2:1: unknown key "systm" in the rule', 'did you mean "system"'),
    "unknown system": (("system: etcd", "system: etcdd"), '2:9: unknown system "etcdd"', 'did you mean "etcd"'),
    "a system of verbs only": (("system: etcd", "system: kubernetes"), "8:9: ", "expected nothing here"),
    "unknown remedy": (("removed-members", "removed-member"), "8:9: ", 'did you mean "replace-removed-members"'),
    "rule name": (("name: etcd-member-removed", "name: Etcd_Member"), '1:7: bad rule name "Etcd_Member"', "expected"),
    "mode": (("system: etcd", "system: etcd\nmode: automatic"), '3:7: unknown mode "automatic"', 'did you mean "auto"'),
    "empty match": ((f"match:\n{MATCH}", "match: []\n"), '3:8: "match" is empty', "never means all"),
    "match left out": ((f"match:\n{MATCH}", ""), '1:1: missing key "match"', "expected"),
    "match without a value": ((MATCH, ""), '3:7: "match" is empty', "expected a list"),
    "match of all alerts": ((MATCH, '  - alertname=~".*"\n  - x!="y"\n'), "4:3: every matcher", "match every alert"),
    "match of absence": ((MATCH, '  - severity=""\n'), "4:3: every matcher", "match every alert"),
    "no namespace": (("[milvus]", "[]"), '6:15: "where.namespaces" is empty', "never means all"),
    "empty name of a namespace": (("[milvus]", "['']"), '6:16: bad namespace ""', "literal"),
    "nothing for a namespace": (("[milvus]", "[~]"), '6:16: "where.namespaces" is empty', "expected text"),
    "where left empty": (("  namespaces: [milvus]\n", ""), '5:7: "where" is empty', "a block"),
    "empty matcher": ((MATCH, "  - ''\n"), "4:5: no label name", "expected a matcher"),
    "wildcard namespace": (("[milvus]", '["mil*"]'), '6:16: bad namespace "mil*"', "without wildcards"),
    "path for a namespace": (("[milvus]", '["../x"]'), '6:16: bad namespace "../x"', "literal"),
    "dots in a namespace": (("[milvus]", "[a.b]"), '6:16: bad namespace "a.b"', "literal"),
    "protected namespace": (("[milvus]", "[milvus, remediator]"), '6:24: namespace "remediator" is protected', ""),
    "protected by a pattern": (("[milvus]", "[kube-system]"), '6:16: namespace "kube-system" is protected', ""),
    "namespace as number": (("[milvus]", "[12]"), '6:16: "where.namespaces" is the number "12"', "quote it"),
    "text for a list": (("[milvus]", "milvus"), '6:15: "where.namespaces" is text', "expected a list"),
    "text for a block": (("  namespaces: [milvus]", "  milvus"), '6:3: "where" is text', "a block"),
    "a matcher's position": ((MATCH, "  - alertname KubePod\n"), '4:15: "Ku" where an operator', "= != =~ !~"),
    "a regex's position": ((MATCH, '  - alertname=~"Kube("\n'), "4:16: bad regular expression: missing )", "RE2"),
    "a position behind escapes": ((MATCH, '  - "a=\\"b\\" c"\n'), '4:14: unexpected "c"', "one matcher"),
    "a position behind doubled quotes": ((MATCH, "  - '\"it''s\"=x y'\n"), '4:16: unexpected "y"', "one matcher"),
}


@pytest.mark.parametrize(("change", "begins", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_named_with_its_place_and_the_way_out(problems_of, change, begins, says):
    """The author reads where, what, what was expected, and the likely word."""
    problems = problems_of(change)

    assert any(p.startswith(begins) and says in p for p in problems), problems


PARAMETERS = {
    "unknown": ("max_member: 1", '9:10: remedy "replace-removed-members" has no parameter', 'mean "max_members"'),
    "text for a number": ('max_members: "2"', '9:23: "max_members" is 2', "a whole number"),
    "true for a number": ("max_members: true", '9:23: "max_members" is true', "a whole number"),
    "a fraction": ("max_members: 1.5", '9:23: "max_members" is 1.5', "a whole number"),
    "too small": ("max_members: 0", '9:23: "max_members" is 0', "from 1 to 5"),
    "too large": ("max_members: 6", '9:23: "max_members" is 6', "from 1 to 5"),
    "empty": ("max_members: ~", '9:23: "max_members" is empty', "a whole number"),
    "number for a duration": ("wait: 60", '9:16: "wait" is 60', 'a duration like "90s"'),
    "bad duration": ("wait: soon", '9:16: bad duration "soon"', "expected"),
    "long duration": ("wait: 11m", '9:16: "wait" is 11m', "from 1 to 600 seconds"),
    "word for a boolean": ('snapshot: "true"', '9:20: "snapshot" is true', "true or false"),
    "number for text": ("class: 1", '9:17: "class" is 1', "expected text"),
}


@pytest.mark.parametrize(("given", "begins", "says"), PARAMETERS.values(), ids=PARAMETERS.keys())
def test_a_parameter_must_be_one_the_remedy_can_take(problems_of, given, begins, says):
    """Nothing is converted by guessing."""
    (problem,) = problems_of((REMEDY, f"{REMEDY}  with: {{{given}}}\n"))

    assert problem.startswith(begins)
    assert says in problem


TEXTS = {
    "bare number": ("cooldown: 30", '9:11: "cooldown" is the number "30"', "duration like"),
    "base sixty": ("cooldown: 1:30", '9:11: "1:30" may mean a number to the base of 60', "quote it"),
    "no unit": ('cooldown: "30"', '9:11: bad duration "30"', "expected text like"),
    "wrong order": ("cooldown: 30m1h", '9:11: bad duration "30m1h"', "expected text like"),
    "negative": ("cooldown: -5m", '9:11: bad duration "-5m"', "expected text like"),
    "zero": ("cooldown: 0s", '9:11: duration "0s" is out of range', "more than 0s"),
    "too long": ("cooldown: 999999999d", '9:11: duration "999999999d" is out of range', "at most 366d"),
    "limit without window": ("limits: {per_rule: 3}", '9:20: "limits.per_rule" is the number "3"', "limit like"),
    "limit of nothing": ("limits: {per_rule: 0 per 1h}", '9:20: limit "0 per 1h" is out of range', "from 1"),
    "limit's window": ("limits: {per_rule: 3 per hour}", '9:26: bad duration "hour"', "expected"),
    "unknown limit": ("limits: {per_rul: 3 per 1h}", '9:10: unknown key "per_rul" in "limits"', 'mean "per_rule"'),
    "steady too long": ("verify: {within: 2m}", "9:9: steady_for is not shorter than within", ""),
    "looked at too late": ("verify: {every: 16m}", "9:9: every is longer than within", ""),
    "not a question": ("when: [facts.healthy]", '9:8: "facts.healthy" is not a yes-or-no question', "comparison"),
    "unknown variable": ("when: ['true && fact.x == 1']", "9:21: bad condition: undeclared", 'mean "facts"'),
    "wrong types": ("when: [labels.x == 1]", "9:17: bad condition: found no matching overload", ""),
    "unknown probe": ("when: ['evidence.quorun == \"yes\"']", '9:18: system "etcd" has no probe', 'mean "quorum"'),
    "broken condition": ("when: [facts.x ==]", "9:18: bad condition: Syntax error", ""),
    "long condition": (f"when: [{'true && ' * 200}true]", "9:8: a condition longer than 1000", "fewer words"),
    "empty runbook": ("runbook:", '9:9: "runbook" is empty', "expected text"),
}


@pytest.mark.parametrize(("line", "begins", "says"), TEXTS.values(), ids=TEXTS.keys())
def test_a_text_that_cannot_be_read_is_refused(problems_of, line, begins, says):
    """Durations, limits and conditions are checked when the rule loads, not when the alert comes."""
    (problem,) = problems_of(after=f"{line}\n")

    assert problem.startswith(begins)
    assert says in problem


def test_every_mistake_of_every_file_is_told_at_once(write, load_all):
    """One reading is enough to correct everything, and not one good rule is loaded beside the bad."""
    good = write(name="a.yaml")
    bad = write(("system: etcd", "system: redis"), ("[milvus]", "[kube-system]"), name="b.yaml", after="colour: red\n")
    broken = write(text="name: [", name="c.yaml")

    book = load_all(good, bad, broken)

    assert book.rules == ()
    assert [(Path(p.path).name, p.line, p.column) for p in book.problems] == [
        ("b.yaml", 1, 7),
        ("b.yaml", 2, 9),
        ("b.yaml", 6, 16),
        ("b.yaml", 9, 1),
        ("c.yaml", 2, 1),
    ]


def test_two_rules_of_one_name_are_both_named(write, load_all):
    """The second is refused and says where the first is."""
    first, second = write(name="a.yaml"), write(("name: etcd", "\nname: etcd"), name="b.yaml")

    (problem,) = load_all(first, second).problems

    assert str(problem).startswith(f'{second}:2:7: rule name "etcd-member-removed" is taken by {first}:1')
