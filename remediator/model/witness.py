"""How far a journal had come, as somebody remembers who is not the journal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """One record of one journal's audit trail. Its hash stands for every record up to it."""

    journal: str
    """The journal's own id: two journals never share one."""
    seq: int
    """0: the journal had no record yet."""
    hash: str
