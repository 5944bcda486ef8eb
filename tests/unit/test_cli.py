"""The command line: what it prints, where, and the code it leaves with."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from remediator import __version__
from remediator.brakes.latching import Latch
from remediator.brakes.watching import Brakes
from remediator.credentials import Credentials
from remediator.model.alerts import Alert, AlertStatus
from remediator.model.ledger import Candidate, Delivery
from remediator.model.objects import ObjectRef
from remediator.store.memory import MemoryStore
from remediator.web.api import Api
from remediator.web.public import public_application
from tests.fakes.fake_brake import FakeBrake
from tests.fakes.fake_clock import FakeClock
from tests.fakes.run_world import RULE
from tests.unit.model.made import LABELS, make_run

TOKEN = "an-operator-token-of-more-than-32-bytes"
ROOT = Path(__file__).parent.parent.parent
GOOD = """\
name: etcd-member-removed
system: etcd
match:
  - alertname="KubePodCrashLooping"
where:
  namespaces: [milvus]
remedy:
  name: replace-removed-members
"""


# --- the program -------------------------------------------------------------------------------------------


def test_the_program_runs_as_a_module_and_leaves_with_its_code(tmp_path):
    """As a shell sees it: a finding is 1, and a good file 0."""
    (tmp_path / "bad.yaml").write_text(GOOD.replace("system: etcd", "system: nope"))
    (tmp_path / "good.yaml").write_text(GOOD)

    def run(name: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "remediator", "check", str(tmp_path / name)],
            capture_output=True, text=True, timeout=60, cwd=ROOT, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    code, said = run("bad.yaml")
    assert code == 1
    assert 'bad.yaml:2:9: unknown system "nope"' in said
    assert run("good.yaml") == (0, "")


def test_the_version_is_told(shell):
    """And the program leaves with 0."""
    code, out, _ = shell("--version")

    assert (code, __version__ in out) == (0, True)


@pytest.mark.parametrize("arguments", [["nope"], ["check"], ["runs", "nope"], ["runs", "show"], ["freeze", "--nope"]])
def test_wrong_use_leaves_with_2_and_says_how_to_be_helped(shell, arguments):
    """Never a traceback."""
    code, out, err = shell(*arguments)

    assert (code, out) == (2, "")
    assert "--help" in err or "-h" in err
    assert "Traceback" not in err


# --- check -------------------------------------------------------------------------------------------------


def test_good_rules_are_named(shell, tmp_path):
    """On standard output, with 0."""
    (tmp_path / "rule.yaml").write_text(GOOD)

    assert shell("check", str(tmp_path / "rule.yaml")) == (0, "1 rules are good: etcd-member-removed\n", "")


def test_the_shipped_rules_are_good(shell):
    """Those that everybody gets."""
    code, out, err = shell("check", str(ROOT / "rules"))

    assert (code, err) == (0, "")
    assert "etcd-member-removed" in out


def test_every_problem_is_told_at_once_with_its_place(shell, tmp_path):
    """file:line:column of each, in one go."""
    path = tmp_path / "rule.yaml"
    path.write_text(GOOD.replace("system: etcd", "system: etc").replace("[milvus]", "[Milvus]"))

    code, out, err = shell("check", str(path))

    lines = err.splitlines()
    assert (code, out) == (1, "")
    assert lines[0].startswith(f'{path}:2:9: unknown system "etc"')
    assert 'did you mean "etcd"' in lines[0]
    assert any(line.startswith(f"{path}:6:16: ") for line in lines)


@pytest.mark.parametrize("text", ["", "a: [", "\x00", "- 1\n", "name: *nowhere\n"])
def test_a_file_that_is_no_rule_is_a_finding(shell, tmp_path, text):
    """With its place, and without a traceback."""
    path = tmp_path / "rule.yaml"
    path.write_text(text)

    code, _, err = shell("check", str(path))

    assert code == 1
    assert err.startswith(f"{path}:")
    assert "Traceback" not in err


def test_a_path_that_is_not_there_is_a_finding(shell, tmp_path):
    """Nothing checked is not everything good."""
    code, out, err = shell("check", str(tmp_path / "nowhere.yaml"))

    assert (code, out) == (1, "")
    assert "nowhere.yaml" in err


def test_the_schema_is_json_and_needs_no_path(shell):
    """For an editor."""
    code, out, _ = shell("check", "--schema")

    schema = json.loads(out)
    assert code == 0
    assert schema["$schema"].startswith("https://json-schema.org/")


# --- demo --------------------------------------------------------------------------------------------------


def test_the_scenarios_are_listed_in_every_form(shell):
    """The same rows as JSON, YAML and a table."""
    _, as_json, _ = shell("demo", "--list", "-o", "json")
    _, as_yaml, _ = shell("demo", "--list", "-o", "yaml")
    code, as_table, _ = shell("demo", "--list")

    rows = json.loads(as_json)
    assert code == 0
    assert yaml.safe_load(as_yaml) == rows
    assert [set(row) for row in rows] == [{"name", "system", "what"}] * len(rows)
    assert "etcd-member-removed" in {row["name"] for row in rows}
    head, *lines = as_table.splitlines()
    assert head.split() == ["NAME", "SYSTEM", "WHAT"]
    assert [line.split()[0] for line in lines] == [row["name"] for row in rows]
    assert max(map(len, as_table.splitlines())) <= 80


def test_an_unknown_scenario_is_wrong_use_and_names_the_known_ones(shell):
    """Before anything is started."""
    code, out, err = shell("demo", "nope")

    assert (code, out) == (2, "")
    assert err.startswith("there is no scenario 'nope'; there are ")
    assert "etcd-member-removed" in err


def test_an_unknown_form_is_wrong_use(shell):
    """Table, JSON or YAML."""
    code, _, err = shell("demo", "--list", "-o", "xml")

    assert code == 2
    assert "'table', 'json', 'yaml'" in err


# --- the operator's view -----------------------------------------------------------------------------------


@dataclass
class Running:
    url: str
    token: str
    store: MemoryStore
    brake: FakeBrake

    @property
    def options(self) -> list[str]:
        return ["--url", self.url, "--token-file", self.token]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    """The web's own API over a store in memory, on a port of its own."""
    token = tmp_path / "operator.token"
    token.write_text(TOKEN + "\n")
    clock, numbers = FakeClock(), itertools.count(1)
    store = MemoryStore(clock)
    for n in (1, 2):
        alert = Alert(AlertStatus.FIRING, LABELS, {}, f"2026-11-20T11:0{n}:00Z", "")
        await store.file(Delivery(clock.now(), b"{}", "am", (Candidate(f"run-{n}", RULE.name, RULE.revision, alert),)))
        clock.advance(1)
    brake = FakeBrake("file FREEZE")
    brakes = Brakes([brake], None, Latch(store, clock), clock, _unheard)
    credentials = Credentials.from_files([token])
    api = Api(credentials, store, brakes, lambda: [RULE], clock, lambda word: f"{word}-{next(numbers)}", _unheard)
    runner = web.AppRunner(public_application(api.routes(), lambda word: word))
    await runner.setup()
    port = await _listen(runner)
    yield Running(f"http://127.0.0.1:{port}", str(token), store, brake)
    await runner.cleanup()


