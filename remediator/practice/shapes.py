"""
Refuse manifests whose JSON does not have the shape of the type, before anybody reads them.

In: a parsed body. Out: nothing, or the 400 that a strict decoder gives. It looks only at the parts this server reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remediator.practice.refusals import bad_request

_MAPS = ("metadata", "spec", "status", "involvedObject", "regarding", "deleteOptions")
_META_MAPS = ("labels", "annotations")
_META_LISTS = ("finalizers", "ownerReferences")
_META_TEXTS = ("name", "namespace", "generateName", "uid", "resourceVersion")
_SPEC_LISTS = ("containers", "initContainers", "volumes", "volumeClaimTemplates")
_USUAL: Mapping[type, type] = {Mapping: dict, list: list, str: str, int: int}
"""What a JSON parser makes, which needs no second look."""
_SPEC_NUMBERS = ("replicas", "terminationGracePeriodSeconds", "parallelism", "completions")


def check_shape(manifest: Any, stored: Mapping[str, Any] | None = None) -> None:
    """Raises 400 naming the first field that is of the wrong kind. What it shares with `stored` is right already."""
    if not isinstance(manifest, Mapping):
        raise bad_request("json: cannot unmarshal the body into an object")
    expect(manifest, _MAPS, Mapping, "")
    before = stored or {}
    if manifest.get("metadata") is not before.get("metadata"):
        _check_meta(manifest.get("metadata") or {})
    if manifest.get("spec") is not before.get("spec"):
        _check_spec(manifest.get("spec") or {}, manifest.get("kind"))


def _check_meta(meta: Mapping[str, Any]) -> None:
    expect(meta, _META_MAPS, Mapping, "metadata.")
    expect(meta, _META_LISTS, list, "metadata.")
    expect(meta, _META_TEXTS, str, "metadata.")
    for field in _META_MAPS:
        texts = meta.get(field) or {}
        expect(texts, tuple(texts), str, f"metadata.{field}.")


def _check_spec(spec: Mapping[str, Any], kind: Any) -> None:
    expect(spec, _SPEC_NUMBERS, int, "spec.")
    expect(spec, ("updateStrategy", "template"), Mapping, "spec.")
    expect(spec.get("updateStrategy") or {}, ("rollingUpdate",), Mapping, "spec.updateStrategy.")
    _check_lists(spec, "spec.")
    template = spec.get("template") or {}
    expect(template, ("metadata", "spec"), Mapping, "spec.template.")
    expect(template.get("metadata") or {}, _META_MAPS, Mapping, "spec.template.metadata.")
    _check_lists(template.get("spec") or {}, "spec.template.spec.")
    if kind in ("StatefulSet", "Deployment", "ReplicaSet"):
        expect(spec, ("selector",), Mapping, "spec.")


def _check_lists(spec: Mapping[str, Any], where: str) -> None:
    """Lists of objects, and the one field that identifies each of them."""
    expect(spec, _SPEC_LISTS, list, where)
    for field in _SPEC_LISTS:
        for item in spec.get(field) or ():
            expect(item, ("name",), str, f"{where}{field}.")
            expect(item, ("ports",), list, f"{where}{field}.")


def expect(holder: Any, fields: tuple[str, ...], wanted: type, where: str) -> None:
    """Each of the fields that is there is of the wanted kind."""
    if type(holder) is not dict and not isinstance(holder, Mapping):
        raise bad_request(f"json: cannot unmarshal {type(holder).__name__} into object {where.rstrip('.')}")
    for field in fields:
        value = holder.get(field)
        if value is None or type(value) is _USUAL.get(wanted):
            continue
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise bad_request(f"json: cannot unmarshal {type(value).__name__} into field {where}{field}")
