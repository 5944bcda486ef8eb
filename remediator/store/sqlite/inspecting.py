"""
A journal's file, looked at by an auditor beside the service or without one.

In: a path, and what the trail tells. Out: the trail's records, page by page, and every row that differs from them, all
from one snapshot. It opens the file read-only and takes no lock that keeps the service out: what it finds it leaves.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from remediator.model.errors import DamagedRecord, StoreUnavailable
from remediator.model.ledger import AuditRecord, History
from remediator.model.runs import FINAL, Run
from remediator.store import reconciling
from remediator.store.account import Account
from remediator.store.rows import moment, plain, switch_from
from remediator.store.sqlite import reading
from remediator.store.sqlite.forgetting import START_MEMORY
from remediator.store.sqlite.soundness import APPLICATION_ID, BUSY_SECONDS, migrations

PAGE = 1000
COMPARED = ("runs", "moves", "attempts", "signals", "switches", "starts", "deliveries")
FIRST_WITH_A_TRAIL = 2
"""The schema that brought the trail."""
UNREADABLE = (DamagedRecord, ValueError, TypeError, LookupError)
"""What a row raises that somebody has written into, checksum and all."""


@dataclass
class Inspection:
    """One look at a journal."""

    db: sqlite3.Connection
    path: Path
    compared: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COMPARED, 0))
    """How many of what were compared with the trail."""

    @property
    def newest(self) -> int:
        """The number of the last record, for whoever shows how far it is."""
        return int(self.db.execute("SELECT ifnull(max(seq), 0) FROM audit").fetchone()[0])

    def pages(self) -> Iterator[list[AuditRecord]]:
        found = self.db.execute("SELECT seq, at, kind, body, hash FROM audit ORDER BY seq")
        while rows := found.fetchmany(PAGE):
            yield [_record(*row) for row in rows]

    # --- the rows against the trail ------------------------------------------------------------------------

    def differences(self, told: Account) -> Iterator[str]:
        """Every row that is not as the trail tells it, and all that it tells and no row has."""
        yield from self._runs(told)
        yield from self._switches(told)
        yield from self._starts(told)
        yield from self._past(told)
        yield from self._deliveries(told)

    def _runs(self, told: Account) -> Iterator[str]:
        found: dict[str, None] = {}
        for run_id, *columns in self.db.execute("SELECT id, state, is_live, rule, episode FROM runs ORDER BY filed"):
            found[run_id] = None
            try:
                yield from self._run(told, run_id, columns)
            except UNREADABLE as damage:
                yield f"run {run_id} of the journal cannot be read: {damage}"
        self.compared["runs"] = len(found)
        yield from reconciling.of_missing_runs(told, found)
        for table in ("steps", "traces", "signals"):
            strays = f"SELECT DISTINCT run_id FROM {table} WHERE run_id NOT IN (SELECT id FROM runs)"  # noqa: S608
            yield from (
                f"run {run_id} has {table} in the journal, and is not there" for (run_id,) in self.db.execute(strays)
            )

    def _run(self, told: Account, run_id: str, columns: list[Any]) -> Iterator[str]:
        run = reading.get(self.db, run_id)
        if run is None:
            return
        kept = reading.history(self.db, run)
        if columns != _columns(run) or run.id != run_id:
            yield f"run {run_id} has columns in the journal that its own text does not bear out"
        yield from self._places(kept)
        yield from reconciling.of_run(told.runs.get(run_id), kept)
        self.compared["attempts"] += len(kept.steps)
        self.compared["moves"] += len(kept.traces)
        self.compared["signals"] += len(kept.signals)

    def _places(self, kept: History) -> Iterator[str]:
        """The columns by which the service finds a row again."""
        run_id = plain(kept.run.id)
        steps = self.db.execute("SELECT seq, attempt FROM steps WHERE run_id = ? ORDER BY seq, attempt", (run_id,))
        signals = self.db.execute("SELECT name, digest FROM signals WHERE run_id = ? ORDER BY id", (run_id,))
        told = {
            "steps": (steps.fetchall(), [(step.seq, step.attempt) for step in kept.steps]),
            "signals": (signals.fetchall(), [(str(signal.name), plain(signal.digest)) for signal in kept.signals]),
        }
        for what, (columns, texts) in told.items():
            if columns != texts:
                yield f"run {run_id} has {what} in the journal that do not stand where their own text says"

    def _switches(self, told: Account) -> Iterator[str]:
        rows = []
        for number, name, body in self.db.execute("SELECT id, name, body FROM switches ORDER BY id"):
            try:
                switch = switch_from(body)
            except UNREADABLE as damage:
                yield f"switch {number} ({name}) of the journal cannot be read: {damage}"
                continue
            rows.append((number, switch))
            if plain(switch.name) != name:
                yield f"switch {number} stands under {name} in the journal, and its own text is about {switch.name}"
        self.compared["switches"] = len(rows)
        yield from reconciling.of_switches(told.switches, rows)

    def _starts(self, told: Account) -> Iterator[str]:
        counted = dict(self.db.execute("SELECT run_id, count(*) FROM starts GROUP BY run_id"))
        yield from reconciling.of_starts(told, counted, _before(told.latest))
        yield from reconciling.of_locks(told, dict(self.db.execute("SELECT target_key, run_id FROM target_locks")))
        self.compared["starts"] = len(counted)

    def _past(self, told: Account) -> Iterator[str]:
        yield from reconciling.of_past(told, [run_id for (run_id,) in self.db.execute("SELECT run_id FROM past_cases")])

    def _deliveries(self, told: Account) -> Iterator[str]:
        """Those that are still kept: each body is one that a record has the hash of."""
        left = Counter(told.deliveries)
        for number, is_packed, body in self.db.execute("SELECT id, is_packed, body FROM deliveries ORDER BY id"):
            self.compared["deliveries"] += 1
            try:
                sha256 = hashlib.sha256(zlib.decompress(body) if is_packed else body).hexdigest()
            except zlib.error:
                sha256 = "unreadable"
            left[sha256] -= 1
            if left[sha256] < 0:
                yield f"delivery {number} of the journal has a body that no record tells of"


def _before(latest: str) -> str:
    """A start that is older than this may be forgotten; "" where nobody can tell, and then none may."""
    try:
        return moment(datetime.fromisoformat(latest) - START_MEMORY)
    except ValueError:
        return ""


def _columns(run: Run) -> list[Any]:
    return [str(run.state), int(run.state not in FINAL), plain(run.rule), plain(run.episode)]


def _record(seq: Any, *texts: Any) -> AuditRecord:
    """Whatever somebody put there: what is no number and no text cannot be what was chained."""
    return AuditRecord(seq if isinstance(seq, int) else -1, *map(str, texts))


# --- opening -----------------------------------------------------------------------------------------------


@contextmanager
def inspection(path: Path) -> Iterator[Inspection]:
    """Raises StoreUnavailable where there is no trail to be read, also while it is being read."""
    lies_still = not _log(path) and not path.with_name(path.name + "-shm").exists()
    before = path.stat()
    try:
        with closing(_open(path, lies_still=lies_still)) as db:
            _refuse_stranger(db, path)
            db.execute("BEGIN")
            yield Inspection(db, path)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the journal {path} cannot be read: {error}. Restore it from a backup.") from error
    after = path.stat()
    if lies_still and (_log(path) or (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size)):
        raise StoreUnavailable(
            f"the service began to write {path} meanwhile, so what was read counts for nothing; try again"
        )


def _log(path: Path) -> int:
    """Bytes of the write-ahead log beside it."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _open(path: Path, *, lies_still: bool) -> sqlite3.Connection:
    """Read-only; and where nobody has the file open, without the index files that SQLite would leave beside it."""
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if lies_still else ''}"
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    db.text_factory = lenient
    return db


def lenient(raw: bytes) -> str:
    """A byte that is no text must fail a hash, not the whole question; and no other bytes read as these do."""
    return raw.decode("utf-8", "surrogateescape")


def _refuse_stranger(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StoreUnavailable(f"{path} is not a journal of Remediator; name the journal.db of a state_directory")
    schema, known = int(db.execute("PRAGMA user_version").fetchone()[0]), len(migrations())
    if schema < FIRST_WITH_A_TRAIL:
        raise StoreUnavailable(f"the journal {path} is older than the audit trail; start the service on it once")
    if schema > known:
        raise StoreUnavailable(
            f"the journal {path} has schema {schema}, this version knows {known}. Use the version that wrote it."
        )
