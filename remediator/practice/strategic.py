"""
Apply strategic merge patches: maps merge as in RFC 7386, and the common lists merge by their key.

In: a document and a patch. Out: a new document. The directives `$patch`, `$deleteFromPrimitiveList`,
`$setElementOrder` and `$retainKeys` are obeyed; lists that are not in the tables are replaced whole.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from remediator.practice.refusals import bad_request

_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "resourceClaims": ("name",),
    "conditions": ("type",),
    "addresses": ("type",),
    "ownerReferences": ("uid",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "podIPs": ("ip",),
    "taints": ("key",),
    "topologySpreadConstraints": ("topologyKey",),
    "ports": ("containerPort", "port"),
}
"""The merge key of a list; where two are named, the first that the items carry (container or service ports)."""

_SETS = frozenset({"finalizers", "podCIDRs"})
_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategically_merged(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The document after the patch; 400 for an element without its merge key."""
    return _merged_map(copy.deepcopy(dict(document)), copy.deepcopy(dict(patch)))


def _merged_map(document: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    retained = patch.get("$retainKeys")
    result = {k: v for k, v in document.items() if k in retained} if isinstance(retained, list) else dict(document)
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            _drop_from_set(result, key.removeprefix(_DELETE_FROM), value)
        elif not key.startswith("$"):
            _set(result, key, value)
    for key, value in patch.items():
        if key.startswith(_ORDER):
            _reorder(result, key.removeprefix(_ORDER), value)
    return result


def _set(result: dict[str, Any], key: str, value: Any) -> None:
    before = result.get(key)
    if value is None:
        result.pop(key, None)
    elif isinstance(value, Mapping):
        result[key] = _merged_map(before if isinstance(before, dict) else {}, value)
    elif isinstance(value, list):
        result[key] = _merged_list(key, before if isinstance(before, list) else [], value)
    else:
        result[key] = value


def _merged_list(field: str, before: list[Any], patch: list[Any]) -> list[Any]:
    if field in _SETS:
        return [*before, *(item for item in patch if item not in before)]
    merge_key = _merge_key(field, [*before, *patch])
    if not merge_key:
        return patch
    if any(isinstance(item, Mapping) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item.get("$patch") != "replace"]

    result = list(before)
    for item in patch:
        _merge_item(result, merge_key, item)
    return result


def _merge_item(items: list[Any], merge_key: str, patch: Any) -> None:
    if not isinstance(patch, Mapping) or merge_key not in patch:
        raise bad_request(f"map: {patch!r} does not contain declared merge key: {merge_key}")
    at = next((i for i, item in enumerate(items) if item.get(merge_key) == patch[merge_key]), None)
    if patch.get("$patch") == "delete":
        if at is not None:
            del items[at]
    elif at is None:
        items.append(_merged_map({}, patch))
    else:
        items[at] = _merged_map(items[at], patch)


def _drop_from_set(result: dict[str, Any], field: str, unwanted: Any) -> None:
    if not isinstance(unwanted, list):
        raise bad_request(f"{_DELETE_FROM}{field} is no list")
    if isinstance(result.get(field), list):
        result[field] = [item for item in result[field] if item not in unwanted]


def _reorder(result: dict[str, Any], field: str, order: Any) -> None:
    """Elements named in the order come in that order; the rest keep their places after them."""
    items = result.get(field)
    if not isinstance(items, list) or not isinstance(order, list):
        return
    merge_key = _merge_key(field, items)
    wanted = [o.get(merge_key) if isinstance(o, Mapping) else o for o in order]

    def place(item: Any) -> int:
        identity = item.get(merge_key) if isinstance(item, Mapping) else item
        return wanted.index(identity) if identity in wanted else len(wanted)

    result[field] = sorted(items, key=place)


def _merge_key(field: str, items: Sequence[Any]) -> str:
    candidates = _KEYS.get(field, ())
    maps = [item for item in items if isinstance(item, Mapping)]
    found = next((key for key in candidates if any(key in item for item in maps)), "")
    return found or (candidates[0] if candidates and maps else "")
