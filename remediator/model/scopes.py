"""
Where a rule may act: what a namespace's name looks like, and which namespaces nobody may touch.

Pure questions about text. Nothing here widens a scope.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
"""RFC 1123 label: the form of a namespace's name, and of a rule's."""


def is_label_name(text: str) -> bool:
    """Whether `text` could be a namespace's name; anything else never reaches a URL."""
    return bool(LABEL.match(text))


def is_protected(namespace: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern names this namespace, literally or with a `*` at its end (`kube-*`)."""
    return any(
        namespace.startswith(pattern[:-1]) if pattern.endswith("*") else namespace == pattern for pattern in patterns
    )
