"""One bounded line of printable text, from whatever a stranger wrote."""

from __future__ import annotations

LONGEST = 200
NONE = "no reason given"


def one_line(text: str) -> str:
    """The first line that says something; what cannot be printed is a question mark."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    shown = "".join(c if c.isprintable() else "?" for c in first)
    return (shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…") or NONE
