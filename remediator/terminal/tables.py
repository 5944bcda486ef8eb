"""Rows as a table that fits the terminal: the widest column gives way, never the first one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

NARROWEST = 8


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], width: int | None = None) -> str:
    """Lines without a trailing newline. Cells are one line each; what does not fit ends in …"""
    if not rows:
        return "none"
    cells = [[column.upper().replace("_", " ") for column in columns]]
    cells += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = _fit([max(len(line[i]) for line in cells) for i in range(len(columns))], width or terminal_width())
    return "\n".join(_line(line, widths) for line in cells)


def terminal_width() -> int:
    return shutil.get_terminal_size((80, 24)).columns


def _cell(value: Any) -> str:
    text = "-" if value is None or value == "" else str(value)
    return "".join(c if c.isprintable() else "?" for c in text)


def _fit(widths: list[int], width: int) -> list[int]:
    """Take from the widest column after the first until the line fits."""
    fitted = list(widths)
    while sum(fitted) + 2 * (len(fitted) - 1) > width:
        widest = max(range(1, len(fitted)), key=lambda i: fitted[i], default=0)
        if fitted[widest] <= NARROWEST:
            break
        fitted[widest] -= 1
    return fitted


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cut(cell, width).ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(1, width - 1)] + "…"
