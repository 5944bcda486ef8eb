"""
Find the heads of an audit trail where they were told: in a log, or written down by hand.

In: lines of a log, in any form this service or its collectors give them; or `SEQ:HASH`. Out: heads. A line that tells
none is passed over; what only quotes such a line, as an alert's text may, tells none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from remediator.model.ledger import HEAD_TOLD, Head

HASH = re.compile(r"[0-9a-f]{64}\Z")
WRITTEN = re.compile(r"([1-9][0-9]{0,18}):([0-9a-fA-F]{64})\Z")
WRAPPINGS = ("log", "message", "MESSAGE", "msg")
"""Where collectors put the line they carry."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CONSOLE = re.compile(
    rf"[^\[]*\[info +\] {HEAD_TOLD} +hash='?([0-9a-f]{{64}})'? journal='?([0-9a-f]*)'? seq=([0-9]+)\s*\Z"
)


def written(text: str) -> Head | None:
    """`SEQ:HASH`; None for anything else."""
    found = WRITTEN.match(text.strip())
    return Head(int(found[1]), found[2].lower()) if found else None


def heads_in(lines: Iterable[str]) -> Iterator[Head]:
    for line in lines:
        head = _head_in(line)
        if head is not None:
            yield head


def _head_in(line: str) -> Head | None:
    if HEAD_TOLD not in line:
        return None
    text = _COLOUR.sub("", line)
    console = _CONSOLE.match(text)
    if console:
        return _head(int(console[3]), console[1], console[2])
    return _told(_value(text[text.find("{") :]) if "{" in text else None)


def _value(text: str) -> Any:
    """The JSON value that a text begins with."""
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None


def _told(value: Any) -> Head | None:
    if not isinstance(value, dict):
        return None
    if value.get("event") == HEAD_TOLD:
        return _head(value.get("seq"), value.get("hash"), value.get("journal", ""))
    if "event" in value:
        return None  # another line of ours
    carried = next((value[name] for name in WRAPPINGS if isinstance(value.get(name), str)), "")
    return _head_in(carried)


def _head(seq: Any, digest: Any, journal: Any) -> Head | None:
    if isinstance(seq, int) and seq > 0 and isinstance(digest, str) and HASH.match(digest):
        return Head(seq, digest, str(journal))
    return None
