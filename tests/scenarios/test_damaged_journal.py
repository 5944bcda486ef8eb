"""
A journal that must not be built upon, at the running service's own door: nothing is done, and history is shown.

The cluster behind it is broken and the rule is armed, so whoever acted on such a journal would find something to do.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from click.testing import CliRunner

from remediator.cli import cli
from remediator.demo import OPERATOR, SENDER, notification
from remediator.model.errors import StoreUnavailable
from remediator.practice.faults import Fault
from remediator.settings import Freeze, Witness
from remediator.terminal.operator import OperatorError
from tests.fakes.plant import BROKEN, RULE, WHO, Plant, planted

PAGE = 4096


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    """One life is over: the rule is armed, and a run was frozen before it wrote anything."""
    async with planted(tmp_path) as plant:
        plant.settings = plant.settings.model_copy(update={"freeze": Freeze()})
        async with plant.service():
            await plant.operator.post("/api/v1/freeze", WHO)
            await plant.operator.post(f"/api/v1/rules/{RULE}/arm", WHO)
            await plant.alert()
            run = await plant.until(lambda run: str(run.reason) == "frozen")
            await plant.operator.post(f"/api/v1/runs/{run.id}/cancel", WHO)
            await plant.until(lambda run: run.state.is_final)
            keep_aside(plant)
            await plant.operator.post("/api/v1/unfreeze", WHO)
        assert plant.writes == 0
        yield plant


def journal(plant: Plant) -> Path:
    return plant.settings.state_directory / "journal.db"


def keep_aside(plant: Plant) -> None:
    """A backup, as somebody makes one who copies the files."""
    (plant.folder / "backup").mkdir()
    for path in journal(plant).parent.iterdir():
        if path.is_file():
            shutil.copyfile(path, plant.folder / "backup" / path.name)


def restore(plant: Plant, *names: str) -> None:
    for name in names:
        shutil.copyfile(plant.folder / "backup" / name, journal(plant).with_name(name))


async def send_alert(plant: Plant) -> tuple[int, str]:
    url = f"http://127.0.0.1:{plant.running.webhook_port}/webhook/alertmanager"
    headers = {"Authorization": f"Bearer {(plant.folder / SENDER).read_text()}"}
    async with (
        ClientSession(headers=headers) as session,
        session.post(url, json=notification(BROKEN, plant.clock)) as answer,
    ):
        return answer.status, (await answer.json()).get("error", "")


async def readiness(plant: Plant) -> tuple[int, str]:
    url = f"http://127.0.0.1:{plant.running.operations_port}/readyz"
    async with ClientSession() as session, session.get(url) as answer:
        return answer.status, (await answer.json())["reason"]


async def check_nothing_is_done(plant: Plant, why: str) -> Any:
    """Every door says so, and nothing is written however long it is waited for. Answers what the list of runs says."""
    status, reason = await readiness(plant)
    assert (status, why in reason) == (503, True), reason
    assert await plant.metric("remediator_history_only") == 1.0
    assert await send_alert(plant) == (
        503,
        "the journal cannot be trusted: no alert is taken until an operator has looked",
    )
    for path in ("freeze", "unfreeze", f"rules/{RULE}/arm", f"rules/{RULE}/disarm"):
        with pytest.raises(OperatorError, match="503") as refusal:
            await plant.operator.post(f"/api/v1/{path}", WHO)
        assert why in str(refusal.value)
    await plant.clock.sleep(30)
    assert plant.writes == 0
    assert not plant.running.ended.is_set()
    said = await plant.operator.get("/api/v1/runs")
    assert why in said["history_only"]["why"]
    return said


# --- at the start ------------------------------------------------------------------------------------------


def lose_a_page(plant: Plant) -> None:
    """The beginning of an index."""
    with closing(sqlite3.connect(journal(plant))) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'runs_by_age'").fetchone()
    with journal(plant).open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(random.Random(1).randbytes(PAGE))


def lose_all_pages(plant: Plant) -> None:
    """But the first, under a service that has the file open, and some of its pages in its log or in memory."""
    with journal(plant).open("r+b") as file:
        file.seek(PAGE)
        file.write(random.Random(1).randbytes(journal(plant).stat().st_size - PAGE))


def cut_off(plant: Plant) -> None:
    with journal(plant).open("r+b") as file:
        file.truncate(journal(plant).stat().st_size // 2)


def empty(plant: Plant) -> None:
    journal(plant).write_bytes(b"")


def take_away(plant: Plant) -> None:
    journal(plant).unlink()


def restore_the_journal(plant: Plant) -> None:
    restore(plant, "journal.db", "journal.db-wal")


def spoil_the_witness(plant: Plant) -> None:
    journal(plant).with_name("journal.witness").write_bytes(b"{}")


@pytest.mark.parametrize(
    ("hurt", "why", "shown"),
    [
        (lose_a_page, "is damaged", 1),
        (cut_off, "is damaged", None),
        (empty, "it is empty; it was cut off", 0),
        (take_away, "it is not there, and its witness knows it", 0),
        (restore_the_journal, "and its witness has seen record", 1),
        (spoil_the_witness, "the witness", 1),
    ],
)
async def test_a_service_on_such_a_journal_shows_history_and_does_nothing(
    plant: Plant, hurt: Callable[[Plant], None], why: str, shown: int | None
) -> None:
    """503 to every alert and change, not ready, loud; what can be read is listed, and no file is touched."""
    hurt(plant)
    before = files(plant)
    async with plant.service():
        said = await check_nothing_is_done(plant, why)
        assert shown is None or len(said["runs"]) == shown
        for run in said["runs"]:
            whole = await plant.operator.get(f"/api/v1/runs/{run['id']}")
            assert (whole["state"], whole["rule"], whole["history_only"]["why"]) == ("cancelled", RULE, whole_why(said))

    assert files(plant) == before


def whole_why(said: Any) -> str:
    return str(said["history_only"]["why"])


def files(plant: Plant) -> dict[str, bytes]:
    """Of the journal, its log and its witness; an empty log is none."""
    names = ("journal.db", "journal.db-wal", "journal.witness")
    found = {name: journal(plant).with_name(name) for name in names}
    return {name: path.read_bytes() for name, path in found.items() if path.exists() and path.stat().st_size}


async def test_the_command_line_says_it_before_what_it_prints(plant: Plant) -> None:
    """On standard error, so that whoever reads only the rows still reads rows."""
    lose_a_page(plant)
    async with plant.service():
        url = f"http://127.0.0.1:{plant.running.webhook_port}"
        asked = ("runs", "list", "-o", "json", "--url", url, "--token-file", str(plant.folder / OPERATOR))
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "remediator", *asked, stdout=PIPE, stderr=PIPE
        )
        rows, words = await command.communicate()

    assert [run["state"] for run in json.loads(rows)] == ["cancelled"]
    assert words.decode().startswith("history only, 0 rows cannot be read: the journal ")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"something else entirely, and long enough" * 200, "is not a journal of Remediator"), (None, "has schema 99")],
)
async def test_what_is_not_ours_or_too_new_stops_the_start(plant: Plant, content: bytes | None, words: str) -> None:
    """There is no history of ours to show, or none that this version can read."""
    if content is None:
        content = bytearray(journal(plant).read_bytes())
        content[60:64] = (99).to_bytes(4, "big")
    journal(plant).write_bytes(content)

    with pytest.raises(StoreUnavailable, match=words):
        async with plant.service():
            pass
    assert journal(plant).read_bytes() == content


async def test_the_log_says_it_at_the_start_and_each_minute(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """An error with the remedy."""
    empty(plant)
    async with plant.service():
        await plant.clock.sleep(130)

    told = [line for line in capsys.readouterr().out.splitlines() if "nothing new is taken" in line]
    assert len(told) >= 3
    assert all("remediator journal accept" in line for line in told)


# --- while it runs -----------------------------------------------------------------------------------------


async def shows_history(plant: Plant) -> bool:
    """Not at the first moment: until what can be read has been gathered, a question is answered 503."""
    try:
        return bool((await plant.operator.get("/api/v1/runs")).get("history_only"))
    except OperatorError:
        return False


async def test_damage_under_a_running_service_ends_its_work_and_not_the_service(plant: Plant) -> None:
    """It is met by the regular check; from then on it is as if the service had started on such a journal."""
    async with plant.service():
        assert await readiness(plant) == (200, "")
        lose_all_pages(plant)
        await asyncio.gather(plant.running.store.check(), return_exceptions=True)
        async with asyncio.timeout(30):
            while not await shows_history(plant):
                await asyncio.sleep(0.02)
        said = await check_nothing_is_done(plant, "is damaged")
        assert said["history_only"]["unreadable"] > 0
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "watch on the journal"]
        assert not task.done()
        assert not [task for task in asyncio.all_tasks() if task.get_name() in ("worker", "housekeeping")]


async def test_damage_in_the_middle_of_a_cure_leaves_it_where_it_is(plant: Plant) -> None:
    """After the first write the journal is hurt: what it met in time is sent, and then no more."""

    def hurt() -> None:
        lose_all_pages(plant)
        plant.soon(check())

    async def check() -> None:
        await asyncio.gather(plant.running.store.check(), return_exceptions=True)

    async with plant.service():
        plant.after_write.append(hurt)
        await plant.alert()
        async with asyncio.timeout(60):
            while await plant.metric("remediator_history_only") == 0.0:
                await asyncio.sleep(0.02)
        await asyncio.gather(*plant.tasks)
        sent = plant.writes
        await plant.clock.sleep(60)
        assert plant.writes == sent < 3
        assert (await readiness(plant))[0] == 503
        assert (await plant.operator.get("/api/v1/runs"))["history_only"]["unreadable"] > 0


class NoRoom:
    """A reserve that was spent and finds nothing to be laid by again."""

    is_spent = True

    def spend(self) -> None:
        pass

    def lay_by(self) -> bool:
        return False


async def test_a_full_disk_is_told_and_passes(plant: Plant) -> None:
    """Not ready and counted while nothing new can begin; ready again as soon as there is room."""
    async with plant.service():
        groups = plant.running.store.custody.groups
        reserve, groups.reserve = groups.reserve, NoRoom()
        status, reason = await readiness(plant)
        assert (status, "the disk of the journal is full" in reason) == (503, True)
        assert await plant.metric("remediator_store_disk_full") == 1.0
        groups.reserve = reserve
        assert await readiness(plant) == (200, "")
        assert await plant.metric("remediator_store_disk_full") == 0.0


# --- accepted by hand --------------------------------------------------------------------------------------


async def accept(plant: Plant, *more: str) -> tuple[int, str]:
    command = ["journal", "accept", "--config", str(plant.folder / "remediator.yaml"), "--by", "ada", *more]
    done = await asyncio.to_thread(CliRunner().invoke, cli, command)
    return done.exit_code, f"{done.output}{done.exception or ''}"


@pytest.mark.parametrize("hurt", [restore_the_journal, take_away, spoil_the_witness])
async def test_an_accepted_journal_is_acted_upon_again(plant: Plant, hurt: Callable[[Plant], None]) -> None:
    """Once an operator answers for it, with a record of who and why; until then no start changes anything."""
    hurt(plant)
    for _ in range(2):
        async with plant.service():
            assert (await readiness(plant))[0] == 503

    code, said = await accept(plant, "--why", "the volume was lost")

    assert (code, "is accepted at record" in said) == (0, True), said
    async with plant.service():
        assert await readiness(plant) == (200, "")
        assert (await send_alert(plant))[0] == 202
        trail = await plant.operator.get("/api/v1/audit")
        (accepted,) = [record for record in trail["records"] if record["kind"] == "accepted"]
        body = json.loads(accepted["body"]) if isinstance(accepted["body"], str) else accepted["body"]
        assert (body["by"], body["why"]) == ("ada", "the volume was lost")


async def test_a_journal_is_not_accepted_under_a_running_service_or_damaged(plant: Plant) -> None:
    """The first has it, and the second nobody can answer for."""
    async with plant.service():
        code, said = await accept(plant, "--why", "impatience")
        assert (code, "another process has the journal" in said) == (1, True)
    empty(plant)

    code, said = await accept(plant, "--why", "impatience")

    assert (code, "it is empty; it was cut off" in said) == (1, True)


# --- the witness in the cluster ----------------------------------------------------------------------------


async def test_a_volume_that_was_restored_whole_is_known_by_its_config_map(plant: Plant) -> None:
    """The witness beside the journal went back with it; the one in the cluster did not."""
    plant.settings = plant.settings.model_copy(update={"witness": Witness(config_map="milvus/witness")})
    async with plant.service():
        assert await readiness(plant) == (200, "")
    restore(plant, "journal.db", "journal.db-wal", "journal.witness")

    async with plant.service():
        await plant.clock.sleep(1)
        said = await plant.operator.get("/api/v1/runs")
        assert "(configmap milvus/witness)" in said["history_only"]["why"]
        status, reason = await readiness(plant)
        assert (status, "and its witness has seen record" in reason) == (503, True)
        assert (await send_alert(plant))[0] == 503


async def test_a_config_map_that_may_not_be_read_is_complained_of_and_stops_nothing(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a second witness; the first is beside the journal."""
    plant.settings = plant.settings.model_copy(update={"witness": Witness(config_map="milvus/witness")})
    plant.cluster.server.faults.append(Fault(lambda seen: seen.resource == "configmaps", 403, times=1000))
    async with plant.service():
        assert await readiness(plant) == (200, "")
        assert (await send_alert(plant))[0] == 202

    assert "configmap milvus/witness could not be asked whether the journal is an old copy" in capsys.readouterr().out
