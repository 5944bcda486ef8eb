"""
A list, whole or not at all.

In: a type, a namespace, labels. Out: every object and the version of the list. Pages are read to the end within
one deadline; a page that is cut, repeated or foreign raises. Never answers a part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remediator.kube.answers import json_of, unclear
from remediator.kube.exchange import Asked, Call
from remediator.kube.paths import collection_path, label_selector
from remediator.kube.requests import Requests, with_query
from remediator.model.errors import Temporary
from remediator.model.objects import Manifest, ResourceType

PAGE = 500
WHOLE_LIST_REQUESTS = 6
"""A whole list may take as long as this many requests."""


@dataclass(frozen=True)
class Listed:
    items: tuple[Manifest, ...]
    version: str
    """The resourceVersion of the list: where a watch goes on from."""


class _Expired(Exception):
    """The continue token is too old: what was read so far no longer belongs together."""


async def list_whole(
    requests: Requests, resource: ResourceType, namespace: str, labels: Mapping[str, str] | None
) -> Listed:
    """Raises Forbidden, Temporary or Permanent. A token that expires under way starts the list anew, once."""
    where = f"{resource.kind} in {namespace or 'the cluster'}"
    asked = Asked("list", resource.plural, where)
    path = collection_path(resource, namespace)
    query = {"limit": str(PAGE)}
    if labels is not None:
        query["labelSelector"] = label_selector(labels)
    try:
        async with asyncio.timeout(requests.seconds * WHOLE_LIST_REQUESTS):
            for _ in range(2):
                try:
                    listed = await _pages(requests, asked, path, query)
                except _Expired:
                    continue
                _check_scope(asked, listed, namespace, labels or {})
                return Listed(tuple(_typed(item, resource) for item in listed.items), listed.version)
    except TimeoutError as error:
        raise unclear(asked, "the whole list took too long") from error
    raise Temporary(f"{asked.doing}: the list expired twice while it was read")


async def _pages(requests: Requests, asked: Asked, path: str, query: Mapping[str, str]) -> Listed:
    items: list[Manifest] = []
    token = ""
    while True:
        more = {"continue": token} if token else {}
        answer = await requests.answer(asked, Call("GET", with_query(path, {**query, **more})))
        if answer.status == 410 and token:
            raise _Expired
        page = json_of(asked, answer)
        metadata = _check_page(asked, page)
        items += page["items"] or ()
        following = metadata.get("continue") or ""
        if not following:
            if metadata.get("remainingItemCount"):
                raise unclear(asked, "the list says it is not whole and how to go on is missing")
            return Listed(tuple(items), str(metadata.get("resourceVersion", "")))
        if following == token or not isinstance(following, str):
            raise unclear(asked, "the list does not get on")
        token = following


def _check_page(asked: Asked, page: Mapping[str, Any]) -> Mapping[str, Any]:
    """The page's metadata, if it is a page of a list. `items: null` is how Go writes an empty one."""
    metadata, kind, items = page.get("metadata"), page.get("kind"), page.get("items", "missing")
    is_list = items is None or (isinstance(items, list) and all(map(_is_object, items)))
    if not is_list or not isinstance(metadata, dict) or not str(kind).endswith("List"):
        raise unclear(asked, "the answer is not a list")
    return metadata


def _is_object(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("metadata"), dict) and bool(item["metadata"].get("name"))


def _check_scope(asked: Asked, listed: Listed, namespace: str, labels: Mapping[str, str]) -> None:
    """A server that ignores a selector answers too much, and too much must not be mistaken for what was meant."""
    for item in listed.items:
        metadata = item["metadata"]
        own = metadata.get("labels") or {}
        if (namespace and metadata.get("namespace") != namespace) or not labels.items() <= own.items():
            raise unclear(asked, f"the list has {metadata['name']}, which was not asked for")


def _typed(item: Manifest, resource: ResourceType) -> Manifest:
    """Built-in types leave their type out inside a list; here every object says what it is."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **item}
