"""
The whole service on a broken practice cluster, and everything it leaves behind: trail, log, archive.

Over HTTP, on a real journal. What it did is counted at the cluster; what it wrote down is read from the files.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import ClientSession

from remediator import logs
from remediator.demo import CLUSTER, OPERATOR, SENDER, notification, writes_of
from remediator.model.ledger import AuditRecord, RunFilter
from remediator.model.runs import RunState
from remediator.store.account import Account
from remediator.store.sqlite.inspecting import inspection
from remediator.store.verifying import Trail
from remediator.terminal.heads import heads_in
from tests.fakes.plant import BROKEN, RULE, WHO, Plant, planted

CANARY = "canary-7f3a"


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    async with planted(tmp_path) as plant:
        yield plant


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure("json", "debug", stream)
    yield stream
    structlog.reset_defaults()


def journal_of(plant: Plant) -> Path:
    return plant.settings.state_directory / "journal.db"


def audited(path: Path, log: io.StringIO) -> tuple[list[AuditRecord], list[str]]:
    """The trail, and all that is wrong with it against the log and the rows."""
    trail, told, records, flaws = Trail(heads_in(log.getvalue().splitlines())), Account(), [], []
    with inspection(path) as journal:
        for page in journal.pages():
            records += page
            flaws += trail.hear(page)
            flaws += [flaw for record in page for flaw in told.hear(record)]
        flaws += trail.end()
        flaws += journal.differences(told)
    assert trail.heads_met > 1
    return records, flaws


async def cured(plant: Plant) -> None:
    await plant.operator.post(f"/api/v1/rules/{RULE}/arm", WHO)
    await plant.alert()
    run = await plant.until(lambda run: run.state.is_final)
    assert run.state is RunState.SUCCEEDED


async def test_a_cure_leaves_exactly_its_records_and_a_log_that_proves_them(plant: Plant, log: io.StringIO) -> None:
    """As many intents as the cluster saw writes, an outcome for each, rules first, the head last."""
    async with plant.service():
        await cured(plant)
        assert await plant.metric("remediator_audit_head") > 0
        (rule,) = plant.settings.rules[0].iterdir()
        rule.write_text(rule.read_text() + "# not what it was\n")
        plant.running.reload()
        async with asyncio.timeout(10):
            while (await plant.running.store.audit_head()).kind != "rules":
                await asyncio.sleep(0.02)

    records, flaws = audited(journal_of(plant), log)
    bodies = [(record.kind, json.loads(record.body)) for record in records]
    intents = [body for kind, body in bodies if kind == "intent"]
    written = [body for body in intents if body["effect"] != "none" and body["verb"].startswith("kubernetes.")]
    outcomes = [body for kind, body in bodies if kind == "outcome"]

    assert flaws == []
    assert len(written) == len(writes_of(plant.cluster)) > 0
    assert [(b["seq"], b["attempt"]) for b in intents] == [(b["seq"], b["attempt"]) for b in outcomes]
    rules = [(n, body["who"], list(body["rules"])) for n, (kind, body) in enumerate(bodies) if kind == "rules"]
    assert rules == [(0, "start", [RULE]), (len(bodies) - 1, "reload", [RULE])]
    assert list(heads_in(log.getvalue().splitlines()))[-1].seq == len(records)


async def test_no_secret_and_no_text_of_a_request_gets_into_the_trail(plant: Plant, log: io.StringIO) -> None:
    """Not a token, not a header, not an annotation, not a label that locates nothing; refused or not."""
    body: dict[str, Any] = notification(BROKEN, plant.clock)
    alert = body["alerts"][0]
    alert |= {"annotations": {"summary": CANARY}, "generatorURL": f"http://{CANARY}/"}
    alert["labels"] |= {"password": CANARY, CANARY: "x"}
    body["alerts"].append({**alert, "labels": {"alertname": CANARY}})
    body |= {"receiver": CANARY, "externalURL": CANARY, "groupKey": CANARY, "commonAnnotations": {"a": CANARY}}
    headers = {"User-Agent": CANARY, "Cookie": f"session={CANARY}", "X-Forwarded-For": CANARY}
    right = {"Authorization": f"Bearer {(plant.folder / SENDER).read_text()}"}
    async with plant.service():
        await plant.operator.post(f"/api/v1/rules/{RULE}/arm", WHO)
        url = f"http://127.0.0.1:{plant.running.webhook_port}"
        answers = []
        async with ClientSession(headers=headers) as session:
            for given in (right, {"Authorization": f"Bearer {CANARY}"}):
                async with session.post(f"{url}/webhook/alertmanager", json=body, headers=given) as answer:
                    answers.append(answer.status)
            for path in (f"runs/{CANARY}", f"audit?after={CANARY}", f"rules/{CANARY}/arm"):
                async with session.get(f"{url}/api/v1/{path}", headers=right) as answer:
                    answers.append(answer.status)
        await plant.until(lambda run: run.state.is_final)

    records, flaws = audited(journal_of(plant), log)
    trail = "\n".join(f"{record.at} {record.kind} {record.body}" for record in records)
    secrets = [(plant.folder / name).read_text() for name in (OPERATOR, SENDER, CLUSTER)]

    assert (answers, flaws) == ([202, 401, 401, 401, 405], [])
    assert '"skipped":{"no_rule_matches":1}' in trail
    assert [secret for secret in (CANARY, *secrets) if secret in trail] == []
    assert [secret for secret in secrets if secret in log.getvalue()] == []


async def test_a_run_that_ended_long_ago_is_archived_and_the_trail_still_holds(plant: Plant, log: io.StringIO) -> None:
    """The next process finds it old: a line in the archive, nothing of it in the journal, and no flaw."""
    async with plant.service():
        await cured(plant)
        page = await plant.operator.get(f"/api/v1/runs/{(await plant.run()).id}")
    plant.settings = plant.settings.model_copy(update={"run_retention_days": 0.0})

    async with plant.service():
        async with asyncio.timeout(30):
            while await plant.running.store.list(RunFilter()):
                await asyncio.sleep(0.02)

    (file,) = (plant.settings.state_directory / "archive").iterdir()
    records, flaws = audited(journal_of(plant), log)
    assert ([json.loads(line) for line in file.read_text().splitlines()], flaws) == ([page], [])
    assert [record.kind for record in records].count("rules") == 1
    assert json.loads(records[-1].body) == {"what": "runs", "ids": [page["id"]]}
    assert '"event": "runs archived"' in log.getvalue()
