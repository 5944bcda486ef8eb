"""
Real etcd in pods: one process for each, at the pod's own loopback address, with its data in the claim's folder.

In: launches of etcd containers. Out: processes, their exit codes and their log lines. Before etcd runs, the entrypoint
of the image is played for the families M and P; every process is ended when its container stops or the runtime closes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp

from remediator.model.seams import Clock
from remediator.practice.containers import KILLED, Ending, Exit, Launch, Running
from remediator.practice.etcd_gateway import Answer
from remediator.practice.etcd_images import EtcdSpec, Family, read_spec
from remediator.practice.loops import TaskOwner

LINE_LIMIT = 1 << 20
"""etcd's longest log lines hold whole member lists."""
PATIENCE = 10.0
"""Real seconds a process is given to end by itself."""


class ProcessRuntime:
    def __init__(self, clock: Clock, tasks: TaskOwner, folder: Path, program: str = "etcd") -> None:
        self.clock = clock
        self.tasks = tasks
        self.program = program
        self.founding: set[tuple[str, str]] = set()
        self._folder = folder
        self._session: aiohttp.ClientSession | None = None
        self._started: list[EtcdProcess] = []

    async def setup(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15))

    async def start(self, launch: Launch) -> Running:
        etcd = EtcdProcess(self, launch)
        self._started.append(etcd)
        return etcd

    async def request(self, address: str, method: str, path: str, body: bytes) -> Answer:
        if self._session is None:
            raise ConnectionError("the practice cluster is not running; enter it with `async with`")
        try:
            async with self._session.request(method, f"http://{address}:2379{path}", data=body or None) as reply:
                return reply.status, dict(reply.headers), await reply.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionRefusedError(f"nobody serves etcd at {address}: {error}") from error

    def folder_of(self, volume: str) -> Path:
        return self._folder / "volumes" / volume

    def erase(self, volume: str) -> None:
        shutil.rmtree(self.folder_of(volume), ignore_errors=True)

    def found(self, pods: Iterable[tuple[str, str]]) -> None:
        self.founding.update(pods)

    async def close(self) -> None:
        await asyncio.gather(*(etcd.stop(0) for etcd in self._started))
        if self._session is not None:
            await self._session.close()


class EtcdProcess:
    """One container: an entrypoint, then a process."""

    def __init__(self, runtime: ProcessRuntime, launch: Launch) -> None:
        self._runtime = runtime
        self._launch = launch
        self._spec: EtcdSpec = read_spec(launch)
        volume = next(iter(launch.volumes.values()), str(launch.pod["metadata"]["uid"]))
        self._data = runtime.folder_of(volume) / "data"
        self._process: asyncio.subprocess.Process | None = None
        self._ending = Ending()
        self._life = runtime.tasks.spawn(self._live(), f"etcd process {launch.pod_name}")

    async def wait(self) -> Exit:
        return await self._ending.wait()

    async def is_healthy(self) -> bool:
        """As `etcdctl endpoint health`: a linearizable read of a key."""
        try:
            status, _, _ = await self._ask(self._launch.address, "/v3/kv/range", {"key": "aGVhbHRo"})
        except ConnectionError:
            return False
        return status == 200

    async def stop(self, grace: float) -> None:
        process = self._process
        if process is None:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)
            self._ending.come(Exit(KILLED))
        elif process.returncode is None:
            await self._end(process, gently=grace > 0)

    async def _end(self, process: asyncio.subprocess.Process, *, gently: bool) -> None:
        if gently:
            process.terminate()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._ending.wait()
            except TimeoutError:
                process.kill()
        else:
            process.kill()
        await process.wait()
        await self._ending.wait()

    # --- its life ---

    async def _live(self) -> None:
        try:
            self._ending.come(await self._run())
        finally:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
            self._ending.come(Exit(KILLED))

    async def _run(self) -> Exit:
        flags = await self._entrypoint()
        if isinstance(flags, Exit):
            return flags
        self._data.parent.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            self._runtime.program,
            *flags,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={},
            limit=LINE_LIMIT,
        )
        self._process = process
        if process.stderr is not None:
            async for line in process.stderr:
                self._launch.log(line.decode("utf-8", "replace").rstrip("\n"))
        code = await process.wait()
        return Exit(code if code >= 0 else 128 - code)

    async def _entrypoint(self) -> list[str] | Exit:
        """The flags to start with, or how the entrypoint ends instead."""
        spec, pod = self._spec, (self._launch.namespace, self._launch.pod_name)
        has_data = (self._data / "member").exists()
        if has_data or pod in self._runtime.founding:
            self._runtime.founding.discard(pod)
            return self._flags(spec.initial_cluster, "existing" if has_data else "new")
        if spec.state == "new" or spec.family is Family.PLAIN:
            return self._flags(spec.initial_cluster, spec.state)
        members = await self._add_itself()
        return members if isinstance(members, Exit) else self._flags(members, "existing")

    def _flags(self, members: dict[str, str], state: str) -> list[str]:
        own = self._launch.address
        given = {
            "name": self._spec.name,
            "data-dir": str(self._data),
            "listen-client-urls": f"http://{own}:2379",
            "advertise-client-urls": f"http://{own}:2379",
            "listen-peer-urls": f"http://{own}:2380",
            "initial-advertise-peer-urls": self._spec.peer_url,
            "initial-cluster": ",".join(f"{name}={url}" for name, url in members.items()),
            "initial-cluster-state": state,
            "initial-cluster-token": self._spec.token,
            "logger": "zap",
            "log-outputs": "stderr",
        }
        return [f"--{name}={value}" for name, value in given.items()]

    async def _add_itself(self) -> dict[str, str] | Exit:
        """What the Milvus image does with an empty disk: register as a voter through any healthy endpoint."""
        for url in sorted(self._spec.other_urls):
            address = url.partition("://")[2].rpartition(":")[0]
            try:
                status, _, _ = await self._runtime.request(address, "GET", "/health", b"")
            except ConnectionError:
                continue
            if status == 200:
                return await self._register(address)
        self._launch.log("etcd WARN  ==> No active endpoints in cluster, wait 10s, and restart the pod")
        await self._runtime.clock.sleep(10)
        return Exit(1)

    async def _register(self, address: str) -> dict[str, str] | Exit:
        own = self._spec.peer_url
        status, _, body = await self._ask(address, "/v3/cluster/member/list", {})
        if status == 200 and any(own in m["peerURLs"] for m in json.loads(body)["members"]):
            self._launch.log(
                "Env file not found. If it's not an initial member, fix mannually by [etcdctl remove <id>]"
            )
            return self._spec.initial_cluster
        status, _, body = await self._ask(address, "/v3/cluster/member/add", {"peerURLs": [own]})
        answer = json.loads(body)
        if status != 200:
            self._launch.log(f"Error: {answer.get('message')}")
            return Exit(1)
        return {m.get("name") or self._spec.name: m["peerURLs"][0] for m in answer["members"]}

    async def _ask(self, address: str, path: str, body: dict[str, Any]) -> Answer:
        return await self._runtime.request(address, "POST", path, json.dumps(body).encode())
