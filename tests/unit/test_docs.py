"""The documentation, held to the code: what it names exists, what exists is named, and its examples work."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from remediator import guards, rulebook, systems
from remediator.cli import cli
from remediator.kube import noting
from remediator.metrics import Metrics
from remediator.model.evidence import DiagnosisResult, conclude
from remediator.model.objects import POD, STATEFUL_SET, ObjectRef
from remediator.model.seams import ReadAccess
from remediator.model.systems import Draft, Located, System
from remediator.model.verdicts import Reason
from remediator.settings import ALWAYS_PROTECTED, Settings
from tests.fakes.fake_clock import FakeClock
from tests.fakes.fake_cluster import FakeCluster
from tests.fakes.fake_endpoints import FakeEndpoints

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "rules").rglob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
FIRST_CELL = re.compile(r"^\| `([a-z_]+)` \|", re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MACHINE = re.compile(r"(?<![\w.])/(?:work|home|root|tmp|Users)/\S*")
DRAWER = DOCS / "generate.py"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def fences(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text("utf-8")) if kind == language]


def anchors(page: Path) -> set[str]:
    """The names that a page's headings can be reached under."""
    prose = FENCE.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- what pages name exists --------------------------------------------------------------------------------


@every_page
def test_every_relative_link_resolves(page: Path) -> None:
    """A link leads to a file of the project, and its anchor to a heading there."""
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@every_page
def test_every_make_target_exists(page: Path) -> None:
    """`make` is only ever told to do what the Makefile has."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text("utf-8")))
    assert named <= targets


@every_page
def test_every_file_named_in_backticks_exists(page: Path) -> None:
    """A path of the project, as text, is a path that is there; `*` and `<…>` stand for something."""
    named = re.findall(r"`((?:remediator|tests|rules|docs)/[\w./*-]+)`", page.read_text("utf-8"))
    missing = [path for path in named if not any(ROOT.glob(path.rstrip("/")))]
    assert not missing


@every_page
def test_no_page_names_a_path_of_one_machine(page: Path) -> None:
    """Pages speak of the reader's machine, never of the writer's."""
    assert not MACHINE.findall(page.read_text("utf-8"))


# --- what exists is on its page ----------------------------------------------------------------------------


def test_every_reason_is_explained_once() -> None:
    """The page of reasons has each reason of the closed set once, and no other."""
    named = FIRST_CELL.findall((DOCS / "reference/reasons.md").read_text("utf-8"))
    assert sorted(named) == sorted(str(reason) for reason in Reason)


def exposed() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every series as (name, type, labels), without those that the client library adds."""
    metrics = Metrics()
    for instrument in vars(metrics).values():
        if isinstance(instrument, Counter | Gauge | Histogram):
            family = instrument.describe()[0]
            suffix = "_total" if family.type == "counter" else ""
            yield family.name + suffix, family.type, instrument._labelnames
    told = {family.name for family in metrics.registry.collect()}
    yield from (
        (name, "gauge", labels)
        for name, labels in (
            ("remediator_runs_active", ("rule", "state")),
            ("remediator_armed", ("rule",)),
            ("remediator_frozen", ()),
            ("remediator_brakes_unreadable", ()),
            ("remediator_store_damaged_runs", ()),
            ("remediator_history_only", ()),
            ("remediator_store_disk_full", ()),
            ("remediator_build_info", ("version",)),
        )
        if name in told
    )


def test_every_series_is_on_the_page_of_metrics() -> None:
    """Names, types and labels on the page are those exposed, and the other way round."""
    page = (DOCS / "reference/metrics.md").read_text("utf-8")
    rows = re.findall(r"^\| `(remediator_\w+)` \| (\w+) \| ([^|]*)\|", page, re.MULTILINE)
    named = [(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows]
    assert sorted(named) == sorted(exposed())


def test_the_page_of_metrics_misses_none_of_the_registry() -> None:
    """Whatever the registry collects is named, wherever it was made."""
    page = (DOCS / "reference/metrics.md").read_text("utf-8")
    collected = {f.name + ("_total" if f.type == "counter" else "") for f in Metrics().registry.collect()}
    assert {name for name in collected if f"`{name}`" not in page} == set()


def test_every_guard_is_on_its_page() -> None:
    """The table of guards has those that discovery finds, with reasons that exist."""
    page = (DOCS / "reference/guards.md").read_text("utf-8")
    assert sorted(FIRST_CELL.findall(page)) == sorted(guard.name for guard in guards.discover())
    given = re.findall(r"^\| `[a-z]+` \|.*\| ([^|]*) \|$", page, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(given))) <= set(Reason)


def test_every_event_is_on_its_page() -> None:
    """The page of Events has every reason that the service posts, and no other."""
    source = Path(noting.__file__).read_text("utf-8")
    page = (DOCS / "reference/events.md").read_text("utf-8")
    named = re.findall(r"^\| `(Remediation\w+)` \|", page, re.MULTILINE)
    assert sorted(named) == sorted(set(re.findall(r'"(Remediation\w+)"', source)))


