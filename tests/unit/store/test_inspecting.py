"""A journal's file beside its audit trail: what differs is told, and the file is left as it was found."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from remediator.model.alerts import Alert, AlertStatus
from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import AuditKind, AuditNote, AuditRecord, Candidate, Delivery, Signal, SignalName, Switch
from remediator.model.runs import RunEvent, RunState, StepState
from remediator.model.verdicts import Reason
from remediator.store.account import Account
from remediator.store.auditing import digest
from remediator.store.rows import encode, run_from, run_text, sealed, step_from, step_text, unsealed
from remediator.store.sqlite import SQLiteStore
from remediator.store.sqlite.inspecting import inspection
from remediator.store.verifying import Trail
from tests.unit.store.audited import NOON, Life, SteppingClock, attacked


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A journal with a run of each fate, and the service stopped."""
    path, clock = tmp_path / "journal.db", SteppingClock()
    store = await SQLiteStore.open(path, clock)
    life = Life(store, clock)
    await store.note(AuditNote(AuditKind.RULES, {"who": "start", "rules": {}}))
    await life.whole("cured")
    await life.admitted("pending")
    await life.planned(await life.admitted("planned"))
    await life.stepped(await life.running("running"), 0)
    await life.moved(await life.admitted("refused"), RunEvent.REFUSED, Reason.RESOLVED, "over")
    failed = await life.stepped(await life.running("escalated"), 0, StepState.FAILED)
    await life.moved(failed, RunEvent.STOPPED, Reason.STEP_FAILED, "no")
    await life.thrown("arm:heal")
    await life.thrown("freeze")
    await life.thrown("freeze", on=False)
    await life.whole("forgotten")
    assert await store.forget(["forgotten"]) == 1
    await life.asked("asked")
    await store.close()
    return path


def told_of(path: Path) -> list[str]:
    """All that is wrong, of the chain and of the rows."""
    trail, told, flaws = Trail(), Account(), []
    with inspection(path) as journal:
        for page in journal.pages():
            flaws += trail.hear(page)
            flaws += [flaw for record in page for flaw in told.hear(record)]
        flaws += trail.end()
        flaws += journal.differences(told)
    return flaws


def test_a_journal_that_only_the_service_wrote_is_good(path: Path) -> None:
    """Every write and decision has its record and every record its row, whatever became of the runs."""
    assert told_of(path) == []


async def test_it_is_good_while_the_service_has_it_open(path: Path) -> None:
    """Read beside the one process that writes it, with what is still in the log; nothing is changed by the look."""
    store = await SQLiteStore.open(path, SteppingClock())
    await store.throw(Switch("freeze", True, "ada", "drill", NOON))

    assert told_of(path) == []

    await store.throw(Switch("freeze", False, "ada", "over", NOON))
    assert told_of(path) == []
    await store.close()


def test_a_look_leaves_no_file_and_changes_none(path: Path) -> None:
    """With the service stopped: no log, no index file, not a byte of the journal."""
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    told_of(path)

    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


async def test_a_start_of_the_service_meanwhile_spoils_a_look_at_a_file_that_lay_still(path: Path) -> None:
    """What was read of a file that somebody began to write counts for nothing."""
    async with AsyncExitStack() as stack:
        stack.enter_context(pytest.raises(StoreUnavailable, match="began to write"))
        journal = stack.enter_context(inspection(path))
        assert list(journal.pages())
        store = await SQLiteStore.open(path, SteppingClock())
        await store.throw(Switch("freeze", True, "ada", "drill", NOON))
        await store.close()


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"SQLite format 3\0" + b"\0" * 5000])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    """In words, and never taken for an empty trail."""
    (tmp_path / "other.db").write_bytes(content)

    with pytest.raises(StoreUnavailable, match=r"other\.db"):
        told_of(tmp_path / "other.db")


