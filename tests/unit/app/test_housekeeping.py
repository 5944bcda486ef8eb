"""What is old enough is forgotten, and what cannot be is told and kept."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from remediator import logs
from remediator.app.housekeeping import archive_of, tidy
from remediator.model.alerts import Alert, AlertStatus
from remediator.model.ledger import Candidate, Delivery, RunFilter
from remediator.model.runs import RunState
from remediator.settings import Settings, Webhook, WebhookAuth
from remediator.store.memory import Ledger, MemoryStore
from tests.fakes.fake_clock import FakeClock

DAYS = 86400.0


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    yield stream
    structlog.reset_defaults()


def settings_of(folder: Path) -> Settings:
    webhook = Webhook(auth=WebhookAuth(bearer_files=(folder / "token",)))
    return Settings(rules=(folder,), state_directory=folder, webhook=webhook)


async def ended(store: MemoryStore, clock: FakeClock, name: str) -> None:
    alert = Alert(AlertStatus.FIRING, {"alertname": name}, {}, "2026-11-20T11:00:00Z", "")
    await store.file(Delivery(clock.now(), b"{}", "am", (Candidate(name, "heal", "rev-1", alert),)))
    run = await store.get(name)
    assert run is not None
    await store.save(replace(run, state=RunState.REFUSED, finished_at=clock.now()))


async def test_deliveries_and_runs_go_when_their_days_are_over(tmp_path: Path, log: io.StringIO) -> None:
    """A week for what was received, ninety days for what became of it, and the log says how many runs went."""
    clock, ledger = FakeClock(), Ledger()
    store, settings = MemoryStore(clock, ledger), settings_of(tmp_path)
    await ended(store, clock, "old")
    clock.advance(30 * DAYS)
    await ended(store, clock, "young")
    seen = []
    for days in (8, 55):
        clock.advance(days * DAYS)
        await tidy(settings, store, archive_of(settings), clock)
        seen.append((len(ledger.deliveries), {run.id for run in await store.list(RunFilter())}))

    assert seen == [(0, {"old", "young"}), (0, {"young"})]
    (line,) = (tmp_path / "archive" / "runs-2026-11.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == "old"
    told = [json.loads(said) for said in log.getvalue().splitlines()]
    assert [(said["event"], said["count"]) for said in told] == [("runs archived", 1)]


async def test_an_archive_that_cannot_be_written_keeps_the_runs_and_not_the_deliveries(
    tmp_path: Path, log: io.StringIO
) -> None:
    """One failing does not hold up the other, and the log says which."""
    clock, ledger = FakeClock(), Ledger()
    store = MemoryStore(clock, ledger)
    await ended(store, clock, "old")
    clock.advance(timedelta(days=100).total_seconds())
    (tmp_path / "archive").write_text("in the way")

    await tidy(settings_of(tmp_path), store, archive_of(settings_of(tmp_path)), clock)

    assert (len(ledger.deliveries), {run.id for run in await store.list(RunFilter())}) == (0, {"old"})
    assert "runs that ended long ago could not be archived" in log.getvalue()
