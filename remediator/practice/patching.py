"""
Apply JSON merge patches (RFC 7386), JSON patches (RFC 6902) and, by their own module, strategic ones.

In: a document and a patch. Out: a new document; the old one is never touched, and the new one may share with it what
the patch does not name. A patch that does not fit raises the answer the real server gives.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from remediator.practice.copying import copied
from remediator.practice.refusals import ApiError, bad_request, rejected_patch, unsupported_body
from remediator.practice.strategic import strategically_merged

PATCH_KINDS = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}
"""Content types and the kinds they mean."""


def patched(document: Mapping[str, Any], body: Any, kind: str) -> dict[str, Any]:
    """The document after a patch of that kind; 400 for a body that is none, 415 for a kind not served."""
    if kind == "json":
        return json_patched(document, body)
    if kind not in ("merge", "strategic"):
        raise unsupported_body(tuple(PATCH_KINDS))
    if not isinstance(body, Mapping):
        raise bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
    result: dict[str, Any] = merged(document, body) if kind == "merge" else strategically_merged(document, body)
    return result


def merged(document: Any, patch: Any) -> Any:
    """RFC 7386: maps merge, null removes, everything else replaces."""
    if type(patch) is not dict and not isinstance(patch, Mapping):
        return copied(patch)
    result = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def json_patched(document: Mapping[str, Any], operations: Any) -> dict[str, Any]:
    """RFC 6902: all operations or none; 422 for one that cannot be done, 400 for what is no patch."""
    if not isinstance(operations, list) or not all(isinstance(o, Mapping) for o in operations):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    holder: dict[str, Any] = {"": copied(dict(document))}
    for operation in operations:
        _operate(holder, operation)
    result = holder.get("")
    if not isinstance(result, dict):
        raise bad_request("the patched document is no object")
    return result


def _operate(holder: dict[str, Any], operation: Mapping[str, Any]) -> None:
    name, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str):
        raise rejected_patch("Unable to decode path from the operation")
    tokens = _tokens(path)
    if name == "test":
        _test(holder, operation, tokens)
    elif name == "add":
        _add(holder, tokens, copied(operation.get("value")))
    elif name == "replace":
        _remove(holder, tokens)
        _add(holder, tokens, copied(operation.get("value")))
    elif name == "remove":
        _remove(holder, tokens)
    elif name in ("move", "copy"):
        source = _tokens(str(operation.get("from")))
        value = _remove(holder, source) if name == "move" else copied(_find(holder, source))
        _add(holder, tokens, value)
    else:
        raise rejected_patch(f"Unexpected kind: {name}")


def _tokens(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise rejected_patch(f"path {path!r} does not start with a slash")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]


def _find(node: Any, tokens: Sequence[str]) -> Any:
    for token in tokens:
        if isinstance(node, list):
            node = node[_index(node, token, len(node) - 1)]
        elif isinstance(node, Mapping) and token in node:
            node = node[token]
        else:
            raise _missing(tokens)
    return node


def _test(holder: Mapping[str, Any], operation: Mapping[str, Any], tokens: Sequence[str]) -> None:
    try:
        found = _find(holder, tokens)
    except ApiError:
        found = None  # testing for null is how a patch asks that a field be absent
    wanted = operation.get("value")
    if found != wanted or isinstance(found, bool) is not isinstance(wanted, bool):
        raise rejected_patch(f"testing value {'/'.join(tokens)} failed: test failed")


def _add(holder: MutableMapping[str, Any], tokens: Sequence[str], value: Any) -> None:
    parent, last = _find(holder, tokens[:-1]), tokens[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(parent, last, len(parent)), value)
    elif isinstance(parent, MutableMapping):
        parent[last] = value
    else:
        raise _missing(tokens)


def _remove(holder: MutableMapping[str, Any], tokens: Sequence[str]) -> Any:
    parent, last = _find(holder, tokens[:-1]), tokens[-1]
    if isinstance(parent, list):
        return parent.pop(_index(parent, last, len(parent) - 1))
    if isinstance(parent, MutableMapping) and last in parent:
        return parent.pop(last)
    raise _missing(tokens)


def _index(items: Sequence[Any], token: str, highest: int) -> int:
    if not token.isdecimal() or int(token) > highest:
        raise rejected_patch(f"Unable to access invalid index: {token} in a list of {len(items)}")
    return int(token)


def _missing(tokens: Sequence[str]) -> ApiError:
    return rejected_patch(f"the path {'/'.join(tokens)} does not exist: missing value")