@pytest.mark.parametrize(
    ("schema", "words"), [(1, "older than the audit trail"), (99, "Use the version that wrote it")]
)
def test_a_journal_of_another_schema_is_refused(path: Path, schema: int, words: str) -> None:
    """One without a trail, and one that a newer version wrote."""
    with attacked(path) as db:
        db.execute("COMMIT")
        db.execute(f"PRAGMA user_version = {schema}")

    with pytest.raises(StoreUnavailable, match=words):
        told_of(path)


# --- rows changed behind the service's back ----------------------------------------------------------------

Change = Callable[[sqlite3.Connection], object]


def body_of(db: sqlite3.Connection, table: str, where: str) -> str:
    return str(db.execute(f"SELECT body FROM {table} WHERE {where}").fetchone()[0])


def a_run(run_id: str, **changes: object) -> Change:
    """The run's own text and its columns changed, checksum and all."""

    def change(db: sqlite3.Connection) -> None:
        run = replace(run_from(body_of(db, "runs", f"id = '{run_id}'")), **changes)
        row = (run_text(run), str(run.state), int(not run.state.is_final), run_id)
        db.execute("UPDATE runs SET body = ?, state = ?, is_live = ? WHERE id = ?", row)

    return change


def a_step(run_id: str, **changes: object) -> Change:
    def change(db: sqlite3.Connection) -> None:
        step = replace(step_from(body_of(db, "steps", f"run_id = '{run_id}' AND seq = 0")), **changes)
        db.execute("UPDATE steps SET body = ? WHERE run_id = ? AND seq = 0", (step_text(step), run_id))

    return change


def a_text(table: str, where: str, **changes: object) -> Change:
    def change(db: sqlite3.Connection) -> None:
        text = sealed(unsealed(table, body_of(db, table, where)) | changes)
        db.execute(f"UPDATE {table} SET body = ? WHERE {where}", (text,))

    return change


