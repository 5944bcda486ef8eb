"""
Read label and field selectors, and tell whether an object is selected.

In: selector text as it stands in a query. Out: a question that can be put to any object; 400 for text that is no
selector. It never guesses: an unknown field is refused, not ignored.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from remediator.practice.refusals import ApiError, bad_request

Question = Callable[[Mapping[str, Any]], bool]

_KEY = r"[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"(?P<key>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)\Z")
_EQUAL = re.compile(rf"(?P<key>{_KEY})\s*(?P<op>==|=|!=)\s*(?P<value>{_VALUE})\Z")
_EXISTS = re.compile(rf"(?P<absent>!?)\s*(?P<key>{_KEY})\Z")

_ANY_FIELD = ("metadata.name", "metadata.namespace")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Pod": ("spec.nodeName", "status.phase", "status.podIP", "spec.restartPolicy", "spec.serviceAccountName"),
    "Namespace": ("status.phase",),
    "Node": ("spec.unschedulable",),
    "Secret": ("type",),
    "Job": ("status.successful",),
    "Event": (
        *(f"involvedObject.{f}" for f in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion")),
        *(f"regarding.{f}" for f in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion")),
        "involvedObject.fieldPath",
        "regarding.fieldPath",
        "reason",
        "type",
        "source",
        "reportingComponent",
        "reportingController",
    ),
}


@functools.lru_cache(maxsize=256)
def label_question(text: str) -> Question:
    """`a=b,c!=d,e in (f,g),h,!i`: whether an object's labels satisfy every part."""
    parts = [_label_part(part.strip()) for part in _split(text)]

    def is_selected(manifest: Mapping[str, Any]) -> bool:
        labels = manifest.get("metadata", {}).get("labels") or {}
        return all(part(labels) for part in parts)

    return is_selected


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """A `metav1.LabelSelector`: None selects nothing, an empty one everything."""
    if selector is None:
        return False
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression(e, labels) for e in selector.get("matchExpressions") or ())


def field_question(text: str, kind: str) -> Question:
    """`metadata.name=x,spec.nodeName!=y`: whether an object's fields do; 400 for a field the kind lacks."""
    parts = [_field_part(part.strip(), kind) for part in text.split(",") if part.strip()]

    def is_selected(manifest: Mapping[str, Any]) -> bool:
        return all((_field(manifest, path) == value) is equal for path, equal, value in parts)

    return is_selected


def _split(text: str) -> list[str]:
    """Split at commas that are not inside the parentheses of a set."""
    parts = re.split(r",(?![^()]*\))", text)
    return [part for part in parts if part.strip()] if text.strip() else []


def _label_part(text: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(text):
        values = frozenset(v.strip() for v in found["values"].split(","))
        key = found["key"]
        if found["op"] == "in":
            return lambda labels: key in labels and labels[key] in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(text):
        key, value = found["key"], found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(text):
        key, wanted = found["key"], not found["absent"]
        return lambda labels: (key in labels) is wanted
    raise _unparsable("label", text)


def _expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    answers = {
        "In": key in labels and labels[key] in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return answers[expression["operator"]]


def _field_part(text: str, kind: str) -> tuple[str, bool, str]:
    found = re.match(r"(?P<path>[A-Za-z.]+)\s*(?P<op>==|=|!=)\s*(?P<value>.*)\Z", text)
    if not found:
        raise _unparsable("field", text)
    if found["path"] not in (*_ANY_FIELD, *_FIELDS.get(kind, ())):
        raise bad_request(f"field label not supported: {found['path']}")
    return found["path"], found["op"] != "!=", found["value"]


def _field(manifest: Mapping[str, Any], path: str) -> str:
    """The field as the server's text form of it: empty where it is absent."""
    value: Any = manifest
    for name in _real_path(path):
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None:
        return "false" if path == "spec.unschedulable" else "0" if path == "status.successful" else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _real_path(path: str) -> Sequence[str]:
    """Events are kept as core/v1, whatever view the question is put in."""
    renamed = {
        "source": "source.component",
        "reportingController": "reportingComponent",
        "status.successful": "status.succeeded",
    }
    return renamed.get(path, path).replace("regarding.", "involvedObject.").split(".")


def _unparsable(what: str, text: str) -> ApiError:
    return bad_request(f"unable to parse requirement: {text!r} is no {what} selector")
