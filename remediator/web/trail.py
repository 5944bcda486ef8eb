"""
The audit trail in pages that fit an answer.

In: the store, and from where on. Out: records exactly as stored, and the head. It judges nothing: whoever verifies a
trail must not believe the service that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from remediator.model.ledger import AuditRecord

CHARACTERS = 1_000_000
"""Of records in one answer, or a few more: a storm's record names ten thousand runs."""
AT_ONCE = 50
"""Records asked of the store at once."""


class TrailStore(Protocol):
    async def audit(self, after: int, limit: int) -> Sequence[AuditRecord]: ...
    async def audit_head(self) -> AuditRecord | None: ...


async def page_of(store: TrailStore, after: int, limit: int) -> dict[str, Any]:
    """As many records as fit; whoever wants more asks on, after the last one, until there are none."""
    records: list[AuditRecord] = []
    size = 0
    while len(records) < limit and size < CHARACTERS:
        some = await store.audit(after, min(limit - len(records), AT_ONCE))
        if not some:
            break
        records += some
        size += sum(len(record.body) for record in some)
        after = some[-1].seq
    head = await store.audit_head()
    return {
        "records": [vars(record) for record in records],
        "head": {"seq": head.seq, "hash": head.hash} if head else None,
    }
