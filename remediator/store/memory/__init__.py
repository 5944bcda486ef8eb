"""
The journal in memory, for tests and simulations.

`MemoryStore` is all that others need; a `Ledger` is what outlives it.
"""

from remediator.store.memory.engine import MemoryStore
from remediator.store.memory.ledger import Ledger

__all__ = ["Ledger", "MemoryStore"]
