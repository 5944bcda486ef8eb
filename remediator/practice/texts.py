"""
The JSON of what is stored, made once for each version of an object however often it is read.

In: stored manifests. Out: their JSON text. It relies on two things: what is stored is never changed in place, and no
two stored manifests of a server have the same resourceVersion.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from remediator.model.objects import Manifest, ResourceType

KEPT = 2000
"""Texts, after which all are forgotten."""
_TYPE = ("apiVersion", "kind")


class Texts:
    def __init__(self) -> None:
        self._whole: dict[tuple[str, str], str] = {}
        self._items: dict[tuple[str, str], str] = {}

    def of(self, resource: ResourceType, stored: Manifest) -> str:
        """One object, as it is got."""
        return _remembered(self._whole, resource, stored, compact)

    def of_list(self, resource: ResourceType, meta: Mapping[str, Any], items: Iterable[Manifest]) -> str:
        """A list; its items do not say what they are."""
        head = compact({"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": meta})
        return f'{head[:-1]},"items":[{",".join(self._item(resource, item) for item in items)}]}}'

    def _item(self, resource: ResourceType, stored: Manifest) -> str:
        return _remembered(self._items, resource, stored, _bare)


compact: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":")).encode
"""A document as it is sent."""


def _bare(stored: Manifest) -> str:
    return compact({field: value for field, value in stored.items() if field not in _TYPE})


def _remembered(
    known: dict[tuple[str, str], str], resource: ResourceType, stored: Manifest, write: Callable[[Manifest], str]
) -> str:
    version = resource.api_version, stored["metadata"]["resourceVersion"]
    text = known.get(version)
    if text is None:
        if len(known) >= KEPT:
            known.clear()
        text = known[version] = write(stored)
    return text
