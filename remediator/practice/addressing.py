"""
Read what a request is about from its method, path and query.

In: the parts of an HTTP request. Out: the resource, the object, the subresource and the verb, as an audit log names
them. It does not know whether any of it exists.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remediator.practice.refusals import ApiError, bad_request

_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_TRUE = ("1", "t", "T", "true", "True", "TRUE")


@dataclass(frozen=True)
class Address:
    """Where a request goes. `plural` is empty for paths that name no resource."""

    api_version: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True)
class Request:
    """One request without its socket. Header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    address: Address = field(init=False)
    verb: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", address_of(self.path))
        object.__setattr__(self, "verb", self._verb())

    def _verb(self) -> str:
        if self.method in _WRITES:
            return _WRITES[self.method]
        if self.method == "DELETE":
            return "delete" if self.address.name or not self.address.plural else "deletecollection"
        if not self.address.plural or (self.address.name and not self.asks("watch")):
            return "get"
        return "watch" if self.asks("watch") else "list"

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def asks(self, option: str) -> bool:
        return self.query.get(option, "") in _TRUE

    def json(self) -> Any:
        """The parsed body; 400 for one that is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error

    def document(self) -> Mapping[str, Any]:
        """The body, which must be an object; an absent one is an empty one."""
        sent = self.json() if self.body.strip() else {}
        if not isinstance(sent, Mapping):
            raise bad_request("couldn't get version/kind; json parse error: the body is no object")
        return sent

    def number(self, option: str) -> int | None:
        text = self.query.get(option, "")
        if text and not text.lstrip("-").isdecimal():
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax in {option}')
        return int(text) if text else None

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing may be stored; 422 for a dryRun that is not `All`."""
        asked = self.query.get("dryRun", "")
        if asked not in ("", "All"):
            raise ApiError(422, "Invalid", f'dryRun: Unsupported value: "{asked}": supported values: "All"')
        return asked == "All"

    @property
    def wants_table(self) -> bool:
        return "as=Table" in self.headers.get("accept", "")


@functools.lru_cache(maxsize=4096)
def address_of(path: str) -> Address:
    """`/apis/apps/v1/namespaces/n/statefulsets/s/scale` in its parts."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        version, rest = parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        version, rest = f"{parts[1]}/{parts[2]}", parts[3:]
    else:
        return Address()

    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource, *beyond = [*rest, "", "", ""][: max(3, len(rest))]
    if beyond:
        return Address()
    return Address(version, plural, namespace, name, subresource)
