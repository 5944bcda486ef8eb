"""A journal and who remembers it: an old copy is told from the journal that was here last, whatever is whole in it."""

# ruff: noqa: ASYNC240  what is on disk is looked at here between two calls, when nothing else runs

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from remediator.model.alerts import Alert, AlertStatus
from remediator.model.errors import StoreDamaged, StoreUnavailable
from remediator.model.ledger import Candidate, Delivery, Switch
from remediator.model.plans import Effect
from remediator.model.runs import Run, StepRecord, StepState
from remediator.model.seams import Witness
from remediator.model.witness import Mark
from remediator.store.sqlite import SQLiteStore
from remediator.store.sqlite.soundness import migrations, script_of
from remediator.store.witness_file import FileWitness
from tests.fakes.fake_witness import FakeWitness
from tests.unit.store.hurt import NOON, StandingClock

FREEZE = Switch("freeze", True, "ada", "now", NOON)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


async def opened(path: Path, witness: Witness | None) -> SQLiteStore:
    return await SQLiteStore.open(path, StandingClock(), witness=witness)


async def filed(store: SQLiteStore, count: int) -> list[Run]:
    """So many runs, claimed."""
    for number in range(count):
        alert = Alert(AlertStatus.FIRING, {"n": str(number)}, {}, "2025-03-01T11:00:00Z", "")
        await store.file(Delivery(NOON, b"{}", "test", (Candidate(f"run-{number}", "heal", "rev", alert),)))
    return [claimed.run for claimed in await store.claim(count)]


def step(run: Run, effect: Effect = Effect.DESTRUCTIVE) -> StepRecord:
    return StepRecord(run.id, 0, 1, "pod.delete", effect, StepState.INTENT, {}, NOON, NOON + timedelta(hours=1))


@pytest.fixture
async def witness() -> FakeWitness:
    return FakeWitness()


@pytest.fixture
async def store(path: Path, witness: FakeWitness) -> AsyncIterator[SQLiteStore]:
    made = await opened(path, witness)
    yield made
    await made.close()


# --- what is remembered, and when --------------------------------------------------------------------------


async def test_an_intent_to_write_is_witnessed_before_it_is_answered(store: SQLiteStore, witness: FakeWitness) -> None:
    """So nothing can have had an effect that the witness does not know of; a step that writes nothing needs none."""
    first, second = await filed(store, 2)
    known = witness.mark
    await store.intend(first, step(first, Effect.NONE))
    assert witness.mark == known

    await store.intend(second, step(second))

    assert witness.mark == await store.custody.mark()


async def test_a_switch_is_witnessed_before_it_is_answered(store: SQLiteStore, witness: FakeWitness) -> None:
    """An old copy that does not know of a freeze would act."""
    await store.throw(FREEZE)

    assert witness.mark == await store.custody.mark()


async def test_an_intent_that_cannot_be_witnessed_is_not_answered(store: SQLiteStore, witness: FakeWitness) -> None:
    """It is in the journal and was not sent: whoever takes the run up again asks the world, as after a crash."""
    (run,) = await filed(store, 1)
    witness.refuses = True

    with pytest.raises(StoreUnavailable, match="the witness of the test refuses"):
        await store.intend(run, step(run))
    assert [found.state for found in await store.steps(run.id)] == [StepState.INTENT]

    witness.refuses = False
    await store.custody.testify(await store.custody.mark())
    assert witness.mark == await store.custody.mark()


async def test_many_intents_at_once_share_a_writing_and_never_go_back(store: SQLiteStore, witness: FakeWitness) -> None:
    """Every one is known when it is answered, and the marks only go forward."""
    runs = await filed(store, 40)
    before = len(witness.written)

    async def intend(run: Run) -> int:
        await store.intend(run, step(run))
        assert witness.mark is not None
        return witness.mark.seq

    known = await asyncio.gather(*(intend(run) for run in runs))

    seqs = [mark.seq for mark in witness.written]
    assert seqs == sorted(seqs)
    assert len(seqs) - before < 40
    assert min(known) > 40


# --- an old copy -------------------------------------------------------------------------------------------


async def copies_of_a_life(path: Path, folder: Path) -> Sequence[Path]:
    """The journal as it was copied after each write that was sent, with its log; the last one is the newest."""
    store = await opened(path, FileWitness(path.with_name("journal.witness")))
    copies = []
    for run in await filed(store, 8):
        await store.intend(run, step(run))
        copy = folder / run.id / "journal.db"
        copy.parent.mkdir(parents=True)
        for name in ("journal.db", "journal.db-wal"):
            shutil.copyfile(path.with_name(name), copy.with_name(name))
        copies.append(copy)
    await store.close()
    return copies


