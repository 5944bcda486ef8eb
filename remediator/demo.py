"""
A rehearsal: break a practice cluster as a scenario says, run the whole service against it, send the alert, watch.

In: a scenario. Out: what the run came to, and every write the cluster saw. Nothing is shortened for it: the alert
arrives over HTTP, the cluster answers over HTTP, the rule is the shipped one with the mode `auto` and armed through
the operator's API. Time runs faster than the wall's.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
import click
import yaml

from remediator import app, logs
from remediator.clocks import FastClock, new_id
from remediator.model.errors import ConfigError
from remediator.model.ledger import RunFilter
from remediator.model.runs import Run
from remediator.model.seams import Observer
from remediator.practice.cluster import PracticeCluster
from remediator.practice.scenarios import Scenario, find_scenarios, play
from remediator.settings import Settings, load
from remediator.terminal.operator import Operator
from remediator.terminal.page import wrap
from remediator.terminal.paint import Paint, wants_colour
from remediator.terminal.story import Story
from remediator.terminal.tables import terminal_width
from remediator.web.rendering import whole_run_json

FIRST = "etcd-member-removed"
FAST, READABLE = 25.0, 8.0
"""How many seconds pass in one of the wall's."""
PATIENCE = 1800.0
"""Rehearsed seconds after which a run that has not ended is a failure."""
OPERATOR, SENDER, CLUSTER = "operator.token", "alertmanager.token", "cluster.token"
WRITES = frozenset({"create", "update", "patch", "delete"})


def rules_directory() -> Path:
    """The shipped rules: inside an installed package, or beside the source."""
    packaged = Path(__file__).parent / "_rules"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "rules"


def scenarios() -> list[Scenario]:
    return find_scenarios(rules_directory())


