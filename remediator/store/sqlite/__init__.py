"""
The journal in one SQLite file, for one process.

`SQLiteStore` is all that others need; how the file is opened, written and read is in the modules beside it.
"""

from remediator.store.sqlite.engine import SQLiteStore

__all__ = ["SQLiteStore"]
