"""
Copy a manifest: what is stored and what is handed out never share a part.

In: a JSON value. Out: an equal one of its own. Far quicker than the general deep copy, which looks for parts that are
shared within one value; JSON has none.
"""

from __future__ import annotations

import copy
from typing import TypeVar

T = TypeVar("T")
_PLAIN = frozenset({str, int, float, bool, type(None)})


def copied(value: T) -> T:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {k: v if type(v) in _PLAIN else copied(v) for k, v in value.items()}  # type: ignore[attr-defined,return-value]
    if kind is list:
        return [v if type(v) in _PLAIN else copied(v) for v in value]  # type: ignore[attr-defined,return-value]
    return copy.deepcopy(value)
