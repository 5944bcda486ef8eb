"""
Find every system: each module or package in this folder makes one `SYSTEM`.

A new system is one new file here. Nothing lists them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from remediator.model.systems import AnySystem


def discover() -> Mapping[str, AnySystem]:
    """All systems by name."""
    found: dict[str, AnySystem] = {}
    for module in pkgutil.iter_modules(__path__):
        system: AnySystem = importlib.import_module(f"{__name__}.{module.name}").SYSTEM
        found[system.name] = system
    return found
