"""
Read the body of a POST as an Alertmanager v4 notification.

In: bytes. Out: a Notification, times as raw text. Raises BadNotification, which says where the body is wrong. Unknown
fields are ignored, and nothing is ever guessed for a field that is missing.

Checked by hand, not by a schema library: a key that is there twice must be refused, and one alert with a lone surrogate
in it must not cost the others. A body exactly as Alertmanager writes it is read several times as fast: a quick reading
either proves every check of the thorough one, or says nothing and leaves the body to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal, NoReturn

import msgspec

from remediator.model.alerts import Alert, AlertStatus, Notification
from remediator.model.errors import BadNotification

DEEPEST = 32
_ALERT_FIELDS = frozenset(
    {"status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"},
)
_GROUP_FIELDS = frozenset({"receiver", "status", "alerts", "version", "groupKey", "truncatedAlerts", "externalURL"})
_GROUP_MAPS = frozenset({"groupLabels", "commonLabels", "commonAnnotations"})
_STATUSES = {str(status): status for status in AlertStatus}


def read_notification(body: bytes) -> Notification:
    """The notification in `body`. Raises BadNotification."""
    return _read_quickly(body) or _read_thoroughly(body)


# --- quickly -----------------------------------------------------------------------------------------------

_CAMEL = {"starts_at": "startsAt", "ends_at": "endsAt", "generator_url": "generatorURL"}
_GO_ESCAPES = ((b"&", rb"\u0026"), (b"<", rb"\u003c"), (b">", rb"\u003e"))
"""What Go's encoder writes for three characters that JSON does not ask to be escaped."""


class _Told(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, rename=_CAMEL):
    """An alert, its fields in Alertmanager's order."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str
    generator_url: str
    fingerprint: str


class _Group(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The whole body, its fields in Alertmanager's order and spelling."""

    receiver: str
    status: Literal["firing", "resolved"]
    alerts: list[_Told]
    groupLabels: dict[str, str]  # noqa: N815 - the sender's spelling
    commonLabels: dict[str, str]  # noqa: N815
    commonAnnotations: dict[str, str]  # noqa: N815
    externalURL: str  # noqa: N815
    version: Literal["4"]
    groupKey: str  # noqa: N815
    truncatedAlerts: Annotated[int, msgspec.Meta(ge=0)]  # noqa: N815


_QUICK = msgspec.json.Decoder(_Group)


def _read_quickly(body: bytes) -> Notification | None:
    """
    A body byte for byte as Alertmanager writes it; None for any other.

    What was read is written again and compared: a key that is there twice, an unknown field or another spelling of
    anything would be missing from the copy.
    """
    try:
        told = _QUICK.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    copy = msgspec.json.encode(told)
    for character, escaped in _GO_ESCAPES:
        copy = copy.replace(character, escaped)
    if copy != body.rstrip(b"\n"):
        return None
    alerts = tuple([_alert(raw) for raw in told.alerts])
    return Notification(told.receiver, told.status, told.groupKey, told.truncatedAlerts, alerts)


def _alert(raw: _Told) -> Alert:
    """`Alert(...)`; a frozen class sets field by field, guarded, which takes longer than decoding the alert."""
    alert = object.__new__(Alert)
    fields = alert.__dict__
    fields["status"] = _STATUSES[raw.status]
    fields["labels"] = raw.labels
    fields["annotations"] = raw.annotations
    fields["starts_at"] = raw.starts_at
    fields["ends_at"] = raw.ends_at
    fields["generator_url"] = raw.generator_url
    fields["fingerprint"] = raw.fingerprint
    return alert


# --- thoroughly --------------------------------------------------------------------------------------------


def _read_thoroughly(body: bytes) -> Notification:
    told = _decode(body)
    if type(told) is not dict:
        raise BadNotification("the body is not a JSON object")
    if told.get("version") != "4":
        raise BadNotification('version must be "4"; this is not Alertmanager\'s webhook format, or a custom payload')
    _check_group(told)
    alerts = told.get("alerts")
    if type(alerts) is not list:
        raise BadNotification("alerts: must be a list of alerts")
    if told["status"] not in _STATUSES:
        raise BadNotification("status: must be firing or resolved")
    truncated = told.get("truncatedAlerts", 0)
    if type(truncated) is not int or truncated < 0:
        raise BadNotification("truncatedAlerts: must be a number, 0 or more")
    return Notification(told["receiver"], told["status"], told["groupKey"], truncated, _read_alerts(alerts))


