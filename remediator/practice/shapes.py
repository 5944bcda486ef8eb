"""
Refuse manifests whose JSON does not have the shape of the type, before anybody reads them.

In: a parsed body. Out: nothing, or the 400 that a strict decoder gives. It looks only at the parts this server reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remediator.practice.refusals import bad_request

_MAPS = ("metadata", "spec", "status")
_META_MAPS = ("labels", "annotations")
_META_LISTS = ("finalizers", "ownerReferences")
_META_TEXTS = ("name", "namespace", "generateName", "uid", "resourceVersion")
_SPEC_LISTS = ("containers", "initContainers", "volumes", "volumeClaimTemplates")
_SPEC_NUMBERS = ("replicas", "terminationGracePeriodSeconds", "parallelism", "completions")


def check_shape(manifest: Any) -> None:
    """Raises 400 naming the first field that is of the wrong kind."""
    if not isinstance(manifest, Mapping):
        raise bad_request("json: cannot unmarshal the body into an object")
    _expect(manifest, _MAPS, Mapping, "")
    meta, spec = manifest.get("metadata") or {}, manifest.get("spec") or {}
    _expect(meta, _META_MAPS, Mapping, "metadata.")
    _expect(meta, _META_LISTS, list, "metadata.")
    _expect(meta, _META_TEXTS, str, "metadata.")
    for field in _META_MAPS:
        texts = meta.get(field) or {}
        _expect(texts, tuple(texts), str, f"metadata.{field}.")
    _expect(spec, _SPEC_LISTS, list, "spec.")
    _expect(spec, _SPEC_NUMBERS, int, "spec.")
    _expect(spec, ("updateStrategy", "template"), Mapping, "spec.")
    if manifest.get("kind") in ("StatefulSet", "Deployment", "ReplicaSet"):
        _expect(spec, ("selector",), Mapping, "spec.")


def _expect(holder: Mapping[str, Any], fields: tuple[str, ...], wanted: type, where: str) -> None:
    for field in fields:
        value = holder.get(field)
        if value is None:
            continue
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise bad_request(f"json: cannot unmarshal {type(value).__name__} into field {where}{field}")
