"""What becomes of each alert of a notification."""

from __future__ import annotations

import pytest

from remediator.dispatch import Dispatched, Skipped
from remediator.model.alerts import AlertStatus
from remediator.model.ledger import Candidate
from remediator.model.verdicts import Reason

NAME = "alertname=KubePodCrashLooping"


def test_an_alert_that_a_rule_wants_is_a_candidate(dispatch, make_rule, make_alert):
    """The candidate names the run, the rule and its revision."""
    alert = make_alert()

    assert dispatch([make_rule(NAME)], alert) == Dispatched((Candidate("run-1", "crash-loop", "r1", alert),), (), ())


def test_every_alert_is_judged_by_itself(dispatch, make_rule, make_alert):
    """The group's status decides nothing: a resolved group can hold a firing alert, and the other way about."""
    firing = make_alert(pod="etcd-0")
    resolved = make_alert(pod="etcd-1", status=AlertStatus.RESOLVED)
    stranger = make_alert(alertname="Watchdog")

    for status in ("firing", "resolved"):
        assert dispatch([make_rule(NAME)], resolved, stranger, firing, status=status) == Dispatched(
            (Candidate("run-1", "crash-loop", "r1", firing),),
            (resolved,),
            (Skipped(1, "Watchdog", Reason.NO_RULE_MATCHES, "no rule matches its labels"),),
        )


def test_every_rule_that_wants_an_alert_gets_it_in_the_rules_order(dispatch, make_rule, make_alert):
    """Which of them runs is decided later; none is forgotten here."""
    rules = [make_rule("pod=~etcd-.*", name="b"), make_rule(NAME, name="c"), make_rule("pod=etcd-0", name="a")]

    found = dispatch(rules, make_alert()).candidates

    assert [(one.run_id, one.rule) for one in found] == [("run-1", "b"), ("run-2", "c"), ("run-3", "a")]


def test_a_rule_whose_scope_fits_gets_an_alert_that_another_may_not_have(dispatch, make_rule, make_alert):
    """A rule outside its scope does not stop the one inside."""
    rules = [make_rule(NAME, name="elsewhere", namespaces=["shop"]), make_rule(NAME, name="here")]

    found = dispatch(rules, make_alert())

    assert [one.rule for one in found.candidates] == ["here"]
    assert found.skipped == ()


def test_no_rules_want_nothing(dispatch, make_alert):
    """Without rules there is no run."""
    assert [one.reason for one in dispatch([], make_alert()).skipped] == [Reason.NO_RULE_MATCHES]


SCOPE = {
    "another namespace": (
        {"namespace": "shop"},
        Reason.OUTSIDE_SCOPE,
        'rule "crash-loop" does not act in namespace "shop"',
    ),
    "no namespace": ({"namespace": ""}, Reason.OUTSIDE_SCOPE, "the alert has no label namespace"),
    "no name at all": ({"namespace": "../milvus"}, Reason.OUTSIDE_SCOPE, "is not a name that Kubernetes allows"),
    "encoded path": ({"namespace": "%2e%2e"}, Reason.OUTSIDE_SCOPE, "is not a name that Kubernetes allows"),
    "capital letters": ({"namespace": "Milvus"}, Reason.OUTSIDE_SCOPE, "is not a name that Kubernetes allows"),
    "line end behind": ({"namespace": "milvus\n"}, Reason.OUTSIDE_SCOPE, "is not a name that Kubernetes allows"),
    "protected by a pattern": ({"namespace": "kube-system"}, Reason.PROTECTED, 'namespace "kube-system" is protected'),
    "protected by name": ({"namespace": "remediator"}, Reason.PROTECTED, 'namespace "remediator" is protected'),
}


@pytest.mark.parametrize(("labels", "reason", "detail"), SCOPE.values(), ids=SCOPE.keys())
def test_a_namespace_can_only_narrow_the_scope(dispatch, make_rule, make_alert, labels, reason, detail):
    """A label never takes a rule where its file does not, and nobody's file goes where it is protected."""
    rule = make_rule(NAME, namespaces=["milvus", "kube-system", "remediator"])

    found = dispatch([rule], make_alert(**labels))

    assert (found.candidates, found.resolved) == ((), ())
    assert [(one.index, one.reason) for one in found.skipped] == [(0, reason)]
    assert detail in found.skipped[0].detail


def test_an_absent_namespace_is_outside_every_scope(dispatch, make_rule, make_alert):
    """An alert that does not say where it is from is from nowhere."""
    found = dispatch([make_rule(NAME)], make_alert({"alertname": "KubePodCrashLooping"}))

    assert found.skipped == (
        Skipped(0, "KubePodCrashLooping", Reason.OUTSIDE_SCOPE, "the alert has no label namespace"),
    )


BAD_LABELS = {
    "NUL in a value": {"pod": "etcd\0"},
    "NUL in a name": {"po\0d": "etcd"},
    "empty name": {"": "etcd"},
    "surrogate in a value": {"pod": "\ud800"},
    "surrogate in a name": {"\ud800": "etcd"},
    "long name": {"n" * 257: "etcd"},
    "long name in bytes": {"é" * 129: "etcd"},
    "long value": {"pod": "x" * 4097},
    "long value in bytes": {"pod": "é" * 2049},
    "many labels": {f"label{n}": "x" for n in range(62)},
}


