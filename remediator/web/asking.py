"""
Read what a caller of the API asks for: its query and its body.

In: a request. Out: a filter, or who changes something and why. Raises `Unanswerable` with the status and the words of
the answer. Bodies are bounded in size and time, and no text with control characters in it gets through.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from remediator.model.ledger import RunFilter
from remediator.model.runs import RunState

MOST_RUNS = 1000
MOST_RECORDS = 1000
LAST_RECORD = 2**63 - 1
BODY_SECONDS = 10.0
LONGEST = {"by": 200, "why": 2000, "plan": 64}


class Unanswerable(Exception):
    """A request ends here, with this answer."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Change:
    """Who changes something, and why: both are kept for ever."""

    by: str
    why: str
    plan: str = ""
    """Digest of the plan that is approved or denied."""


def read_filter(request: web.Request) -> RunFilter:
    """`?state=held,running&rule=NAME&limit=100`. Raises Unanswerable."""
    if strange := sorted(request.query.keys() - {"state", "rule", "limit"}):
        raise Unanswerable(400, f"there is no parameter {strange[0][:64]!r}; there are state, rule and limit")
    words = [word for text in request.query.getall("state", []) for word in text.split(",") if word]
    limit = _number(request, "limit", "100", 1, MOST_RUNS)
    return RunFilter(tuple(map(_state, words)), request.query.get("rule", ""), limit)


def read_page(request: web.Request) -> tuple[int, int]:
    """`?after=0&limit=1000`: from which record of the trail on, and how many. Raises Unanswerable."""
    if strange := sorted(request.query.keys() - {"after", "limit"}):
        raise Unanswerable(400, f"there is no parameter {strange[0][:64]!r}; there are after and limit")
    after = _number(request, "after", "0", 0, LAST_RECORD)
    return after, _number(request, "limit", str(MOST_RECORDS), 1, MOST_RECORDS)


def _number(request: web.Request, name: str, otherwise: str, least: int, most: int) -> int:
    text = request.query.get(name, otherwise)
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise Unanswerable(400, f"{name} must be a number from {least} to {most}")
    return int(text)


def _state(word: str) -> RunState:
    try:
        return RunState(word)
    except ValueError:
        raise Unanswerable(400, f"there is no state {word[:64]!r}; there are {', '.join(RunState)}") from None


async def read_change(request: web.Request, *, about_a_plan: bool = False, seconds: float = BODY_SECONDS) -> Change:
    """The body `{"by": ..., "why": ...}`, and `"plan"` where the change is about one. Raises Unanswerable."""
    wanted = {"by", "why", *(["plan"] if about_a_plan else [])}
    form = ", ".join(f'"{name}": "..."' for name in ("by", "why", "plan") if name in wanted)
    try:
        async with asyncio.timeout(seconds):
            body = await request.read()
        told = json.loads(body.decode("utf-8"))
    except TimeoutError as problem:
        raise Unanswerable(408, "the body came too slowly") from problem
    except (web.RequestPayloadError, ConnectionError) as problem:
        raise Unanswerable(400, "the body breaks off") from problem
    except (ValueError, RecursionError) as problem:
        raise Unanswerable(400, f"the body must be JSON: {{{form}}}") from problem
    if not isinstance(told, dict) or told.keys() != wanted:
        raise Unanswerable(400, f"the body must be {{{form}}}, all of it and nothing else")
    return Change(*(_text(told, name) for name in ("by", "why", "plan") if name in wanted))


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told[name]
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise Unanswerable(400, f"{name} must say something")
    if len(text) > LONGEST[name]:
        raise Unanswerable(400, f"{name} must be at most {LONGEST[name]} characters long")
    if not text.isprintable():
        raise Unanswerable(400, f"{name} must be one line of printable text")
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
