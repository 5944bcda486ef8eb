"""
Tell every observer what was committed.

An observer that fails is logged once for each report and disturbs neither the run nor the other observers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remediator.model.reports import Report
from remediator.model.seams import Observer


class Teller:
    """An Observer made of observers."""

    def __init__(self, observers: Sequence[Observer], *, complain: Callable[[str, Exception], None]) -> None:
        self._observers = tuple(observers)
        self._complain = complain

    def __call__(self, report: Report) -> None:
        for observer in self._observers:
            try:
                observer(report)
            except Exception as error:  # noqa: BLE001 - an observer must not disturb a run
                self._complain(f"observer {type(observer).__name__} failed on {type(report).__name__}", error)