def sql(statement: str) -> Change:
    return lambda db: db.execute(statement)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (a_run("cured", state=RunState.ESCALATED), "run cured is escalated in the journal, and record"),
        (a_run("refused", state=RunState.PENDING), "run refused is pending in the journal, and record"),
        (a_run("pending", state=RunState.RUNNING), "run pending is running in the journal, and record"),
        (a_run("cured", detail="we did nothing"), 'says detail "it is well", the journal "we did nothing"'),
        (a_run("cured", rule="other"), "has columns in the journal that its own text does not bear out"),
        (a_run("running", plan=None), "says plan"),
        (a_run("running", cursor=0), "run running has 0 steps behind it in the journal, and the trail tells of 1"),
        (a_run("running", touched=False), "run running has not written by the journal"),
        (a_run("asked", approved="0" * 64), "run asked is approved in the journal, and no record tells of that yes"),
        (sql("UPDATE runs SET is_live = 0 WHERE id = 'running'"), "columns in the journal that its own text"),
        (sql("UPDATE runs SET id = 'running-2' WHERE id = 'running'"), "run running was admitted by record"),
        (sql("DELETE FROM runs WHERE id = 'pending'"), "run pending was admitted by record"),
        (sql("DELETE FROM runs WHERE id = 'cured'"), "run cured has steps in the journal, and is not there"),
        (sql("UPDATE runs SET body = body || ' ' WHERE id = 'cured'"), "run cured of the journal cannot be read"),
        (sql("UPDATE runs SET due_at = 'soon' WHERE id = 'cured'"), "run cured of the journal cannot be read"),
        (a_step("running", state=StepState.INTENT, finished_at=None), "attempt 1 of step 0 of run running: record"),
        (a_step("running", intent={"uid": "uid-2"}), 'says intent {"uid": "uid-1", "resourceVersion": "7"}'),
        (a_step("escalated", state=StepState.DONE), 'says state "failed", the journal "done"'),
        (sql("DELETE FROM steps WHERE run_id = 'running'"), "attempt 1 of step 0 of run running is told of by record"),
        (
            sql("INSERT INTO steps SELECT run_id, seq + 1, attempt, body FROM steps WHERE run_id = 'escalated'"),
            "run escalated has steps in the journal that do not stand where their own text says",
        ),
        (
            sql("UPDATE steps SET seq = 5 WHERE run_id = 'escalated'"),
            "run escalated has steps in the journal that do not stand where their own text says",
        ),
        (
            sql("UPDATE signals SET name = 'deny' WHERE run_id = 'asked'"),
            "run asked has signals in the journal that do not stand where their own text says",
        ),
        (sql("DELETE FROM traces WHERE run_id = 'refused'"), "run refused has 0 moves in the journal, and the trail"),
        (a_text("traces", "run_id = 'refused'", detail="x"), "run refused has moves in the journal that are not those"),
        (sql("DELETE FROM signals WHERE run_id = 'cured'"), "the cancel of run cured is told by record"),
        (
            a_text("signals", "run_id = 'cured'", by="eve"),
            'the cancel of run cured: record 5 says by "ada", the journal',
        ),
        (
            a_text("signals", "run_id = 'asked'", digest="f" * 64),
            "the approve of run asked is in the journal, and in no",
        ),
        (
            sql("DELETE FROM switches WHERE name = 'arm:heal'"),
            "tells of a switch (arm:heal), and it is not in the journal",
        ),
        (sql("DELETE FROM switches WHERE id = 2"), "tells of a switch (freeze), and it is not in the journal"),
        (a_text("switches", "id = 2", on=False), "tells of a switch (freeze), and it is not in the journal"),
        (a_text("switches", "id = 2", by="eve"), "switch 2 (freeze): record"),
        (a_text("switches", "id = 1", revision="rev-9"), 'says revision "", the journal "rev-9"'),
        (a_text("switches", "id = 1", why="tested"), 'says why "drill", the journal "tested"'),
        (sql("UPDATE switches SET name = 'arm:other' WHERE id = 1"), "switch 1 stands under arm:other"),
        (
            sql("INSERT INTO switches (name, body) SELECT name, body FROM switches WHERE id = 1"),
            "switch 4 (arm:heal) is in the journal, and no record tells of it",
        ),
        (sql("DELETE FROM starts WHERE run_id = 'cured'"), "was allowed to start by record"),
        (sql("DELETE FROM starts WHERE run_id = 'cured' AND scope = 'global'"), "and 3 of its 4 starts are counted"),
        (sql("UPDATE starts SET run_id = 'pending' WHERE run_id = 'cured'"), "a start of run pending is counted"),
        (sql("DELETE FROM starts WHERE run_id = 'forgotten'"), "run forgotten was allowed to start by record"),
        (sql("DELETE FROM target_locks"), "is free in the journal, and record"),
        (sql("UPDATE target_locks SET run_id = 'pending'"), "is held by run pending in the journal, and record"),
        (sql("DELETE FROM past_cases"), "run forgotten was forgotten by record"),
        (sql("UPDATE past_cases SET run_id = 'x'"), "run x is past in the journal, and no record forgot it"),
        (
            sql("UPDATE deliveries SET body = x'7b7d' WHERE id = 2"),
            "delivery 2 of the journal has a body that no",
        ),
        (
            sql("UPDATE deliveries SET is_packed = 1 WHERE id = 2"),
            "delivery 2 of the journal has a body that no",
        ),
    ],
)
def test_a_row_changed_behind_the_services_back_is_told(path: Path, change: Change, told: str) -> None:
    """The chain is whole, every checksum is right, and the row is named beside the record it differs from."""
    with attacked(path) as db:
        change(db)

    found = told_of(path)

    assert [flaw for flaw in found if told in flaw], found


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (
            "move",
            {"run": "nobody", "before": "", "event": "", "after": "", "reason": "", "detail": ""},
            "no record before",
        ),
        ("move", {"run": "forgotten"}, "forgot"),
        ("move", {"run": "running"}, "does not say what a record of its kind says"),
        ("start", {"run": "cured", "verdict": "allow", "target": "x"}, "a second time"),
        ("intent", {"run": "cured", "seq": 0, "attempt": 1}, "tells of the attempt that record"),
        ("outcome", {"run": "cured", "seq": 0, "attempt": 1}, "tells again what became of an attempt"),
        ("outcome", {"run": "cured", "seq": 7, "attempt": 1}, "no record before it tells of"),
        ("signal", {"run": "cured", "name": "cancel", "plan": ""}, "tells again what record"),
        ("delivery", {"sha256": "", "admitted": ["cured"]}, "admits run cured a second time"),
        ("forgotten", {"what": "runs", "ids": ["nobody"]}, "not there to be forgotten"),
        ("forgotten", {"what": "runs", "ids": ["running"]}, "had not ended"),
        ("guess", {}, "which this version does not know"),
    ],
)
async def test_a_record_that_cannot_be_true_is_named(
    path: Path, kind: str, body: dict[str, object], words: str
) -> None:
    """Somebody who can write the file and knows how a chain is made adds one at its end: the chain is perfect."""
    with attacked(path) as db:
        last = AuditRecord(*db.execute("SELECT * FROM audit ORDER BY seq DESC LIMIT 1").fetchone())
        text = encode(body)
        row = (last.seq + 1, last.at, kind, text, digest(last.hash, last.seq + 1, last.at, kind, text))
        db.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?)", row)

    found = told_of(path)

    assert [flaw for flaw in found if f"record {last.seq + 1}" in flaw and words in flaw], found


