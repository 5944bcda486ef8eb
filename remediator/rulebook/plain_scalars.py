"""
What a single YAML value means.

In: a scalar's text and whether it was quoted. Out: text, a whole number, a decimal, true, false or nothing. Never a
guess: a plain word that some YAML reader takes for a date, a base-60 number or a boolean must be quoted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from remediator.rulebook.problems import Place

INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]+\Z")
BOOLEAN_WORD = re.compile(r"(?i:y|n|yes|no|on|off|true|false)\Z")
ODD_NUMBER = re.compile(
    r"[-+]?(0[0-9_]+|0[xXoObB][0-9a-fA-F_]+|[0-9][0-9_]*|\.[0-9_]+|[0-9][0-9_]*\.[0-9_]*|[0-9.]+[eE][-+]?[0-9]+)\Z"
    r"|[-+]?\.(?i:inf|nan)\Z"
)
BASE_SIXTY = re.compile(r"[-+]?[0-9][0-9_]*(:[0-9]{1,2})+(\.[0-9_]*)?\Z")
DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?\Z")
NOTHING = frozenset({"", "~", "null", "Null", "NULL"})


class Surprise(ValueError):
    """A plain value that not everybody reads alike."""


@dataclass(frozen=True)
class Scalar:
    """One value as written. `source` is its spelling in the file, quotes and escapes included."""

    text: str
    is_plain: bool
    place: Place
    source: str
    tagged: bool = False

    def value(self) -> str | int | float | bool | None:
        """The value, or Surprise where it must be quoted to be clear."""
        return resolve(self.text) if self.is_plain else self.text

    def place_at(self, offset: int) -> Place:
        """Where the character at `offset` of the text stands in the file; the start where that is not on one line."""
        if not offset or "\n" in self.source:
            return self.place
        return Place(self.place.line, self.place.column + _width_before(self.source, offset))


def resolve(text: str) -> str | int | float | bool | None:
    """What a plain scalar stands for."""
    if text in ("true", "false"):
        return text == "true"
    if text in NOTHING:
        return None
    if INTEGER.match(text):
        return int(text)
    if DECIMAL.match(text):
        return float(text)
    _refuse_surprises(text)
    return text


def _refuse_surprises(text: str) -> None:
    if BOOLEAN_WORD.match(text):
        raise Surprise(f'"{text}" may mean a word or true or false; quote it, or write true or false')
    if ODD_NUMBER.match(text):
        raise Surprise(f'"{text}" is not a plain decimal number; quote it, or write it as digits')
    if BASE_SIXTY.match(text):
        raise Surprise(f'"{text}" may mean a number to the base of 60; quote it')
    if DATE.match(text):
        raise Surprise(f'"{text}" may mean a date; quote it')
    if text == "=":
        raise Surprise('"=" has a meaning of its own in YAML; quote it')


def _width_before(source: str, offset: int) -> int:
    """How many characters of the spelling stand before the text's character at `offset`."""
    quote = source[:1]
    if quote not in ("'", '"'):
        return offset
    at = 1
    for _ in range(offset):
        at += _width_of_one(source, at, quote)
    return at


def _width_of_one(source: str, at: int, quote: str) -> int:
    if quote == "'":
        return 2 if source[at : at + 2] == "''" else 1
    if source[at : at + 1] != "\\":
        return 1
    return {"x": 4, "u": 6, "U": 10}.get(source[at + 1 : at + 2], 2)
