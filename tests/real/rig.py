"""
Everything real around one service: Alertmanager, three etcd processes on a practice cluster, and `remediator serve`.

The service is a process of its own, started from its command line with files only, and may be killed. What it did is
read from the cluster's request history and from the journal's file, never from its own account.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import ClientConnectionError, ClientSession

from remediator.clocks import FastClock, new_id
from remediator.practice import etcd_client
from remediator.practice.cluster import PracticeCluster
from remediator.practice.scenarios import PREFIX, Scenario, load, play
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
SCENARIO = load(ROOT / "rules" / "etcd" / "tests" / "etcd-member-removed.yaml")
KEYS = 1000
SPEED = 4.0
"""The nodes' clock only: back-off and readiness pass faster. etcd, Alertmanager and the service keep real time."""
SERVICE_READY, RUN_ENDS = 30.0, 300.0
WRITES = {"create", "update", "patch", "delete"}


class Rig:
    def __init__(self, folder: Path, cluster: PracticeCluster, session: ClientSession) -> None:
        self.folder, self.cluster, self.session = folder, cluster, session
        self.webhook_port, self.operations_port, self.alertmanager_port = free_port(), free_port(), free_port()
        self.service: asyncio.subprocess.Process | None = None
        self.tokens = {name: folder / f"{name}.token" for name in ("sender", "operator", "cluster")}
        self.log = folder / "service.log"

    # --- the service -----------------------------------------------------------------------------------------

    def configure(self) -> None:
        self.tokens["sender"].write_text(secrets.token_hex(24) + "\n")
        self.tokens["operator"].write_text(secrets.token_hex(24) + "\n")
        self.tokens["cluster"].write_text(self.cluster.token)
        rules = self.folder / "rules"
        rules.mkdir()
        rule = yaml.safe_load((ROOT / "rules" / "etcd" / "member-removed.yaml").read_text())
        quick = {"within": "2m", "steady_for": "5s", "every": "1s"}
        (rules / "member-removed.yaml").write_text(yaml.safe_dump({**rule, "mode": "auto", "verify": quick}))
        settings = {
            "rules": [str(rules)],
            "state_directory": str(self.folder / "state"),
            "backup_directory": str(self.folder / "backups"),
            "listen": {"host": "127.0.0.1", "port": self.webhook_port},
            "operations": {"host": "127.0.0.1", "port": self.operations_port},
            "webhook": {"auth": {"bearer_files": [str(self.tokens["sender"])]}},
            "operators": {"token_files": [str(self.tokens["operator"])]},
            "kubernetes": {
                "server": self.cluster.base_url,
                "token_file": str(self.tokens["cluster"]),
                "pods_on_loopback": True,
            },
            "held_recheck_seconds": 1,
        }
        (self.folder / "remediator.yaml").write_text(yaml.safe_dump(settings))

    async def start_service(self) -> None:
        with self.log.open("ab") as log:
            self.service = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "remediator",
                "serve",
                "--config",
                str(self.folder / "remediator.yaml"),
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        await self._until_answers(f"http://127.0.0.1:{self.operations_port}/readyz", SERVICE_READY)

    async def kill_service(self) -> None:
        assert self.service is not None
        self.service.send_signal(signal.SIGKILL)
        await self.service.wait()

    async def stop_service(self) -> int:
        assert self.service is not None
        if self.service.returncode is None:
            self.service.terminate()
        return await self.service.wait()

    async def _until_answers(self, url: str, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    async with self.session.get(url) as answer:
                        if answer.status == 200:
                            return
                except ClientConnectionError:
                    pass
                if self.service is not None and self.service.returncode is not None:
                    raise AssertionError(f"the service ended:\n{self.log.read_text()[-3000:]}")
                await asyncio.sleep(0.05)

    async def command(self, *words: str) -> str:
        """A `remediator` command as an operator types it; its standard output."""
        env = {
            **os.environ,
            "REMEDIATOR_URL": f"http://127.0.0.1:{self.webhook_port}",
            "REMEDIATOR_TOKEN_FILE": str(self.tokens["operator"]),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "remediator", *words, env=env, cwd=ROOT, stdout=-1, stderr=-1
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(await self.command("runs", "list", "-o", "json"))
        return found

    async def until_ended(self, seconds: float = RUN_ENDS) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while True:
                runs = self.stored_runs()
                if runs and not runs[0]["is_live"]:
                    return runs[0]
                await asyncio.sleep(0.2)

    async def metrics(self) -> str:
        async with self.session.get(f"http://127.0.0.1:{self.operations_port}/metrics") as answer:
            return await answer.text()

    # --- the journal, read as a stranger -----------------------------------------------------------------------

    def _query(self, sql: str) -> list[sqlite3.Row]:
        path = self.folder / "state" / "journal.db"
        if not path.exists():
            return []
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        db.row_factory = sqlite3.Row
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def stored_runs(self) -> list[dict[str, Any]]:
        rows = self._query("SELECT id, state, is_live, resolved_at, body FROM runs ORDER BY filed")
        return [{**dict(row), "body": json.loads(row["body"])} for row in rows]

    def journal(self) -> list[tuple[int, int, str]]:
        """(seq, attempt, state) of every journalled attempt."""
        rows = self._query("SELECT seq, attempt, body FROM steps ORDER BY seq, attempt")
        return [(row["seq"], row["attempt"], json.loads(row["body"])["state"]) for row in rows]

    # --- Alertmanager --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def alertmanager(self) -> AsyncIterator[None]:
        config = {
            "route": {
                "receiver": "remediator",
                "group_by": ["alertname", "namespace"],
                "group_wait": "0s",
                "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [
                {
                    "name": "remediator",
                    "webhook_configs": [
                        {
                            "url": f"http://127.0.0.1:{self.webhook_port}/webhook/alertmanager",
                            "send_resolved": True,
                            "max_alerts": 0,
                            "http_config": {
                                "authorization": {"credentials_file": str(self.tokens["sender"])},
                            },
                        }
                    ],
                }
            ],
        }
        path = self.folder / "alertmanager.yml"
        path.write_text(yaml.safe_dump(config))
        process = await asyncio.create_subprocess_exec(
            "prometheus-alertmanager",
            f"--config.file={path}",
            f"--storage.path={self.folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{self.alertmanager_port}",
            "--cluster.listen-address=",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await self._until_answers(f"http://127.0.0.1:{self.alertmanager_port}/-/ready", 20)
            yield
        finally:
            process.terminate()
            await process.wait()

    async def alert(self, *, ends_at: str = "") -> None:
        """As Prometheus would: post the scenario's alert to Alertmanager."""
        alert: dict[str, Any] = {
            "labels": dict(SCENARIO.alert.labels),
            "annotations": dict(SCENARIO.alert.annotations),
            "startsAt": "2026-11-21T02:07:30.123Z",
        }
        if ends_at:
            alert["endsAt"] = ends_at
        url = f"http://127.0.0.1:{self.alertmanager_port}/api/v2/alerts"
        async with self.session.post(url, json=[alert]) as answer:
            assert answer.status == 200, await answer.text()

    # --- the truth ---------------------------------------------------------------------------------------------

    def writes(self) -> list[tuple[str, str, str]]:
        """(verb, resource, name) of every write that the API server applied, Events apart."""
        return [
            (seen.verb, seen.resource, seen.name)
            for seen in self.cluster.requests
            if seen.verb in WRITES and seen.resource != "events" and 200 <= seen.code < 300
        ]

    def events(self) -> list[str]:
        found = self.cluster.api.list(_event_type(), SCENARIO.namespace)
        return [e["reason"] for e in found if str(e.get("reason", "")).startswith("Remediation")]

    async def members(self, pod: str) -> list[Mapping[str, Any]]:
        return list(await etcd_client.members(self.cluster, SCENARIO.namespace, pod))

    async def keys(self, pod: str) -> int:
        return await etcd_client.count_keys(self.cluster, SCENARIO.namespace, pod, PREFIX)

    def incarnation(self, pod: str) -> tuple[str, int]:
        """The pod's uid and how often its container was restarted."""
        found = self.cluster.pod(SCENARIO.namespace, pod)
        return found["metadata"]["uid"], found["status"]["containerStatuses"][0]["restartCount"]


def _event_type() -> Any:
    from remediator.practice.resources import CORE_EVENT

    return CORE_EVENT


def with_keys(scenario: Scenario) -> Scenario:
    from dataclasses import replace

    assert scenario.etcd is not None
    return replace(scenario, etcd=replace(scenario.etcd, keys=KEYS))


@asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[Rig]:
    """The fault is there, the service and Alertmanager run, and the rule is armed."""
    async with (
        ClientSession() as session,
        PracticeCluster(FastClock(SPEED), new_id, etcd="real", data_dir=folder / "pods") as cluster,
    ):
        await play(with_keys(SCENARIO), cluster)
        made = Rig(folder, cluster, session)
        made.configure()
        await made.start_service()
        try:
            async with made.alertmanager():
                await made.command("arm", "etcd-member-removed", "--why", "a rehearsal", "--by", "alice")
                yield made
        finally:
            await made.stop_service()