# --- JSON --------------------------------------------------------------------------------------------------


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadNotification("the body has an object in which a key is there twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadNotification(f"the body has {name} in it, which is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _decode(body: bytes) -> Any:
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as problem:
        raise BadNotification(f"the body is not UTF-8 at byte {problem.start}") from problem
    except RecursionError as problem:
        raise BadNotification(f"the body is nested deeper than {DEEPEST}") from problem
    except json.JSONDecodeError as problem:
        raise BadNotification(f"the body is not JSON: {problem.msg} at character {problem.pos}") from problem
    except ValueError as problem:  # a number of thousands of digits
        raise BadNotification("the body has a number in it that is too long") from problem


def _check_depth(values: Iterable[Any]) -> None:
    """Values of fields that nobody knows: the only place where a body can still be deep."""
    level = list(values)
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for value in level:
            if type(value) is dict:
                inner.extend(value.values())
            elif type(value) is list:
                inner.extend(value)
        if not inner:
            return
        level = inner
    raise BadNotification(f"the body is nested deeper than {DEEPEST}")


# --- the group ---------------------------------------------------------------------------------------------


def _check_group(told: dict[str, Any]) -> None:
    for name in ("receiver", "status", "groupKey"):
        if type(told.get(name)) is not str:
            raise BadNotification(f"{name}: must be a text")
    if type(told.get("externalURL", "")) is not str:
        raise BadNotification("externalURL: must be a text")
    for name in _GROUP_MAPS & told.keys():
        if not _is_text_map(told[name]):
            raise BadNotification(f"{name}: must map texts to texts")
    _check_depth(told[name] for name in told.keys() - _GROUP_FIELDS - _GROUP_MAPS)


def _is_text_map(value: Any) -> bool:
    """Keys of a JSON object are texts anyway; `join` refuses any other value and is the quickest to ask."""
    if type(value) is not dict:
        return False
    try:
        "".join(value.values())
    except TypeError:
        return False
    return True


# --- the alerts --------------------------------------------------------------------------------------------


def _read_alerts(told: list[Any]) -> tuple[Alert, ...]:
    """The path that ten thousand alerts take: what is wrong is found out only after something is."""
    alerts: list[Alert] = []
    for position, raw in enumerate(told):
        try:
            labels, annotations = raw["labels"], raw["annotations"]
            starts, ends = raw["startsAt"], raw["endsAt"]
            url, fingerprint = raw.get("generatorURL", ""), raw.get("fingerprint", "")
            status = _STATUSES[raw["status"]]
        except (KeyError, TypeError, AttributeError) as problem:
            raise BadNotification(f"alerts[{position}]: {_what_is_wrong(raw)}") from problem
        texts = type(starts) is type(ends) is type(url) is type(fingerprint) is str
        if not (texts and _is_text_map(labels) and _is_text_map(annotations)):
            raise BadNotification(f"alerts[{position}]: {_what_is_wrong(raw)}")
        if len(raw) > len(_ALERT_FIELDS) or not raw.keys() <= _ALERT_FIELDS:
            _check_depth(raw[name] for name in raw.keys() - _ALERT_FIELDS)
        alerts.append(Alert(status, labels, annotations, starts, ends, url, fingerprint))
    return tuple(alerts)


def _what_is_wrong(raw: Any) -> str:
    """In words, with the name of the field and never its value."""
    if type(raw) is not dict:
        return "must be an object"
    for name in ("labels", "annotations"):
        if not _is_text_map(raw.get(name)):
            return f"{name} must map texts to texts"
    for name in ("startsAt", "endsAt"):
        if type(raw.get(name)) is not str:
            return f"{name} must be a text"
    for name in ("generatorURL", "fingerprint"):
        if type(raw.get(name, "")) is not str:
            return f"{name} must be a text"
    return "status must be firing or resolved"
