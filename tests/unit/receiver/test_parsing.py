"""What is a notification and what is not, asked of bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remediator.model.alerts import Alert, AlertStatus, Notification
from remediator.model.errors import BadNotification
from remediator.receiver.parsing import read_notification
from tests.unit.receiver.webhook_door import ALL_BODIES, Door, capture

GOOD: dict[str, Any] = {
    "version": "4",
    "receiver": "r",
    "status": "firing",
    "groupKey": "{}:{}",
    "truncatedAlerts": 2,
    "groupLabels": {},
    "commonLabels": {},
    "commonAnnotations": {},
    "externalURL": "http://am",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "A"},
            "annotations": {"summary": "s"},
            "startsAt": "2026-11-21T01:41:22.347603391Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://p",
            "fingerprint": "f",
        }
    ],
}
MISSING = object()


def changed(path: tuple[Any, ...], value: Any) -> bytes:
    """The good body with one value changed, or taken away."""
    body = json.loads(json.dumps(GOOD))
    here = body
    for key in path[:-1]:
        here = here[key]
    if value is MISSING:
        del here[path[-1]]
    else:
        here[path[-1]] = value
    return json.dumps(body).encode()


def test_a_whole_notification_is_read() -> None:
    """Every field arrives, and times stay the text they were, to the last digit."""
    alert = Alert(
        AlertStatus.FIRING,
        {"alertname": "A"},
        {"summary": "s"},
        "2026-11-21T01:41:22.347603391Z",
        "0001-01-01T00:00:00Z",
        "http://p",
        "f",
    )
    assert read_notification(json.dumps(GOOD).encode()) == Notification("r", "firing", "{}:{}", 2, (alert,))


@pytest.mark.parametrize(
    "path",
    [
        ("truncatedAlerts",),
        ("groupLabels",),
        ("externalURL",),
        ("alerts", 0, "generatorURL"),
        ("alerts", 0, "fingerprint"),
    ],
)
def test_what_older_senders_leave_out_may_be_missing(path: tuple[Any, ...]) -> None:
    """These decide nothing, so their absence is no mistake."""
    assert len(read_notification(changed(path, MISSING)).alerts) == 1


def test_unknown_fields_are_ignored() -> None:
    """A newer Alertmanager may say more; a body thirty levels deep is still read."""
    deep: Any = 1
    for _ in range(30):
        deep = {"x": [deep]} if _ % 2 else {"x": deep}
    assert read_notification(changed(("new",), {"a": [1]})) == read_notification(json.dumps(GOOD).encode())
    assert len(read_notification(changed(("alerts", 0, "new"), {"a": {"b": None}})).alerts) == 1


@pytest.mark.parametrize("label", ["\ud800", "\udfff\ud800", "a\0b", "\u2028", "☃"])
def test_an_odd_label_does_not_cost_the_other_alerts(label: str) -> None:
    """A text no store can hold is still JSON; whether that alert is taken is decided for it alone."""
    (alert,) = read_notification(changed(("alerts", 0, "labels", "odd"), label)).alerts
    assert alert.labels["odd"] == label


TYPES: list[Any] = [None, 1, 1.5, True, "x", [], {}, ["x"], {"a": 1}, {"a": None}, {"a": {}}]


def wrong(path: tuple[Any, ...], good: type, *, may_be_missing: bool = False) -> list[Any]:
    values = [v for v in TYPES if type(v) is not good or (good is dict and v)]
    if good is int:
        values.append(-1)
    return [(path, value) for value in [*values, *([] if may_be_missing else [MISSING])]]


WRONG = [
    *wrong(("receiver",), str),
    *wrong(("groupKey",), str),
    *wrong(("version",), type(MISSING)),
    *[(("version",), v) for v in ("3", "5", "04", 4)],
    *wrong(("status",), type(MISSING)),
    *wrong(("alerts",), list),
    *[(("alerts",), [v]) for v in TYPES],
    *wrong(("truncatedAlerts",), int, may_be_missing=True),
    *wrong(("groupLabels",), dict, may_be_missing=True),
    *wrong(("commonAnnotations",), dict, may_be_missing=True),
    *wrong(("externalURL",), str, may_be_missing=True),
    *wrong(("alerts", 0, "status"), type(MISSING)),
    *wrong(("alerts", 0, "labels"), dict),
    *wrong(("alerts", 0, "annotations"), dict),
    *wrong(("alerts", 0, "startsAt"), str),
    *wrong(("alerts", 0, "endsAt"), str),
    *wrong(("alerts", 0, "generatorURL"), str, may_be_missing=True),
    *wrong(("alerts", 0, "fingerprint"), str, may_be_missing=True),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_a_wrong_or_missing_field_is_named(path: tuple[Any, ...], value: Any) -> None:
    """The message names the place, so whoever made the body can correct it."""
    with pytest.raises(BadNotification) as refused:
        read_notification(changed(path, value))
    assert str(path[-1] if len(path) > 1 and isinstance(value, str) else path[0]) in str(refused.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'"x"', "is not a JSON object"),
        (b"{", "is not JSON"),
        (json.dumps(GOOD).encode()[:-1], "is not JSON"),
        (json.dumps(GOOD).encode() + b"{}", "is not JSON"),
        (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), "is not JSON"),
        (b'{"version": "4", "a": "\xff"}', "is not UTF-8"),
        (json.dumps(GOOD).encode("utf-16"), "is not UTF-8"),
        (changed(("truncatedAlerts",), float("nan")), "NaN"),
        (changed(("new",), float("-inf")), "-Infinity"),
        (b"[" * 100_000, "nested deeper than 32"),
        (b'{"a":' * 100_000, "nested deeper than 32"),
        (changed(("new",), json.loads("[" * 40 + "]" * 40)), "nested deeper than 32"),
        (changed(("alerts", 0, "new"), json.loads("[" * 40 + "]" * 40)), "nested deeper than 32"),
        (b'{"version": ' + b"9" * 5000 + b"}", "a number in it that is too long"),
        (json.dumps(GOOD).encode().replace(b'"r"', b'"r", "receiver": "s"', 1), "a key is there twice"),
        (json.dumps(GOOD).encode().replace(b'"A"', b'"A", "alertname": "B"', 1), "a key is there twice"),
    ],
)
def test_what_is_no_notification_is_refused_in_words(body: bytes, words: str) -> None:
    """Every refusal says what is wrong, and never shows a trace or the body."""
    with pytest.raises(BadNotification) as refused:
        read_notification(body)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("hidden", ['"a\\u003ab"', '"a\\u003Ab"', '"a:b"', '"a"', '":"', '{"x": "y"}'])
def test_a_repeated_key_is_found_whatever_it_hides(hidden: str) -> None:
    """Neither a colon in a text nor an escaped one makes up for the member that was hidden."""
    for escaped in ("", "\\u003a", "\\u003A", "\\u003a\\u003a"):
        labels = f'{{"alertname": {hidden}, "alertname": "A{escaped}"}}'
        body = json.dumps(GOOD).replace('{"alertname": "A"}', labels).encode()
        with pytest.raises(BadNotification, match="a key is there twice"):
            read_notification(body)


@pytest.mark.parametrize("name", ALL_BODIES)
def test_a_field_more_changes_nothing(name: str) -> None:
    """What is read from a real body is the same however it is written."""
    body = capture(name)
    told = json.loads(body)
    expected = read_notification(body)
    assert len(expected.alerts) == len(told["alerts"])
    for written in (json.dumps({**told, "new": 1}), json.dumps(told, indent=2), json.dumps(told, ensure_ascii=False)):
        assert read_notification(written.encode()) == expected


# --- anything at all, over HTTP ----------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PLACES = st.sampled_from([(key,) for key in GOOD] + [("alerts", 0)] + [("alerts", 0, key) for key in GOOD["alerts"][0]])


@st.composite
def cut_and_flipped(draw: st.DrawFn) -> bytes:
    """A real body with a few bytes changed, and perhaps its end missing."""
    body = bytearray(capture(draw(st.sampled_from(ALL_BODIES))))
    for _ in range(draw(st.integers(1, 4))):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(0, len(body)))]) if draw(st.booleans()) else bytes(body)


BODIES = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.tuples(PLACES, JSON).map(lambda change: changed(*change))
    | cut_and_flipped()
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
async def test_no_body_brings_the_receiver_down(door: Door, body: bytes) -> None:
    """Garbage is never a 5xx, and what is not a notification is never a 2xx."""
    before = len(door.desk.deliveries)
    status, _, _ = await door.post(body)
    try:
        read_notification(body)
    except BadNotification:
        expected, filed = 400, 0
    else:
        expected, filed = 202, 1
        told = json.loads(body)
        assert (told["version"], type(told["alerts"]), type(told["groupKey"])) == ("4", list, str)
    assert (status, len(door.desk.deliveries) - before) == (expected, filed)