async def test_every_older_copy_is_refused_and_the_newest_is_taken(path: Path, tmp_path: Path) -> None:
    """Each is whole and would open by itself; the witness has seen more, and nothing of the copy is changed."""
    *older, newest = await copies_of_a_life(path, tmp_path / "backups")
    for copy in older:
        restore(copy, path)
        before = path.read_bytes()
        with pytest.raises(
            StoreDamaged, match=r"ends at record \d+, and its witness has seen record \d+.*journal accept"
        ):
            await opened(path, FileWitness(path.with_name("journal.witness")))
        assert path.read_bytes() == before

    restore(newest, path)
    store = await opened(path, FileWitness(path.with_name("journal.witness")))
    assert not store.custody.took_on_trust
    await store.close()


def restore(copy: Path, path: Path) -> None:
    for name in ("journal.db", "journal.db-wal"):
        shutil.copyfile(copy.with_name(name), path.with_name(name))


async def test_a_copy_that_has_lived_on_by_itself_is_refused(path: Path, tmp_path: Path) -> None:
    """It is longer than what the witness has seen, but its past is another."""
    older, *_ = await copies_of_a_life(path, tmp_path / "backups")
    restore(older, path)
    unwatched = await opened(path, None)
    for number in range(30):
        await unwatched.throw(replace(FREEZE, why=f"for {number}"))
    await unwatched.close()

    with pytest.raises(StoreDamaged, match=r"its record \d+ is not the one that its witness has seen"):
        await opened(path, FileWitness(path.with_name("journal.witness")))


async def test_another_journal_is_refused(path: Path, tmp_path: Path) -> None:
    """Two journals never share an id."""
    await copies_of_a_life(path, tmp_path / "backups")
    other = tmp_path / "other" / "journal.db"
    await copies_of_a_life(other, tmp_path / "others")
    shutil.copyfile(other, path)

    with pytest.raises(StoreDamaged, match=r"it is journal [0-9a-f]{32}, and its witness knows journal [0-9a-f]{32}"):
        await opened(path, FileWitness(path.with_name("journal.witness")))


async def test_a_journal_that_is_gone_is_not_begun_anew(path: Path, tmp_path: Path) -> None:
    """Its witness remembers that there was one, with budgets, locks and switches."""
    await copies_of_a_life(path, tmp_path / "backups")
    path.unlink()

    with pytest.raises(StoreDamaged, match="it is not there, and its witness knows it"):
        await opened(path, FileWitness(path.with_name("journal.witness")))
    assert not path.exists()


async def test_a_log_that_was_lost_with_what_was_sent_is_told(path: Path, tmp_path: Path) -> None:
    """The file alone is whole, an earlier state of the same journal: only the witness knows."""
    *_, newest = await copies_of_a_life(path, tmp_path / "backups")
    shutil.copyfile(newest, path)

    with pytest.raises(StoreDamaged, match="its witness has seen record"):
        await opened(path, FileWitness(path.with_name("journal.witness")))


async def test_a_journal_from_before_there_were_witnesses_is_told(path: Path, tmp_path: Path) -> None:
    """A backup made by an older version has no id at all."""
    await copies_of_a_life(path, tmp_path / "backups")
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for number, script in enumerate(migrations()[:2], start=1):
            db.executescript(script_of(number, script))

    with pytest.raises(StoreDamaged, match="it has schema 2, from before there were witnesses"):
        await opened(path, FileWitness(path.with_name("journal.witness")))
    await (await opened(path, None)).close()


# --- what is not an old copy -------------------------------------------------------------------------------


async def test_a_journal_ahead_of_its_witness_is_its_own(path: Path) -> None:
    """Whatever was committed and not sent may be unknown to it; at the start it learns of it."""
    witness = FakeWitness()
    store = await opened(path, witness)
    await store.throw(FREEZE)
    seen = witness.mark
    await filed(store, 3)
    await store.close()
    assert witness.mark == seen

    again = await opened(path, witness)
    assert witness.mark == await again.custody.mark() != seen
    await again.close()


@pytest.mark.parametrize("was_there", [True, False])
async def test_a_journal_without_a_witness_is_taken_and_that_is_told(path: Path, was_there: bool) -> None:
    """After an upgrade there is none; of a journal that is only just made there is nothing to tell."""
    if was_there:
        await (await opened(path, None)).close()
    witness = FakeWitness()
    store = await opened(path, witness)

    assert store.custody.took_on_trust is was_there
    assert witness.mark == await store.custody.mark() == Mark(witness.mark.journal, 0, "0" * 64)
    await store.close()


async def test_a_witness_that_cannot_be_told_stops_the_start_and_lets_go(path: Path) -> None:
    """Without it nothing could be sent anyway; the next start finds the journal free."""
    witness = FakeWitness()
    witness.refuses = True
    with pytest.raises(StoreUnavailable):
        await opened(path, witness)

    await (await opened(path, FakeWitness())).close()