def _unheard(_: object) -> None:
    """Nobody listens to what the API tells of itself."""


async def _listen(runner: web.AppRunner) -> int:
    for port in range(21000, 26000):
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError:
            continue
        return port
    raise AssertionError("no free port")


async def test_runs_are_listed_newest_first_in_every_form(shell, service):
    """The same runs as a table and as data."""
    code, out, err = await shell.beside("runs", "list", *service.options)
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["ID", "STATE"],
        ["run-2", "pending"],
        ["run-1", "pending"],
    ]

    _, as_json, _ = await shell.beside("runs", "list", "-o", "json", *service.options)
    _, as_yaml, _ = await shell.beside("runs", "list", "-o", "yaml", *service.options)
    assert [run["id"] for run in json.loads(as_json)] == ["run-2", "run-1"]
    assert yaml.safe_load(as_yaml) == json.loads(as_json)


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--limit", "1"], ["run-2"]),
        (["--state", "pending"], ["run-2", "run-1"]),
        (["--state", "held", "--state", "running"], []),
        (["--rule", RULE.name], ["run-2", "run-1"]),
        (["--rule", "other"], []),
    ],
)
async def test_a_list_is_narrowed(shell, service, options, ids):
    """By state, by rule, in length."""
    _, out, _ = await shell.beside("runs", "list", "-o", "json", *options, *service.options)

    assert [run["id"] for run in json.loads(out)] == ids


