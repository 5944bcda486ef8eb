"""Alertmanager's matchers, asked through a loaded rule."""

from __future__ import annotations

import pytest

ASKED = {
    "equal": ('a="b"', {"a": "b"}, True),
    "equal, other": ('a="b"', {"a": "bb"}, False),
    "equal, absent": ('a="b"', {}, False),
    "bare value": ("a=b", {"a": "b"}, True),
    "spaces": ('  a  =  "b"  ', {"a": "b"}, True),
    "empty means absent": ('a=""', {}, True),
    "not equal": ('a!="b"', {"a": "c"}, True),
    "not equal, absent": ('a!="b"', {}, True),
    "regex": ('a=~"b.*"', {"a": "bcd"}, True),
    "regex is anchored": ('a=~"b"', {"a": "abc"}, False),
    "regex is anchored in each branch": ('a=~"b|c.*"', {"a": "bx"}, False),
    "regex ends at the end": ('a=~"b.?"', {"a": "b\n"}, False),
    "words": ('a=~"b|c"', {"a": "c"}, True),
    "words, other": ('a=~"b|c"', {"a": "b|c"}, False),
    "words or absent": ('a=~"b|"', {}, True),
    "not regex": ('a!~"b.*"', {"a": "c"}, True),
    "not regex, hit": ('a!~"b.*"', {"a": "bc"}, False),
    "not words": ('a!~"b|c"', {"a": "c"}, False),
    "kept escape": (r'a=~"b\.c"', {"a": "b.c"}, True),
    "kept escape, other": (r'a=~"b\.c"', {"a": "bxc"}, False),
    "escapes": (r'a="b\"\\\n"', {"a": 'b"\\\n'}, True),
    "quoted label": ('"my label"="x"', {"my label": "x"}, True),
    "unicode label": ('größe="x"', {"größe": "x"}, True),
    "a surrogate in a regex": ('a=~".*x"', {"a": "\ud800x"}, False),
    "a surrogate in a negated regex": ('a!~".*x"', {"a": "\ud800"}, False),
    "a slow pattern": ('a=~"(a+)+b"', {"a": "a" * 4000}, False),
}


@pytest.mark.parametrize(("matcher", "labels", "matches"), ASKED.values(), ids=ASKED.keys())
def test_a_matcher_means_what_it_means_to_alertmanager(rule_of, matcher, labels, matches):
    """The on-call engineer's knowledge of routing is enough to read a rule."""
    quoted = matcher.replace("'", "''")
    rule = rule_of(("match:\n", f"match:\n  - '{quoted}'\n"))

    assert rule.matches({"alertname": "KubePodCrashLooping", **labels}) is matches


@pytest.mark.parametrize(
    ("matcher", "column", "says"),
    [
        ("", 5, "no label name"),
        ('="x"', 5, "no label name"),
        ('""="x"', 5, "an empty label name"),
        ("a", 7, "nothing where an operator should be"),
        ("a=", 8, "no value"),
        ('a="x', 8, "a quote that is not closed"),
        ('a="x" b="y"', 12, "unexpected"),
        ('{a="x"}', 5, "no label name"),
        (r'a="x\d"', 10, "unknown escape"),
        ('a=~"(?=x)"', 9, "invalid perl operator"),
        ('a=~"x)(y"', 9, "unexpected )"),
        ('a=~"' + "x" * 1025 + '"', 9, "longer than 1024 bytes"),
        ("a=" + "x" * 5000, 5, "longer than 4096 characters"),
    ],
)
def test_a_bad_matcher_is_refused_at_the_character(problems_of, matcher, column, says):
    """The column points into the text."""
    (problem,) = problems_of(("match:\n", f"match:\n  - '{matcher}'\n"))

    assert problem.startswith(f"4:{column}: ")
    assert says in problem
