"""
May we act, now, here? One module for each question; each makes one `GUARD`, and discovery finds it.

A guard is a pure function of the facts: it does no I/O, never waits, and answers a verdict with a reason.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence

from remediator.model.seams import Guard


def discover() -> Sequence[Guard]:
    """All guards, by name. Their order does not matter: the strictest answer binds."""
    modules = sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name)
    return [importlib.import_module(f"{__name__}.{module.name}").GUARD for module in modules]
