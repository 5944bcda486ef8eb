"""`remediator audit verify`: what it finds, says and leaves with, for a file and for a running service."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from remediator.credentials import Credentials
from remediator.model.ledger import HEAD_TOLD, AuditRecord, Head, journal_of
from remediator.store.sqlite import SQLiteStore
from remediator.web.api import Api
from remediator.web.public import public_application
from tests import ports
from tests.unit.store.audited import Life, SteppingClock, attacked

TOKEN = "an-operator-token-of-more-than-32-bytes"


@dataclass
class Kept:
    """A journal with a life behind it, the service stopped."""

    path: Path
    records: list[AuditRecord]

    @property
    def options(self) -> list[str]:
        return ["--journal", str(self.path)]

    def head(self, seq: int) -> Head:
        return Head(seq, self.records[seq - 1].hash, journal_of(self.records[0]))

    def log(self, *seqs: int) -> str:
        """As a service's log has it, between other lines."""
        told = [{**vars(self.head(seq)), "event": HEAD_TOLD, "level": "info"} for seq in seqs]
        return "\n".join(["not JSON", *map(json.dumps, told), '{"event": "ready"}', ""])


async def lived(path: Path) -> list[AuditRecord]:
    clock = SteppingClock()
    store = await SQLiteStore.open(path, clock)
    life = Life(store, clock)
    await life.whole("run-1")
    await life.thrown("freeze")
    records = list(await store.audit(0, 100))
    await store.close()
    return records


@pytest.fixture
async def kept(tmp_path: Path) -> Kept:
    path = tmp_path / "journal.db"
    return Kept(path, await lived(path))


# --- a file ------------------------------------------------------------------------------------------------


async def test_a_good_journal_is_good(shell: Any, kept: Kept) -> None:
    """What was read, its head in full to be written down, and what it was compared with; exit 0."""
    last = kept.records[-1]
    code, out, err = await shell.beside("audit", "verify", *kept.options)

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "good: 11 records",
        f"head: 11:{last.hash} of {last.at[:19]}",
        "no head told elsewhere is in it: give --heads or --head, for a trail that was cut off or written anew",
        "compared: 1 runs, 3 moves, 2 attempts, 1 signals, 1 switches, 1 starts, 1 deliveries",
    ]


async def test_a_programs_answer_has_all_of_it(shell: Any, kept: Kept) -> None:
    """The same as JSON and as YAML."""
    told = ["--head", f"3:{kept.records[2].hash}"]
    code, as_json, _ = await shell.beside("audit", "verify", *kept.options, *told, "-o", "json")
    _, as_yaml, _ = await shell.beside("audit", "verify", *kept.options, *told, "-o", "yaml")

    compared = {"runs": 1, "attempts": 2, "moves": 3, "signals": 1, "switches": 1, "starts": 1, "deliveries": 1}
    assert (code, yaml.safe_load(as_yaml)) == (0, json.loads(as_json))
    assert json.loads(as_json) == {
        "good": True,
        "journal": kept.head(1).journal,
        "records": 11,
        "head": {"seq": 11, "hash": kept.records[-1].hash},
        "heads_met": 1,
        "compared": compared,
        "flaws": [],
    }


async def test_each_flaw_is_a_line_that_names_the_record(shell: Any, kept: Kept) -> None:
    """And exit 1; in a program's answer they are a list."""
    with attacked(kept.path) as db:
        db.execute("UPDATE audit SET body = replace(body, 'ada', 'eve') WHERE kind = 'switch'")
        db.execute("DELETE FROM audit WHERE seq = 2")

    code, out, err = await shell.beside("audit", "verify", *kept.options)
    _, as_json, _ = await shell.beside("audit", "verify", *kept.options, "-o", "json")

    *flaws, summary, _, _, _ = out.splitlines()
    assert (code, err, summary) == (1, "", f"{len(flaws)} flaws: 10 records")
    assert flaws[0] == "after record 1 comes record 3: 1 are missing between them"
    assert [flaw for flaw in flaws if flaw.startswith("record 11 (switch of ")]
    assert 'switch 1 (freeze): record 11 says by "eve", the journal "ada"' in flaws
    assert (json.loads(as_json)["good"], json.loads(as_json)["flaws"]) == (False, flaws)


