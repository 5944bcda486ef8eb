"""
What is stored, by type and by place.

In: whole manifests. Out: the manifests themselves, to be read and handed on. None is ever changed in place: whoever
wants another one puts another one, so that what was read stays as it was. It knows no rule of any type.
"""

from __future__ import annotations

from remediator.model.objects import Manifest, ResourceType

Place = tuple[str, str]
"""Namespace and name."""


class Objects:
    def __init__(self) -> None:
        self._kept: dict[ResourceType, dict[Place, Manifest]] = {}

    def find(self, resource: ResourceType, namespace: str, name: str) -> Manifest | None:
        return self._kept.get(resource, {}).get((namespace, name))

    def all_of(self, resource: ResourceType, namespace: str = "") -> list[Manifest]:
        """In order of namespace, then name. No namespace means all of them."""
        kept = self._kept.get(resource, {})
        return [kept[place] for place in sorted(kept) if namespace in ("", place[0])]

    def inside(self, namespace: str) -> list[tuple[ResourceType, str]]:
        """The type and name of everything in a namespace."""
        return [(kind, name) for kind, kept in self._kept.items() for home, name in kept if home == namespace]

    def put(self, resource: ResourceType, manifest: Manifest) -> None:
        self._kept.setdefault(resource, {})[_place(manifest)] = manifest

    def drop(self, resource: ResourceType, manifest: Manifest) -> None:
        del self._kept[resource][_place(manifest)]


def _place(manifest: Manifest) -> Place:
    meta = manifest["metadata"]
    return meta.get("namespace", ""), meta["name"]