def commands(group: click.Group, before: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


def test_every_command_and_option_is_on_its_page() -> None:
    """The page of the command line has a heading for each command, and names each option."""
    page = (DOCS / "reference/cli.md").read_text("utf-8")
    known = dict(commands(cli, "remediator"))
    assert set(re.findall(r"^## (remediator .+)$", page, re.MULTILINE)) == set(known)
    options = {name for command in known.values() for p in command.params for name in p.opts if name.startswith("-")}
    assert {name for name in options if f"{name}`" not in page and f"{name} " not in page} == set()


# --- run states --------------------------------------------------------------------------------------------


def draw(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, DRAWER, *arguments], capture_output=True, text=True, check=False)


def test_the_run_states_are_drawn_from_the_table() -> None:
    """The page says what the transition table says."""
    assert draw("--check").returncode == 0


def test_an_outdated_page_of_run_states_is_found(tmp_path: Path) -> None:
    """A page on which one move differs is told apart, left alone by the check, and put right without it."""
    page = tmp_path / "run-states.md"
    right = (DOCS / "explanation/run-states.md").read_text("utf-8")
    wrong = right.replace("held --> pending: due", "held --> running: due")
    page.write_text(wrong, "utf-8")

    found = draw("--check", str(page))

    assert (found.returncode, page.read_text("utf-8")) == (1, wrong)
    assert draw(str(page)).returncode == 0
    assert page.read_text("utf-8") == right


# --- examples ----------------------------------------------------------------------------------------------


@every_page
def test_every_yaml_example_is_good(page: Path) -> None:
    """Settings are settings, and everything else is at least YAML."""
    for text in fences(page, "yaml"):
        documents = list(yaml.safe_load_all(text))
        assert documents
        for value in documents:
            if "state_directory" in value:
                Settings.model_validate(value)


def checked(*command: str | Path) -> str:
    """What the program has to object; "" when nothing."""
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if said.returncode == 0 else said.stdout + said.stderr


@pytest.mark.real("promtool")
def test_every_alert_in_the_documentation_is_valid(tmp_path: Path) -> None:
    """promtool accepts the groups of rules that a reader is shown."""
    shown = [text for page in PAGES for text in fences(page, "yaml") if text.startswith("groups:")]
    assert shown
    for number, text in enumerate(shown):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text, "utf-8")
        assert checked("promtool", "check", "rules", path) == ""


@pytest.mark.real("prometheus-alertmanager")
def test_every_receiver_in_the_documentation_is_valid(tmp_path: Path) -> None:
    """amtool accepts the receivers that a reader is shown, under a route that leads to them."""
    texts = [text for page in PAGES for text in fences(page, "yaml")]
    shown = [value for text in texts for value in yaml.safe_load_all(text) if "receivers" in value]
    assert shown
    for number, value in enumerate(shown):
        path = tmp_path / f"{number}.yaml"
        whole = {**value, "route": {"receiver": value["receivers"][0]["name"], **value.get("route", {})}}
        path.write_text(yaml.safe_dump(whole), "utf-8")
        assert checked("amtool", "check-config", path) == ""


def problems_of(text: str, folder: Path, known: dict[str, System[Any]]) -> list[str]:
    (folder / "rule.yaml").write_text(text, "utf-8")
    return [str(p) for p in rulebook.load([folder / "rule.yaml"], known, protected=ALWAYS_PROTECTED).problems]


def test_the_rules_in_the_how_to_load(tmp_path: Path) -> None:
    """The rule that a reader is shown has no problem."""
    text = fences(DOCS / "how-to/write-a-rule.md", "yaml")[0]
    assert problems_of(text, tmp_path, dict(systems.discover())) == []