async def test_an_empty_list_is_said_in_a_word(shell, service):
    """For a person; a program gets an empty list."""
    assert await shell.beside("runs", "list", "--rule", "other", *service.options) == (0, "none\n", "")


async def test_a_run_is_shown_as_a_page_and_as_data(shell, service):
    """With all that is known of it."""
    run = await service.store.get("run-1")
    await service.store.save(replace_target(run))

    code, out, _ = await shell.beside("runs", "show", "run-1", *service.options)
    assert code == 0
    assert out.startswith("run-1  pending")
    assert "  target  StatefulSet milvus/my-release-etcd" in out.splitlines()

    _, as_json, _ = await shell.beside("runs", "show", "run-1", "-o", "json", *service.options)
    assert json.loads(as_json)["labels"] == LABELS


def replace_target(run: Any) -> Any:
    from dataclasses import replace

    target = make_run().target
    assert isinstance(target, ObjectRef)
    return replace(run, target=target)


@pytest.mark.parametrize("name", ["run-9", "../switches", "run-1/../run-2", "run-1?x=1", "run 1", "%2e%2e"])
async def test_a_run_that_is_not_there_is_a_no_in_the_services_words(shell, service, name):
    """Whatever the name is, no other route is asked for by it."""
    code, out, err = await shell.beside("runs", "show", name, *service.options)

    assert (code, out) == (1, "")
    assert err.startswith("OperatorError: GET /api/v1/runs/")
    assert ": 404: " in err or ": 400: " in err


async def test_a_state_that_does_not_exist_is_a_no(shell, service):
    """The service names those that do."""
    code, _, err = await shell.beside("runs", "list", "--state", "nope", *service.options)

    assert code == 1
    assert "there is no state 'nope'" in err


@pytest.mark.parametrize(
    ("command", "switch", "on", "said"),
    [
        (["freeze"], "freeze", True, "frozen: nothing is written until `remediator unfreeze`"),
        (["unfreeze"], "freeze", False, "unfrozen: armed rules act again"),
        (["arm", RULE.name], f"arm:{RULE.name}", True, f"{RULE.name} is armed as it is now (revision r1)"),
        (["disarm", RULE.name], f"arm:{RULE.name}", False, f"{RULE.name} is disarmed: it observes"),
    ],
)
async def test_a_switch_is_thrown_with_who_and_why(shell, service, command, switch, on, said):
    """And the record of it is kept."""
    answer = await shell.beside(*command, "--why", "rack 7", "--by", "ada", *service.options)

    assert answer == (0, f"{said}\n", "")
    thrown = await service.store.switch(switch)
    assert (thrown.on, thrown.by, thrown.why) == (on, "ada", "rack 7")


async def test_an_unfreeze_against_the_brake_is_a_no_in_the_services_words(shell, service):
    """What still holds it, and how it lets go."""
    service.brake.engage("rack 7")

    code, out, err = await shell.beside("unfreeze", "--why", "x", "--by", "ada", *service.options)

    assert (code, out) == (1, "")
    assert err.startswith("OperatorError: POST /api/v1/unfreeze: 409: ")
    assert "file FREEZE (rack 7): let go of the brake of the test" in err
    assert await service.store.switches() == []


async def test_a_freeze_that_does_not_arrive_says_what_else_freezes(shell, service):
    """At night nobody looks it up."""
    await service.store.close()
    nowhere = ["--url", "http://127.0.0.1:9", "--token-file", service.token]

    for options in (service.options, nowhere):
        code, out, err = await shell.beside("freeze", "--why", "x", "--by", "ada", *options)

        assert (code, out) == (1, "")
        assert "do not rely on this freeze" in err
        assert "make the file FREEZE in state_directory, or send the process SIGUSR1" in err