async def test_a_cut_end_is_found_by_a_head_of_the_log_or_of_the_command_line(shell: Any, kept: Kept) -> None:
    """A switch and its record taken away together leave a perfect journal; the log knows better."""
    with attacked(kept.path) as db:
        db.execute("DELETE FROM audit WHERE seq = 11")
        db.execute("DELETE FROM switches")
    (kept.path.parent / "service.log").write_text(kept.log(4, 11))
    heads = ["--heads", str(kept.path.parent / "service.log")]

    unknowing, _, _ = await shell.beside("audit", "verify", *kept.options)
    by_log, out, _ = await shell.beside("audit", "verify", *kept.options, *heads)
    by_hand, said, _ = await shell.beside("audit", "verify", *kept.options, "--head", f"11:{kept.records[10].hash}")

    assert (unknowing, by_log, by_hand) == (0, 1, 1)
    assert out.splitlines()[0] == said.splitlines()[0]
    assert out.startswith("record 11 was told as head, and the trail ends at record 10: 1 are cut off\n1 flaws: ")
    assert "\n1 heads told elsewhere are in it\n" in out


async def test_the_log_of_another_journal_is_told(shell: Any, kept: Kept, tmp_path: Path) -> None:
    """It may be another's log, or this trail may have been written anew: not good until a person knows."""
    other = Kept(tmp_path / "other.db", await lived(tmp_path / "other.db"))
    with attacked(other.path) as db:
        db.execute("DELETE FROM audit")
    other.records[:] = [AuditRecord(1, "2026", "rules", "{}", "f" * 64)]
    (tmp_path / "service.log").write_text(other.log(1))

    code, out, _ = await shell.beside("audit", "verify", *kept.options, "--heads", str(tmp_path / "service.log"))

    assert code == 1
    assert out.startswith(f"record 1 and 0 more were told as heads of journal {'f' * 16}, and this trail is ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Missing option '--journal' or '--token-file': which trail?"),
        (["--journal", "nowhere.db"], "nowhere.db"),
        (["--head", "7"], "'7' is not SEQ:HASH with 64 hexadecimal digits"),
        (["--heads", "nowhere.log"], "nowhere.log"),
    ],
)
async def test_wrong_use_leaves_with_2(shell: Any, kept: Kept, options: list[str], words: str) -> None:
    """Nothing is verified, and it says what to do."""
    journal = [] if not options or options[0] == "--journal" else kept.options

    code, out, err = await shell.beside("audit", "verify", *journal, *options)

    assert (code, out, words in err) == (2, "", True)


async def test_a_log_without_heads_is_wrong_use(shell: Any, kept: Kept, tmp_path: Path) -> None:
    """Whoever gives a log wants it asked; a wrong one must not pass."""
    (tmp_path / "service.log").write_text('{"event": "ready"}\n')

    code, out, err = await shell.beside("audit", "verify", *kept.options, "--heads", str(tmp_path / "service.log"))

    assert (code, out) == (2, "")
    assert "no head was told there; give a log of the service" in err


async def test_a_file_that_is_no_journal_is_never_good(shell: Any, tmp_path: Path) -> None:
    """Exit 1 with a sentence."""
    (tmp_path / "other.db").write_text("something")

    code, out, err = await shell.beside("audit", "verify", "--journal", str(tmp_path / "other.db"))

    assert (code, out, "Traceback" in err) == (1, "", False)
    assert err.startswith(f"StoreUnavailable: the journal {tmp_path / 'other.db'} cannot be read")


