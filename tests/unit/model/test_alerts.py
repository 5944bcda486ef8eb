"""An alert's identity, a matcher's and a rule's question, and what an error says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model import errors
from remediator.model.alerts import Alert, AlertStatus
from remediator.model.rules import Matcher, MatchOp

ALERT = Alert(AlertStatus.FIRING, {"alertname": "A", "pod": "etcd-0"}, {}, "2026-11-20T11:00:00Z", "", "", "ffff")


def test_an_episode_is_the_label_set_and_the_raw_start():
    """Order of labels, annotations, the end and the sender's fingerprint do not count; the start's very text does."""
    same = replace(
        ALERT,
        labels={"pod": "etcd-0", "alertname": "A"},
        annotations={"summary": "new words"},
        ends_at="2026-11-20T12:00:00Z",
        fingerprint="0000",
        status=AlertStatus.RESOLVED,
    )

    assert same.episode == ALERT.episode
    assert replace(ALERT, starts_at="2026-11-20T11:00:00.0Z").episode != ALERT.episode
    assert replace(ALERT, labels={**ALERT.labels, "x": ""}).episode != ALERT.episode
    assert ALERT.episode == f"{ALERT.label_hash}@2026-11-20T11:00:00Z"


labels = st.dictionaries(st.text(max_size=6), st.text(st.characters(), max_size=6), max_size=4)


@given(labels, labels)
def test_different_labels_are_different_alerts(one, other):
    """Over any labels, lone surrogates included: equal hash exactly for equal labels, 24 hex digits."""
    first, second = replace(ALERT, labels=one), replace(ALERT, labels=other)

    assert (first.label_hash == second.label_hash) == (one == other)
    assert len(first.label_hash) == 24
    assert set(first.label_hash) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 'b","c":"d'}, {"a": "b", "c": "d"}), ({"a": "b,c"}, {"a": "b", "c": ""}), ({"ab": "c"}, {"a": "bc"})],
)
def test_no_label_can_be_written_to_look_like_another_set(one, other):
    """Quotes and commas inside values stay inside."""
    assert replace(ALERT, labels=one).label_hash != replace(ALERT, labels=other).label_hash


def test_an_alert_without_a_name_has_none():
    """`alertname` is a label like others."""
    assert (ALERT.name, replace(ALERT, labels={}).name) == ("A", "")
    assert ALERT.is_firing
    assert not replace(ALERT, status=AlertStatus.RESOLVED).is_firing


def test_an_absent_label_is_an_empty_one():
    """As Alertmanager has it: a matcher sees no difference."""
    seen = []
    matcher = Matcher("team", MatchOp.EQUAL, "", lambda text: seen.append(text) is None)

    assert matcher.matches({})
    assert matcher.matches({"team": ""})
    assert seen == ["", ""]


def test_a_matcher_reads_as_it_is_written_with_its_value_quoted():
    """Quotes and backslashes are escaped, so two different matchers never read the same."""
    assert str(Matcher("pod", MatchOp.REGEX, 'a"\\d', bool)) == 'pod=~"a\\"\\\\d"'


EVERY_ERROR = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RemediatorError)
]


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_every_error_says_something_and_is_one_of_ours(kind):
    """Its own words when given, its meaning when not."""
    assert str(kind("what was wrong")) == "what was wrong"
    assert kind.__doc__
    assert kind.__name__ in errors.__doc__


def test_an_error_without_words_says_what_it_means():
    """Never an empty line in a log."""
    assert str(errors.StoreUnavailable()) == "The store cannot promise anything just now."


def test_remote_errors_have_different_codes():
    """They are metric labels: one for each kind."""
    remote = [k for k in EVERY_ERROR if issubclass(k, errors.RemoteError)]

    assert sorted(k.code for k in remote) == sorted({k.code for k in remote})
    assert errors.Temporary("later", after=7.0).after == 7.0
    assert errors.Temporary("later").after == 1.0
