"""Colour and marks, only where a person can see them: on a terminal, and not where NO_COLOR is set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CODES = {"good": "32", "bad": "31", "unsure": "33", "dim": "2", "bold": "1", "head": "1;36"}
ANSWERS = {"yes": ("✓", "good"), "no": ("✗", "bad"), "unknown": ("?", "unsure")}


@dataclass(frozen=True)
class Paint:
    on: bool

    def __call__(self, text: str, colour: str) -> str:
        return f"\x1b[{CODES[colour]}m{text}\x1b[0m" if self.on else text

    def evidence(self, answer: str, *, speaks: bool) -> str:
        """The answer's mark, green when it speaks for the fault: a look-alike's `no` does."""
        mark, colour = ANSWERS.get(answer, ("?", "unsure"))
        return self(mark, "good" if speaks else colour if answer != "yes" else "bad")


def wants_colour(is_terminal: bool, environ: Mapping[str, str]) -> bool:
    return is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