@pytest.mark.parametrize("labels", BAD_LABELS.values(), ids=BAD_LABELS.keys())
@pytest.mark.parametrize("status", AlertStatus)
def test_labels_that_cannot_be_true_spoil_their_own_alert_only(dispatch, make_rule, make_alert, labels, status):
    """The alert beside them in the same body is dealt with as usual."""
    found = dispatch([make_rule(NAME)], make_alert({**make_alert().labels, **labels}, status=status), make_alert())

    assert [one.alert for one in found.candidates] == [make_alert()]
    assert [(one.index, one.reason) for one in found.skipped] == [(0, Reason.LABELS_INVALID)]
    assert found.resolved == ()


def test_labels_at_the_edge_of_what_is_allowed_are_allowed(dispatch, make_rule, make_alert):
    """64 labels, names of 256 bytes and values of 4096 are fine."""
    labels = {**make_alert().labels, "é" * 128: "é" * 2048, **{f"label{n}": "" for n in range(60)}}
    assert len(labels) == 64

    assert len(dispatch([make_rule(NAME)], make_alert(labels)).candidates) == 1


TIMES = {
    "start is no time": ({"starts_at": "yesterday"}, Reason.STALE, "not an RFC 3339 time"),
    "start is empty": ({"starts_at": ""}, Reason.STALE, "not an RFC 3339 time"),
    "start without a zone": ({"starts_at": "2026-11-21T01:00:00"}, Reason.STALE, "not an RFC 3339 time"),
    "start on no day": ({"starts_at": "2026-02-30T01:00:00Z"}, Reason.STALE, "not an RFC 3339 time"),
    "start with a line behind": ({"starts_at": "2026-11-21T01:00:00Z\n"}, Reason.STALE, "not an RFC 3339 time"),
    "start in other digits": ({"starts_at": "2026-11-21T01:00:0\u0661Z"}, Reason.STALE, "not an RFC 3339 time"),
    "start long ago": ({"starts_at": "1999-12-31T23:59:59Z"}, Reason.STALE, "too long ago"),
    "start at the zero time": ({"starts_at": "0001-01-01T00:00:00Z"}, Reason.STALE, "too long ago"),
    "start to come": ({"starts_at": "2026-11-21T03:00:01Z"}, Reason.STALE, "in the future"),
    "ended": ({"ends_at": "2026-11-21T01:59:59Z"}, Reason.RESOLVED, "ended already"),
    "ended in another zone": ({"ends_at": "2026-11-21T02:59:59+01:00"}, Reason.RESOLVED, "ended already"),
    "end is no time": ({"ends_at": "soon"}, Reason.STALE, "not an RFC 3339 time"),
}


@pytest.mark.parametrize(("times", "reason", "says"), TIMES.values(), ids=TIMES.keys())
def test_an_alert_whose_times_do_not_say_now_gives_no_run(dispatch, make_rule, make_alert, times, reason, says):
    """Old news and broken clocks are told, not acted on."""
    found = dispatch([make_rule(NAME)], make_alert(**times))

    assert found.candidates == ()
    assert [one.reason for one in found.skipped] == [reason]
    assert says in found.skipped[0].detail


@pytest.mark.parametrize(
    "times",
    [
        {"starts_at": "2026-11-21T02:59:59Z"},
        {"starts_at": "2026-11-21T02:41:22+01:00"},
        {"starts_at": "2000-01-01T00:00:00Z"},
        {"ends_at": "2026-11-21T02:00:01Z"},
        {"ends_at": "0001-01-01T00:00:00.000Z"},
        {"ends_at": ""},
    ],
)
def test_an_alert_that_fires_now_gives_a_run(dispatch, make_rule, make_alert, times):
    """A little clock error and an end still to come are ordinary."""
    assert len(dispatch([make_rule(NAME)], make_alert(**times)).candidates) == 1


def test_a_resolution_is_noted_wherever_it_is_from(dispatch, make_rule, make_alert):
    """A run in flight must hear of it even when its rule's scope was narrowed since."""
    resolved = make_alert(namespace="shop", status=AlertStatus.RESOLVED, ends_at="2026-11-21T01:50:00Z")

    assert dispatch([make_rule(NAME)], resolved) == Dispatched((), (resolved,), ())


def test_a_resolution_of_no_episode_is_skipped(dispatch, make_rule, make_alert):
    """Without a start there is nothing that it could end."""
    found = dispatch([make_rule(NAME)], make_alert(status=AlertStatus.RESOLVED, starts_at="?"))

    assert (found.resolved, [one.reason for one in found.skipped]) == ((), [Reason.STALE])


def test_a_resolution_nobody_waits_for_is_skipped(dispatch, make_rule, make_alert):
    """Only what a rule matches can end one of its episodes."""
    found = dispatch([make_rule(NAME)], make_alert(status=AlertStatus.RESOLVED, alertname="Watchdog"))

    assert (found.resolved, [one.reason for one in found.skipped]) == ((), [Reason.NO_RULE_MATCHES])
