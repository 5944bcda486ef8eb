"""
Whether a trail is what was written: its chain, and the heads that were told elsewhere.

In: records from the first one on, page by page, and heads. Out: every flaw in words, each naming its record. Pure.
A cut-off end and a chain that was written anew as a whole are perfect chains: only a head tells them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from remediator.model.ledger import AuditRecord, Head, journal_of
from remediator.store.auditing import flaws


class Trail:
    """A trail as it is heard."""

    def __init__(self, heads: Iterable[Head] = ()) -> None:
        self._awaited: dict[int, set[Head]] = {}
        for head in heads:
            self._awaited.setdefault(head.seq, set()).add(head)
        self._broken_heads: list[int] = []
        self.first: AuditRecord | None = None
        self.last: AuditRecord | None = None
        self.count = 0
        self.heads_met = 0

    @property
    def journal(self) -> str:
        """Whose trail it is; "" before its first record."""
        return journal_of(self.first) if self.first else ""

    def hear(self, page: Sequence[AuditRecord]) -> Iterator[str]:
        """The next records. Answers what is wrong with them."""
        if self.first is None and page:
            self.first = page[0]
            yield from self._strangers(self.journal)
        yield from flaws(page, self.last)
        for record in page:
            yield from self._meet(record)
        self.count += len(page)
        self.last = page[-1] if page else self.last

    def _strangers(self, journal: str) -> Iterator[str]:
        """Heads of another journal, told in one flaw for each: they are not looked for."""
        told: dict[str, list[int]] = {}
        for head in [head for heads in self._awaited.values() for head in heads if head.journal not in ("", journal)]:
            self._awaited[head.seq].discard(head)
            told.setdefault(head.journal, []).append(head.seq)
        for other, seqs in told.items():
            yield (
                f"record {max(seqs)} and {len(seqs) - 1} more were told as heads of journal {other}, and this trail is"
                f" {journal}: either the log is another journal's too, or this trail was written anew from record 1 on"
            )

    def _meet(self, record: AuditRecord) -> Iterator[str]:
        for head in self._awaited.pop(record.seq, ()):
            if head.hash == record.hash:
                self.heads_met += 1
                continue
            if not self._broken_heads:
                yield (
                    f"record {record.seq} is not the one that was told as head ({head.hash[:16]}…, found"
                    f" {record.hash[:16]}…): the trail was written anew at or before it"
                )
            self._broken_heads.append(record.seq)

    def end(self) -> Iterator[str]:
        """There are no more records. Answers what only now is known to be wrong."""
        if self.last is None:
            yield "the trail has no record"
        if len(self._broken_heads) > 1:
            more, until = len(self._broken_heads) - 1, self._broken_heads[-1]
            yield f"record {until} is not the one that was told as head either, nor {more - 1} between"
        last = self.last.seq if self.last else 0
        missing = sorted(seq for seq, heads in self._awaited.items() if heads)
        yield from (f"record {seq} was told as head, and it is not there" for seq in missing if seq <= last)
        if missing and missing[-1] > last:
            until = missing[-1]
            yield f"record {until} was told as head, and the trail ends at record {last}: {until - last} are cut off"
