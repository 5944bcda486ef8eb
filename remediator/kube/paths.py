"""
From a reference to the path of an API request.

Every segment is checked against what the API server could have, and percent-encoded besides; anything else
raises Permanent before a request exists. Never concatenates unchecked text. The same few paths are asked for again and
again, so they are kept.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from urllib.parse import quote

from remediator.model.errors import Permanent
from remediator.model.objects import ObjectRef, ResourceType, is_object_name

_API_VERSION = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?v[0-9][a-z0-9]{0,30}\Z")
_PLURAL = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?\Z")
_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\Z")
_LABEL_PREFIX = r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?"
_LABEL_KEY = re.compile(_LABEL_PREFIX + r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")


@functools.lru_cache(maxsize=1024)
def collection_path(resource: ResourceType, namespace: str = "") -> str:
    """The path of all objects of a type, in one namespace or (for \"\") in all."""
    version, plural = resource.api_version, resource.plural
    if not _API_VERSION.match(version) or ".." in version or not _PLURAL.match(plural):
        raise Permanent(f"{version!r} {plural!r} is no resource the API server could have; nothing was asked")
    if namespace and not resource.namespaced:
        raise Permanent(f"{resource.kind} lives in no namespace, but {_shown(namespace)} was given; leave it out")
    if namespace and not _DNS_LABEL.match(namespace):
        raise Permanent(f"{_shown(namespace)} is not the name of a namespace; nothing was asked")
    root = "apis" if resource.group else "api"
    where = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"/{root}/{quote(version)}{where}/{quote(plural, safe='')}"


def object_path(ref: ObjectRef) -> str:
    """The path of one object."""
    return _object_path(ref.resource, ref.namespace, ref.name)


@functools.lru_cache(maxsize=4096)
def _object_path(resource: ResourceType, namespace: str, name: str) -> str:
    if resource.namespaced and not namespace:
        raise Permanent(f"{resource.kind} {_shown(name)} has no namespace; name one")
    if not is_object_name(name):
        raise Permanent(f"{_shown(name)} is not a name an object could have; nothing was asked")
    return f"{collection_path(resource, namespace)}/{quote(name, safe='')}"


def container_name(text: str) -> str:
    """`text` itself, if a container could have this name."""
    if not _DNS_LABEL.match(text):
        raise Permanent(f"{_shown(text)} is not the name of a container; nothing was asked")
    return text


def label_selector(labels: Mapping[str, str]) -> str:
    """Equality with every label given. Nothing given is refused: it would mean every object there is."""
    if not labels:
        raise Permanent("a list was asked with an empty label selector, which would mean all; give labels or None")
    for key, value in labels.items():
        if not _LABEL_KEY.match(key) or not _LABEL_VALUE.match(value):
            raise Permanent(f"{_shown(key)}={_shown(value)} is not a label an object could have; nothing was asked")
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _shown(text: str) -> str:
    return repr(text[:80])