async def test_starts_that_no_limit_remembers_are_not_missed(tmp_path: Path) -> None:
    """After a year the journal forgets them, and the trail does not call that a flaw."""
    path, clock = tmp_path / "journal.db", SteppingClock()
    store = await SQLiteStore.open(path, clock)
    life = Life(store, clock)
    await life.whole("old")
    clock.time += timedelta(days=400)
    await life.whole("new")
    await store.forget(["old"])
    await store.close()

    with attacked(path) as db:
        assert db.execute("SELECT count(*) FROM starts WHERE run_id = 'old'").fetchone() == (0,)
    assert told_of(path) == []


async def test_what_an_older_version_did_not_record_is_not_asked_of_its_row(tmp_path: Path) -> None:
    """A record without a part that this version writes is compared by the parts it has."""
    path, clock = tmp_path / "journal.db", SteppingClock()
    store = await SQLiteStore.open(path, clock)
    await store.note(AuditNote(AuditKind.SWITCH, {"name": "freeze", "on": True, "by": "ada"}))
    await store.close()
    with attacked(path) as db:
        text = sealed({"name": "freeze", "on": True, "by": "ada", "why": "drill", "at": NOON.isoformat()})
        db.execute("INSERT INTO switches (name, body) VALUES ('freeze', ?)", (text,))

    assert told_of(path) == []


async def test_a_storm_is_compared_by_the_hash_of_its_body(tmp_path: Path) -> None:
    """A body that is kept packed is the one that came."""
    path, clock = tmp_path / "journal.db", SteppingClock()
    store = await SQLiteStore.open(path, clock)
    firing = Alert(AlertStatus.FIRING, {"alertname": "Down"}, {}, "2026-11-20T11:00:00Z", "")
    body = json.dumps(["x" * 100] * 1000).encode()
    for number in range(2):
        await store.file(Delivery(NOON, body, "am", (Candidate(f"run-{number}", "heal", "r", firing),)))
    await store.close()

    assert told_of(path) == []


async def test_an_answer_that_was_given_is_found_with_its_run(tmp_path: Path) -> None:
    """A yes is a record, a signal and the run's own text, and all three agree."""
    path, clock = tmp_path / "journal.db", SteppingClock()
    store = await SQLiteStore.open(path, clock)
    life = Life(store, clock)
    run = await life.asked("asked")
    assert run.plan is not None
    await store.signal(Signal(run.id, SignalName.APPROVE, run.plan.digest, "bob", "too late", NOON))
    await store.save(replace(run, approved=run.plan.digest))
    await store.close()

    assert told_of(path) == []
