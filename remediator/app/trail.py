"""
The service's own part in the audit trail: the rules in force are recorded, and its head is told to the log.

In: the store, and the rules in force. Out: a record when they are others than those recorded last; and each minute a
line in the log with the newest record's number and hash, where whoever can write the journal's file cannot reach it.
What fails is told and tried again a minute later.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from remediator.logs import complain
from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import HEAD_TOLD, AuditKind, AuditNote, AuditRecord, journal_of
from remediator.model.rules import Rule
from remediator.model.seams import Clock

MINUTE = 60.0
AT_LEAST = 3600.0
"""Seconds after which a head that has not changed is told again."""


class TrailStore(Protocol):
    """What is asked of the store."""

    async def note(self, note: AuditNote) -> None: ...
    async def audit_head(self) -> AuditRecord | None: ...
    async def audit(self, after: int, limit: int) -> Sequence[AuditRecord]: ...
    async def audit_latest(self, kind: AuditKind) -> AuditRecord | None: ...


class TrailKeeper:
    """`told` is given the number of each head that went to the log."""

    def __init__(
        self, store: TrailStore, rules: Callable[[], Sequence[Rule]], clock: Clock, told: Callable[[int], None]
    ) -> None:
        self._store, self._rules, self._clock, self._told = store, rules, clock, told
        self._recorded: Mapping[str, Any] | None = None
        """The rules as they were recorded last; None: nobody has looked yet."""
        self._who = "start"
        self._journal = ""
        self._head: tuple[int, float] | None = None
        """The head that was told last, and when."""

    async def run(self, reloaded: asyncio.Event) -> None:
        """For ever, each minute, and at once when the rules were reloaded."""
        while True:
            await self.note_rules()
            await self.tell_head()
            await self._wait(reloaded)

    async def _wait(self, reloaded: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(self._clock.sleep(MINUTE)), asyncio.ensure_future(reloaded.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        reloaded.clear()

    async def note_rules(self) -> None:
        """Record the rules in force, if they are others than those recorded last, by whichever process."""
        in_force = {rule.name: {"revision": rule.revision, "mode": str(rule.mode)} for rule in self._rules()}
        try:
            if self._recorded is None:
                self._recorded = _rules_of(await self._store.audit_latest(AuditKind.RULES))
            if in_force != self._recorded:
                await self._store.note(AuditNote(AuditKind.RULES, {"who": self._who, "rules": in_force}))
        except StoreUnavailable as error:
            complain("the rules in force could not be recorded", error)
            return
        self._recorded, self._who = in_force, "reload"

    async def tell_head(self, *, always: bool = False) -> None:
        """One line in the log, where the head has changed, an hour has passed, or `always`."""
        try:
            head = await self._store.audit_head()
            if head is None:
                return
            if not self._journal:
                self._journal = journal_of((await self._store.audit(0, 1))[0])
        except StoreUnavailable as error:
            complain("the head of the audit trail could not be told", error)
            return
        now = self._clock.monotonic()
        if self._head and self._head[0] == head.seq and now - self._head[1] < AT_LEAST and not always:
            return
        structlog.get_logger().info(HEAD_TOLD, journal=self._journal, seq=head.seq, hash=head.hash)
        self._head = (head.seq, now)
        self._told(head.seq)


def _rules_of(record: AuditRecord | None) -> Mapping[str, Any]:
    """What that record says, as far as it says anything."""
    body = json.loads(record.body) if record else {}
    rules: Mapping[str, Any] = body.get("rules") or {}
    return rules
