"""
What is wrong with a rule file, and where.

In: a mistake in a text or at a place of a file. Out: one `Problem`, which prints as `path:line:column: message`.
Never an exception that reaches the caller: problems are collected, so that an author sees all of them at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

Loc = tuple[str | int, ...]
"""The way from a file's top to a value: keys and list positions."""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing to correct. Line and column count from 1."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True, order=True)
class Place:
    """A position in a file, counted from 1 in characters."""

    line: int
    column: int


@dataclass(frozen=True)
class Finding:
    """A problem that knows the way to the value and not yet its line."""

    loc: Loc
    message: str
    offset: int = 0
    """How far into the text of the value."""
    at_key: bool = False


class Misread(ValueError):
    """A text does not say what it should; `offset` is where in the text."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def one_of(known: Iterable[str]) -> str:
    """The choices, in words."""
    names = [f'"{name}"' for name in sorted(known)]
    if not names:
        return "nothing here"
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"`, or nothing when no choice is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"' if near else ""