async def test_what_somebody_wrote_into_the_journal_does_not_write_on_the_terminal(shell: Any, kept: Kept) -> None:
    """A flaw quotes it without a control character, and bytes that are no text end nothing."""
    with attacked(kept.path) as db:
        db.execute("UPDATE audit SET kind = char(27) || '[2J' || char(10) || 'good: ' WHERE seq = 5")
        db.execute("UPDATE audit SET at = cast(x'1b5b324aff' AS TEXT) WHERE seq = 11")

    code, out, _ = await shell.beside("audit", "verify", *kept.options)

    assert code == 1
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if line.startswith("good")] == []


# --- a running service -------------------------------------------------------------------------------------


class NoBrakes:
    async def look_at_each(self) -> list[Any]:
        return []


@dataclass
class Served:
    store: SQLiteStore
    options: list[str]


@pytest.fixture
async def served(kept: Kept, tmp_path: Path) -> AsyncIterator[Served]:
    """The web's own API over that journal, on a port of its own."""
    (tmp_path / "token").write_text(TOKEN)
    clock, numbers = SteppingClock(), itertools.count()
    store = await SQLiteStore.open(kept.path, clock)
    credentials = Credentials.from_files([tmp_path / "token"])
    api = Api(credentials, store, NoBrakes(), list, clock, lambda word: f"{word}-{next(numbers)}", lambda _: None)
    runner = web.AppRunner(public_application(api.routes(), lambda word: word))
    await runner.setup()
    port = ports.free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield Served(store, ["--url", f"http://127.0.0.1:{port}", "--token-file", str(tmp_path / "token")])
    await runner.cleanup()
    await store.close()


async def test_a_running_service_is_asked_page_by_page(shell: Any, served: Served) -> None:
    """To the end of its trail, however long; rows are compared only from the file."""
    life = Life(served.store, SteppingClock())
    for n in range(2, 130):
        await life.whole(f"run-{n}")
    head = await served.store.audit_head()
    assert head is not None

    code, out, err = await shell.beside("audit", "verify", *served.options, "--head", f"{head.seq}:{head.hash}")

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "good: 1291 records",
        f"head: 1291:{head.hash} of {head.at[:19]}",
        "1 heads told elsewhere are in it",
    ]


async def test_a_running_services_trail_that_was_changed_is_found(shell: Any, kept: Kept, served: Served) -> None:
    """Also by what its records say of each other."""
    with attacked(kept.path) as db:
        db.execute("UPDATE audit SET body = replace(body, 'run-1', 'run-2') WHERE kind = 'intent'")

    code, out, _ = await shell.beside("audit", "verify", *served.options, "-o", "json")

    flaws = json.loads(out)["flaws"]
    assert code == 1
    assert [flaw for flaw in flaws if "is not what was chained after record" in flaw]
    assert [flaw for flaw in flaws if "(intent) tells of run run-2, which no record before admitted" in flaw]


async def test_a_service_that_says_no_is_not_good(shell: Any, served: Served, tmp_path: Path) -> None:
    """The wrong token is told, and the exit is 1."""
    (tmp_path / "wrong").write_text("another-token-of-more-than-32-bytes-entirely")

    code, out, err = await shell.beside("audit", "verify", *served.options[:2], "--token-file", str(tmp_path / "wrong"))

    assert (code, out, ": 401: " in err) == (1, "", True)


@pytest.mark.parametrize("answer", [{}, {"records": [{}]}, {"records": [{"seq": "x"}]}, {"records": 7}, []])
async def test_what_answers_otherwise_is_not_good(shell: Any, tmp_path: Path, answer: Any) -> None:
    """Something else listens there."""
    (tmp_path / "token").write_text(TOKEN)

    async def handle(_: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/api/v1/audit", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    port = ports.free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    options = ["--url", f"http://127.0.0.1:{port}", "--token-file", str(tmp_path / "token")]

    code, out, err = await shell.beside("audit", "verify", *options)

    await runner.cleanup()
    assert (code, out, "does not answer as Remediator does" in err) == (1, "", True)
