"""
The journal in one SQLite file, for one process.

`SQLiteStore` is all that others need while the file is whole, and `SalvagedStore` when it is not; how the file is
opened, written and read is in the modules beside them.
"""

from remediator.store.sqlite.engine import SQLiteStore
from remediator.store.sqlite.salvage import SalvagedStore

__all__ = ["SQLiteStore", "SalvagedStore"]
