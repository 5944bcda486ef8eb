"""
Cut a list into pages that all show the same moment.

In: everything that was selected, and how much of it is wanted. Out: one page and the token of the next; 410 for a
token that is no longer kept.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from remediator.model.objects import Manifest
from remediator.practice.refusals import ApiError, bad_request, stale_page


@dataclass(frozen=True)
class Page:
    """`version` is the moment that all pages of one list show; `remaining` is what later pages hold."""

    items: Sequence[Manifest]
    version: int
    token: str = ""
    remaining: int = 0


class Pages:
    """The unread rests of lists, at most `kept` of them."""

    def __init__(self, kept: int = 100) -> None:
        self._rests: OrderedDict[int, tuple[int, Sequence[Manifest]]] = OrderedDict()
        self._kept = kept
        self._last = 0

    def first(self, items: Sequence[Manifest], version: int, limit: int) -> Page:
        """All of it when `limit` is 0."""
        if not limit or len(items) <= limit:
            return Page(items, version)
        self._last += 1
        self._rests[self._last] = (version, items[limit:])
        while len(self._rests) > self._kept:
            self._rests.popitem(last=False)
        return Page(items[:limit], version, _token(self._last), len(items) - limit)

    def following(self, token: str, limit: int) -> Page:
        number = _number(token)
        if number not in self._rests:
            raise stale_page()
        version, rest = self._rests[number]
        return self.first(rest, version, limit)

    def forget(self) -> None:
        """Compaction: every token that was given out is stale."""
        self._rests.clear()


def _token(number: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"page": number}).encode()).decode()


def _number(token: str) -> int:
    try:
        return int(json.loads(base64.urlsafe_b64decode(token))["page"])
    except (ValueError, KeyError, TypeError) as error:
        raise _no_token() from error


def _no_token() -> ApiError:
    return bad_request("continue key is not valid: unrecognized format")
