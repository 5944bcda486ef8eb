"""
Lengths of time and limits as an on-call engineer writes them: `90s`, `1h30m`, `3 per 1h`.

In: text. Out: a timedelta or a Limit. Never zero, never negative, never a bare number.
"""

from __future__ import annotations

import re
from datetime import timedelta

from remediator.model.rules import Limit
from remediator.rulebook.problems import Misread

DURATION_PATTERN = r"(?=[0-9])([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?"
LIMIT_PATTERN = r"([1-9][0-9]{0,3}) per ([0-9dhms]+)"
LONGEST = timedelta(days=366)

_DURATION = re.compile(DURATION_PATTERN)
_LIMIT = re.compile(r"([0-9]+) +per +(\S+)")
_UNITS = ("days", "hours", "minutes", "seconds")


def parse_duration(text: str) -> timedelta:
    """A positive length of time of at most 366 days."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Misread(f'bad duration "{text}"; expected text like "90s", "30m", "1h30m" or "2d"')
    amounts = {unit: int(part[:-1]) for unit, part in zip(_UNITS, match.groups(), strict=True) if part}
    length = timedelta(**amounts)
    if not timedelta(0) < length <= LONGEST:
        raise Misread(f'duration "{text}" is out of range; expected more than 0s and at most 366d')
    return length


def parse_limit(text: str) -> Limit:
    """At most so many starts in any window of that length."""
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise Misread(f'bad limit "{text}"; expected text like "3 per 1h"')
    if not 1 <= len(match[1]) <= 4 or int(match[1]) < 1:
        raise Misread(f'limit "{text}" is out of range; expected from 1 to 9999 starts')
    try:
        window = parse_duration(match[2])
    except Misread as wrong:
        raise Misread(wrong.message, match.start(2)) from None
    return Limit(int(match[1]), window)