async def test_switches_and_brakes_are_one_table(shell, service):
    """What holds all writes first, then the rules."""
    await shell.beside("arm", RULE.name, "--why", "ready", "--by", "ada", *service.options)
    await shell.beside("freeze", "--why", "rack 7", "--by", "bob", *service.options)
    service.brake.engage("rack 8")

    code, out, _ = await shell.beside("switches", *service.options)
    _, as_json, _ = await shell.beside("switches", "-o", "json", *service.options)

    assert code == 0
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "WHAT STANDS BY WHY AT",
        "freeze frozen bob rack 7 2026-11-20T12:00:02",
        "file FREEZE frozen - rack 8 -",
        f"arm {RULE.name} armed at {RULE.revision} ada ready 2026-11-20T12:00:02",
    ]
    assert json.loads(as_json)["brakes"] == [{"by": "file FREEZE", "state": "engaged", "why": "rack 8"}]


@pytest.mark.parametrize("command", [["freeze"], ["unfreeze"], ["arm", "x"], ["disarm", "x"]])
async def test_without_a_reason_no_switch_is_thrown(shell, service, command):
    """Wrong use, and the service hears nothing."""
    code, _, err = await shell.beside(*command, *service.options)

    assert code == 2
    assert "--why" in err
    assert await service.store.switches() == []


@pytest.mark.parametrize("rule", ["nope", "../../freeze", f"{RULE.name}/../{RULE.name}", "a?b"])
async def test_a_rule_that_is_not_loaded_is_neither_armed_nor_anything_else(shell, service, rule):
    """A name with a path in it reaches no other switch."""
    code, out, err = await shell.beside("arm", rule, "--why", "x", "--by", "ada", *service.options)

    assert (code, out) == (1, "")
    assert ": 404: " in err
    assert await service.store.switches() == []


async def test_the_wrong_token_is_a_no(shell, service, tmp_path):
    """And is not printed."""
    wrong = tmp_path / "wrong"
    wrong.write_text("another-token-of-more-than-32-bytes-entirely")

    code, out, err = await shell.beside("runs", "list", "--url", service.url, "--token-file", str(wrong))

    assert (code, out) == (1, "")
    assert ": 401: " in err
    assert "another-token" not in err


async def test_url_and_token_may_come_from_the_environment(shell, service, monkeypatch):
    """As in a shell's profile."""
    monkeypatch.setenv("REMEDIATOR_URL", service.url + "/")
    monkeypatch.setenv("REMEDIATOR_TOKEN_FILE", service.token)

    code, out, _ = await shell.beside("runs", "list", "-o", "json")

    assert (code, len(json.loads(out))) == (0, 2)


def test_a_service_that_does_not_run_is_told_with_what_to_check(shell, tmp_path):
    """One sentence, with 1, and no traceback."""
    (tmp_path / "token").write_text(TOKEN)

    code, out, err = shell("runs", "list", "--url", "http://127.0.0.1:9", "--token-file", str(tmp_path / "token"))

    assert (code, out) == (1, "")
    assert err.startswith("OperatorError: http://127.0.0.1:9 does not answer as Remediator does")
    assert "is the service running, and is --url its listen address?" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://[::1", "ftp://127.0.0.1/"])
def test_an_address_that_is_none_is_told_the_same_way(shell, tmp_path, url):
    """Whatever stands there."""
    (tmp_path / "token").write_text(TOKEN)

    code, _, err = shell("runs", "list", "--url", url, "--token-file", str(tmp_path / "token"))

    assert code == 1
    assert "does not answer as Remediator does" in err


def test_a_token_that_cannot_be_read_is_a_setting_that_is_wrong(shell, tmp_path):
    """The path is named, and nobody is asked."""
    code, _, err = shell("runs", "list", "--token-file", str(tmp_path / "nowhere"))

    assert code == 2
    assert err.startswith(f"{tmp_path}/nowhere: the operator's token cannot be read")


# --- serve -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "nope: 1\n", "a: [", "rules: 7\n"])
def test_a_service_with_wrong_settings_does_not_start(shell, tmp_path, text):
    """Wrong use, told in words."""
    (tmp_path / "remediator.yaml").write_text(text)

    code, out, err = shell("serve", "--config", str(tmp_path / "remediator.yaml"))

    assert (code, out) == (2, "")
    assert err
    assert "Traceback" not in err


def test_a_service_without_its_file_does_not_start(shell, tmp_path):
    """The file is named."""
    code, _, err = shell("serve", "--config", str(tmp_path / "nowhere.yaml"))

    assert code == 2
    assert "nowhere.yaml" in err
