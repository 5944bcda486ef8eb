"""A real Alertmanager, three real etcd processes with 1,000 keys, and the service as a process that may be killed."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from tests.real.rig import KEYS, Rig, rig

pytestmark = pytest.mark.real("prometheus-alertmanager", "etcd", "etcdctl", "promtool")
SICK, WELL = "my-release-etcd-0", ("my-release-etcd-1", "my-release-etcd-2")
ONCE = [
    ("delete", "persistentvolumeclaims", f"data-{SICK}"),
    ("delete", "pods", SICK),
]


async def _is_cured(made: Rig, healthy_before: dict[str, tuple[str, int]]) -> None:
    """Asked of etcd and of the cluster: three started voters, every key, the healthy ones never touched."""
    members = await made.members(WELL[0])
    assert sorted(str(m.get("name")) for m in members) == [SICK, *WELL]
    assert not any(m.get("isLearner") for m in members)
    assert [await made.keys(pod) for pod in (SICK, *WELL)] == [KEYS, KEYS, KEYS]
    assert {pod: made.incarnation(pod) for pod in WELL} == healthy_before
    writes = made.writes()
    assert [(verb, resource) for verb, resource, _ in writes] == [
        ("patch", "persistentvolumes"),
        ("delete", "persistentvolumeclaims"),
        ("delete", "pods"),
    ]
    assert [write for write in writes if write[0] == "delete"] == ONCE


async def _until_resolution_is_recorded(made: Rig) -> None:
    async with asyncio.timeout(30):
        while made.stored_runs()[0]["resolved_at"] is None:
            await asyncio.sleep(0.2)


async def test_an_alert_posted_by_alertmanager_cures_etcd(tmp_path: Path) -> None:
    """
    One alert, one run, three writes: three healthy members with every key, the survivors never restarted, Events on
    the object, metrics that promtool accepts, and the alert's resolution recorded.
    """
    async with rig(tmp_path) as made:
        before = {pod: made.incarnation(pod) for pod in WELL}
        await made.alert()

        ended = await made.until_ended()

        page = await made.command("runs", "show", ended["id"])
        assert (ended["state"], ended["body"]["reason"]) == ("succeeded", "cured"), page
        await _is_cured(made, before)
        await made.alert(ends_at="2026-11-21T02:30:00Z")
        await _until_resolution_is_recorded(made)
        runs = await made.runs()
        exposition = await made.metrics()
        events = made.events()
        returncode = await made.stop_service()

    assert [run["id"] for run in runs] == [ended["id"]]
    assert runs[0]["resolved_at"]
    assert {"RemediationPlanned", "RemediationStarted", "RemediationStepDone", "RemediationSucceeded"} <= set(events)
    assert 'remediator_runs_total{outcome="succeeded",rule="etcd-member-removed"} 1.0' in exposition
    assert returncode == 0
    lint = await asyncio.to_thread(
        subprocess.run, ["promtool", "check", "metrics"], input=exposition, capture_output=True, text=True, check=False
    )
    assert (lint.returncode, lint.stdout, lint.stderr) == (0, "", "")
    backups = list((tmp_path / "backups").rglob("*.db"))
    assert len(backups) == 1
    assert backups[0].stat().st_mode & 0o077 == 0
    checked = await asyncio.to_thread(
        subprocess.run,
        ["etcdctl", "snapshot", "status", str(backups[0]), "-w", "json"],
        capture_output=True,
        text=True,
        env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"},
        check=True,
    )
    assert json.loads(checked.stdout)["totalKey"] >= KEYS


async def test_killed_after_every_journalled_step_it_still_ends_in_the_same_state(tmp_path: Path) -> None:
    """SIGKILL after each row that the journal gains, and start again: the same cure, and no write applied twice."""
    async with rig(tmp_path) as made:
        before = {pod: made.incarnation(pod) for pod in WELL}
        await made.alert()
        killed_after: set[tuple[int, str]] = set()

        async with asyncio.timeout(400):
            while True:
                runs = made.stored_runs()
                if runs and not runs[0]["is_live"]:
                    break
                new = {(seq, state) for seq, _, state in made.journal()} - killed_after
                if new:
                    await made.kill_service()
                    killed_after |= {(seq, state) for seq, _, state in made.journal()}
                    await made.start_service()
                await asyncio.sleep(0.002)

        ended = made.stored_runs()
        page = await made.command("runs", "show", ended[0]["id"])
        assert [(run["state"], run["body"]["reason"]) for run in ended] == [("succeeded", "cured")], page
        await _is_cured(made, before)
        journal = made.journal()

    assert len(killed_after) >= 8, sorted(killed_after)
    assert {seq for seq, _, state in journal if state == "done"} == set(range(6))
    assert "intent" not in {state for _, _, state in journal}