@pytest.fixture
def example(tmp_path: Path) -> ModuleType:
    """The system of the how-to, as a module."""
    path = tmp_path / "replica.py"
    path.write_text(fences(DOCS / "how-to/add-a-system.md", "python")[0], "utf-8")
    spec = importlib.util.spec_from_file_location("replica", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["replica"] = module
    spec.loader.exec_module(module)
    return module


def a_shop(clock: FakeClock) -> FakeCluster:
    """A StatefulSet of three, of which the last is not Ready."""
    cluster = FakeCluster(clock)
    owner = cluster.put(
        STATEFUL_SET,
        {
            "metadata": {"name": "till", "namespace": "shop"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "till"}}},
            "status": {"currentRevision": "a", "updateRevision": "a"},
        },
    )
    reference = {"kind": "StatefulSet", "name": "till", "uid": owner["metadata"]["uid"], "controller": True}
    for ordinal, ready in enumerate(("True", "True", "False")):
        meta = {
            "name": f"till-{ordinal}",
            "namespace": "shop",
            "labels": {"app": "till"},
            "ownerReferences": [reference],
        }
        cluster.put(POD, {"metadata": meta, "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    return cluster


async def test_the_system_in_the_how_to_works(example: ModuleType, tmp_path: Path) -> None:
    """It finds its target, proves its fault, plans one deletion of the pod that hangs, and its rule loads."""
    system: System[Any] = example.SYSTEM
    clock = FakeClock()
    read = ReadAccess(a_shop(clock).view(), FakeEndpoints(clock).view(), _NoBackups(), clock)

    located = await example.locate(read, {"namespace": "shop", "pod": "till-2"})
    assert isinstance(located, Located)
    facts = (await example.survey(read, located.target, {})).facts
    diagnosis = conclude([probe.judge(facts) for probe in system.probes], fault=system.fault)
    draft = system.remedies["restart"].plan(facts, {})

    assert located.target.any_incarnation() == ObjectRef(STATEFUL_SET, "till", "shop")
    assert (diagnosis.result, example.health(facts, None).met) == (DiagnosisResult.CONFIRMED, False)
    assert isinstance(draft, Draft)
    assert [(s.seq, s.verb, s.target.name, s.requires) for s in draft.steps] == [
        (0, "kubernetes.delete_pod", "till-2", ("one_hangs", "rolling_out"))
    ]
    known = {**systems.discover(), system.name: system}
    assert set(draft.steps[0].requires) <= {probe.name for probe in system.probes}
    assert problems_of(fences(DOCS / "how-to/add-a-system.md", "yaml")[0], tmp_path, known) == []


class _NoBackups:
    """A place for backups that was never configured."""

    is_configured = False

    async def save(self, run_id: str, name: str, chunks: object) -> Any:
        raise AssertionError("nothing is saved while looking")

    async def find(self, run_id: str, name: str) -> None:
        return None


# --- the alerts that feed the shipped rule -----------------------------------------------------------------

ALERTS = ROOT / "rules/etcd/alerts.yaml"
SERIES = """
  - series: 'kube_pod_container_status_waiting_reason{namespace="milvus", pod="my-release-etcd-0", container="etcd",
      job="kube-state-metrics", instance="10.0.0.1:8080", reason="CrashLoopBackOff"}'
    values: '1x60'
  - series: 'kube_pod_status_ready{namespace="milvus", pod="my-release-etcd-0", condition="true",
      job="kube-state-metrics", instance="10.0.0.1:8080"}'
    values: '0x60'
"""
EXPECTED: dict[str, dict[str, str]] = {
    "KubePodCrashLooping": {"container": "etcd"},
    "KubePodNotReady": {},
}


def labels_of(alertname: str) -> dict[str, str]:
    """The labels with which Prometheus sends this alert for a pod of etcd that crash-loops."""
    where = {"namespace": "milvus", "pod": "my-release-etcd-0", "job": "kube-state-metrics", "severity": "warning"}
    return {**where, **EXPECTED[alertname]}


@pytest.mark.real("promtool")
def test_the_shipped_alerts_are_valid() -> None:
    """promtool finds nothing wrong with the alerts."""
    assert checked("promtool", "check", "rules", ALERTS) == ""


@pytest.mark.real("promtool")
def test_a_crash_looping_etcd_raises_alerts_that_the_shipped_rule_wants(tmp_path: Path) -> None:
    """From kube-state-metrics' series to labels that the rule's matchers accept, and not before 15 minutes."""
    shutil.copy(ALERTS, tmp_path / "alerts.yaml")
    wanted = yaml.safe_load((ROOT / "rules/etcd/member-removed.yaml").read_text("utf-8"))
    loaded = rulebook.load([ROOT / "rules/etcd/member-removed.yaml"], systems.discover(), protected=ALWAYS_PROTECTED)
    expectations = [
        {"eval_time": time, "alertname": name, "exp_alerts": alerts}
        for name in EXPECTED
        for time, alerts in (("10m", []), ("20m", [{"exp_labels": labels_of(name)}]))
    ]
    test = {
        "rule_files": ["alerts.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": yaml.safe_load(SERIES), "alert_rule_test": expectations}],
    }
    for block in expectations:
        for alert in block["exp_alerts"]:
            alert["exp_annotations"] = _annotations(str(block["alertname"]))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test), "utf-8")

    assert checked("promtool", "test", "rules", tmp_path / "test.yaml") == ""
    assert wanted["name"] == loaded.rules[0].name
    assert [name for name in EXPECTED if not loaded.rules[0].matches({"alertname": name, **labels_of(name)})] == []


def _annotations(alertname: str) -> dict[str, str]:
    """The alert's annotations with their templates filled in for the pod of the test."""
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    written = next(r["annotations"] for g in groups for r in g["rules"] if r["alert"] == alertname)
    filled = {"namespace": "milvus", "pod": "my-release-etcd-0"}
    return {
        key: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda m: filled[m.group(1)], text) for key, text in written.items()
    }