def find(name: str) -> Scenario:
    """The scenario of that name. Raises ConfigError naming those that exist."""
    known = {s.name: s for s in scenarios()}
    if name not in known:
        raise ConfigError(f"there is no scenario {name!r}; there are {', '.join(sorted(known))}")
    return known[name]


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal came to."""

    run: Run
    page: Mapping[str, Any]
    """The run as the API shows it."""
    writes: tuple[Mapping[str, Any], ...]
    """Every write the cluster and the pods saw, in order, Events apart."""
    runs: int
    seconds: float


async def rehearse(scenario: Scenario, *, fast: bool, etcd: str, quiet: bool) -> dict[str, Any]:
    """Rehearse for a reader; answers the object that `-o json` prints."""
    paint = Paint(wants_colour(sys.stdout.isatty(), os.environ))
    story = Story(click.echo, paint, terminal_width())
    say: Callable[[str], None] = (lambda _: None) if quiet else click.echo
    say(paint(f"Rehearsing {scenario.name}", "bold"))
    say("\n".join(wrap(scenario.what, min(terminal_width(), 100), "", "")))
    with tempfile.TemporaryDirectory(prefix="remediator-demo-") as folder:
        done = await rehearse_in(
            Path(folder),
            scenario,
            speed=_speed(etcd, fast=fast),
            etcd="real" if etcd == "real" else "simulated",
            observers=[] if quiet else [story],
            say=say,
        )
    if not quiet:
        _tell_writes(done, story, say)
    return as_json(scenario, done)


def _speed(etcd: str, *, fast: bool) -> float:
    """Real processes keep real time."""
    return 1.0 if etcd == "real" else FAST if fast else READABLE


def as_json(scenario: Scenario, done: Rehearsed) -> dict[str, Any]:
    run = done.run
    return {
        "scenario": scenario.name,
        "outcome": str(run.state),
        "reason": str(run.reason),
        "detail": run.detail,
        "cured": str(run.state) == "succeeded",
        "diagnosis": done.page["diagnosis"],
        "steps": done.page["steps"],
        "writes": list(done.writes),
        "runs": done.runs,
        "duration_seconds": round(done.seconds, 3),
    }


def _tell_writes(done: Rehearsed, story: Story, say: Callable[[str], None]) -> None:
    story.head("Every write the cluster saw")
    for write in done.writes:
        say(f"  {write['verb']:<7} {write['object']}")
    say("" if done.writes else "  none")


async def rehearse_in(
    folder: Path,
    scenario: Scenario,
    *,
    speed: float,
    etcd: Literal["simulated", "real"] = "simulated",
    observers: Sequence[Observer] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Rehearsed:
    """Rehearse in `folder`. Raises TimeoutError when the fault does not show or the run does not end."""
    clock = FastClock(speed)
    logs.configure("json", "error")
    async with PracticeCluster(clock, new_id, etcd=etcd, data_dir=folder / "pods") as cluster:
        say(f"setting up a practice cluster ({etcd} etcd, time runs {speed:g}× as fast) …")
        await play(scenario, cluster)
        say("the fault is there")
        settings = rehearsal_settings(folder, scenario, cluster, speed)
        began = clock.monotonic()
        async with app.service(settings, clock=clock, observers=observers) as running:
            rule = running.rules.loaded[0].name
            url = f"http://127.0.0.1:{running.webhook_port}"
            await Operator(url, folder / OPERATOR).post(
                f"/api/v1/rules/{rule}/arm", {"by": "rehearsal", "why": "a practice cluster"}
            )
            await _send(url, (folder / SENDER).read_text(), notification(scenario, clock))
            run = await _until_ended(running, clock)
            steps, traces = await running.store.steps(run.id), await running.store.traces(run.id)
            page = whole_run_json(run, steps, traces, await running.store.signals(run.id))
            count = len(await running.store.list(RunFilter(limit=1000)))
        return Rehearsed(run, page, writes_of(cluster), count, clock.monotonic() - began)


def notification(scenario: Scenario, clock: FastClock, status: str = "firing") -> dict[str, Any]:
    """A body as Alertmanager sends it (webhook version 4)."""
    began = clock.now().isoformat().replace("+00:00", "Z")
    alert = {
        "status": status,
        "labels": dict(scenario.alert.labels),
        "annotations": dict(scenario.alert.annotations),
        "startsAt": began,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "0000000000000000",
    }
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "remediator",
        "groupLabels": {},
        "commonLabels": dict(scenario.alert.labels),
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": [alert],
    }


async def _send(url: str, token: str, body: Mapping[str, Any]) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{url}/webhook/alertmanager", json=body, headers={"Authorization": f"Bearer {token}"}
        ) as response,
    ):
        answer = await response.json()
        if response.status != 202 or not answer["runs"]:
            raise ConfigError(f"the service took no run from the scenario's alert: {response.status} {answer}")


async def _until_ended(running: app.Service, clock: FastClock) -> Run:
    deadline = clock.monotonic() + PATIENCE
    while clock.monotonic() < deadline:
        found = await running.store.list(RunFilter(limit=10))
        if found and all(run.state.is_final for run in found):
            return found[-1]
        await clock.sleep(0.5)
    raise TimeoutError(f"the run has not ended within {PATIENCE:g} rehearsed seconds: {found[-1].state}")


def writes_of(cluster: PracticeCluster) -> tuple[Mapping[str, Any], ...]:
    """What was written to the cluster: every request that changes something, Events apart."""
    return tuple(
        {
            "verb": seen.verb,
            "object": "/".join(p for p in (seen.resource, seen.namespace, seen.name, seen.subresource) if p),
            "code": seen.code,
        }
        for seen in cluster.requests
        if seen.verb in WRITES and seen.resource != "events" and not seen.dry_run
    )


def rehearsal_settings(folder: Path, scenario: Scenario, cluster: PracticeCluster, speed: float) -> Settings:
    """The service's own settings, with its clock-bound limits stretched as far as time is."""
    for name in (OPERATOR, SENDER):
        (folder / name).write_text(new_id("secret") + new_id("secret"))
    (folder / CLUSTER).write_text(cluster.token)
    rules = folder / "rules"
    rules.mkdir()
    (rules / "rule.yaml").write_text(_rule_text(scenario))
    config = {
        "rules": [str(rules)],
        "state_directory": str(folder / "state"),
        "backup_directory": str(folder / "backups"),
        "listen": {"host": "127.0.0.1", "port": 0},
        "operations": {"host": "127.0.0.1", "port": 0},
        "webhook": {
            "auth": {"bearer_files": [str(folder / SENDER)]},
            "answer_timeout_seconds": 2 * speed,
            "body_timeout_seconds": 10 * speed,
        },
        "operators": {"token_files": [str(folder / OPERATOR)]},
        "kubernetes": {"server": cluster.base_url, "token_file": str(folder / CLUSTER), "pods_on_loopback": True},
        "evidence_max_age_seconds": 5 * speed,
        "permit_seconds": 2 * speed,
        "held_recheck_seconds": 5,
    }
    path = folder / "remediator.yaml"
    path.write_text(json.dumps(config))
    return load(path, {})


def _rule_text(scenario: Scenario) -> str:
    """The shipped rule of the scenario's system, allowed to act, with what the scenario says differently."""
    shipped = next(p for p in sorted((rules_directory() / scenario.system).glob("*.yaml")) if p.name != "alerts.yaml")
    rule: dict[str, Any] = yaml.safe_load(shipped.read_text("utf-8"))
    return yaml.safe_dump({**rule, "mode": "auto", **scenario.rule}, sort_keys=False)
