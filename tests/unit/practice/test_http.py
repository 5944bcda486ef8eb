"""The practice server on its socket: faults, the record of requests, streams that end, and kubectl."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from remediator.model.objects import POD
from remediator.practice.apiserver import ApiError, ApiServer
from remediator.practice.faults import Answer
from remediator.practice.http import Fault, PracticeServer, SeenRequest
from remediator.practice.resources import CONFIG_MAP
from remediator.practice.routing import Router
from remediator.practice.subresources import no_previous_log

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PODS = "/api/v1/namespaces/milvus/pods"
MAPS = "/api/v1/namespaces/milvus/configmaps"
TOKEN = {"Authorization": "Bearer let-me-in"}
DEADLINE = 10.0


class NoonClock:
    """It is always noon, and whoever sleeps sleeps a moment of the loop's own time at most."""

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.02))


class Logs:
    def read(self, namespace: str, pod: str, container: str, previous: bool) -> str:
        if previous:
            raise no_previous_log(container, pod)
        return "".join(f"{namespace}/{pod}/{container} {n}\n" for n in range(4))


@dataclass
class World:
    api: ApiServer
    server: PracticeServer
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        async with self.session.request(method, self.server.base_url + path, headers=TOKEN, **options) as answer:
            return answer.status, await answer.text()

    def spoil(self, answer: Answer, **options: Any) -> None:
        self.server.faults.append(Fault(lambda seen: seen.verb == "patch", answer, **options))


def stocked() -> ApiServer:
    numbers = itertools.count()
    api = ApiServer(NoonClock(), lambda word: f"{word}-{next(numbers)}")
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "milvus"}})
    containers = [{"name": "etcd", "image": "i"}, {"name": "metrics", "image": "i"}]
    spec = {"nodeName": "n1", "containers": containers}
    api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "e-0"}, "spec": spec}, namespace="milvus")
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}, namespace="milvus")
    return api


@pytest.fixture
async def world() -> AsyncIterator[World]:
    api = stocked()
    server = PracticeServer(api, tokens=["let-me-in"], logs=Logs(), clock=NoonClock())
    await server.start()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE)) as session:
        yield World(api, server, session)
    await server.stop()


def patch(value: str) -> dict[str, Any]:
    return {"data": json.dumps({"data": {"k": value}}).encode()}


async def write(world: World, value: str) -> tuple[int, str]:
    headers = {**TOKEN, "Content-Type": "application/merge-patch+json"}
    url = f"{world.server.base_url}{MAPS}/a"
    async with world.session.patch(url, headers=headers, **patch(value)) as answer:
        return answer.status, await answer.text()


# --- the record --------------------------------------------------------------------------------------------


async def test_every_request_is_on_the_record(world: World) -> None:
    """Who asked what, with which body, and what was answered."""
    body = {"preconditions": {"uid": "x"}, "dryRun": ["All"]}
    await world.ask("GET", f"{PODS}/e-0/log", params={"container": "etcd"})
    await world.ask("DELETE", f"{PODS}/e-0", json=body)

    log, delete = world.server.requests
    assert (log.verb, log.resource, log.subresource, log.query) == ("get", "pods", "log", {"container": "etcd"})
    assert delete == SeenRequest(
        at=NOON,
        verb="delete",
        method="DELETE",
        path=f"{PODS}/e-0",
        query={},
        resource="pods",
        subresource="",
        namespace="milvus",
        name="e-0",
        body=body,
        content_type="application/json",
        dry_run=True,
        code=409,
    )


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", PODS, "list"),
        ("GET", f"{PODS}?watch=true&timeoutSeconds=0", "watch"),
        ("POST", MAPS, "create"),
        ("PUT", f"{MAPS}/a", "update"),
        ("DELETE", MAPS, "deletecollection"),
        ("GET", "/apis", "get"),
        ("GET", "/api/v1/namespaces", "list"),
        ("GET", "/api/v1/namespaces/milvus", "get"),
    ],
)
async def test_verbs_are_those_of_an_audit_log(world: World, method: str, path: str, verb: str) -> None:
    """The verb follows from the method, the path and the query."""
    await world.ask(method, path)

    assert [seen.verb for seen in world.server.requests] == [verb]


async def test_a_collection_is_never_deleted(world: World) -> None:
    """405, and everything is still there."""
    status, _ = await world.ask("DELETE", PODS)

    assert (status, len(world.api.list(POD, "milvus"))) == (405, 1)


async def test_strangers_change_nothing(world: World) -> None:
    """Without a token 401, on the record, and nothing was done."""
    async with world.session.delete(f"{world.server.base_url}{PODS}/e-0") as answer:
        assert (answer.status, (await answer.json())["kind"]) == (401, "Status")

    assert [(seen.verb, seen.code) for seen in world.server.requests] == [("delete", 401)]
    assert "deletionTimestamp" not in world.api.get(POD, "milvus", "e-0")["metadata"]


# --- faults ------------------------------------------------------------------------------------------------


async def test_a_fault_answers_instead_of_acting_as_often_as_it_says(world: World) -> None:
    """500 twice, nothing done; then the server is well again."""
    world.spoil(500, times=2)
    codes = [(await write(world, str(n)))[0] for n in range(3)]

    assert codes == [500, 500, 200]
    assert world.api.get(CONFIG_MAP, "milvus", "a")["data"] == {"k": "2"}


async def test_a_fault_may_speak_for_itself(world: World) -> None:
    """A proxy's HTML page, or a Retry-After."""
    world.spoil(502, body="<html>bad gateway</html>", headers={"Content-Type": "text/html"})
    world.spoil(429, headers={"Retry-After": "7"})
    assert await write(world, "1") == (502, "<html>bad gateway</html>")

    headers = {**TOKEN, "Content-Type": "application/merge-patch+json"}
    async with world.session.patch(f"{world.server.base_url}{MAPS}/a", headers=headers, **patch("1")) as answer:
        status = await answer.json()
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert (status["kind"], status["reason"], status["code"]) == ("Status", "TooManyRequests", 429)


async def test_a_reset_does_nothing(world: World) -> None:
    """The connection is cut before anything is done; the record says code 0."""
    world.spoil("reset")
    with pytest.raises(aiohttp.ClientError):
        await write(world, "1")

    assert "data" not in world.api.get(CONFIG_MAP, "milvus", "a")
    assert [seen.code for seen in world.server.requests] == [0]


async def test_an_answer_can_be_lost_after_the_change(world: World) -> None:
    """The change is there and the client is told nothing."""
    world.spoil("applied_then_reset")
    with pytest.raises(aiohttp.ClientError):
        await write(world, "1")

    assert world.api.get(CONFIG_MAP, "milvus", "a")["data"] == {"k": "1"}


async def test_a_hanging_answer_ends_with_the_server(world: World) -> None:
    """Nobody waits for ever: stopping cuts what hangs."""
    reached = asyncio.Event()

    def is_patch(seen: SeenRequest) -> bool:
        reached.set()
        return seen.verb == "patch"

    world.server.faults.append(Fault(is_patch, "hang"))
    asking = asyncio.ensure_future(write(world, "1"))
    async with asyncio.timeout(DEADLINE):
        await reached.wait()
        await world.server.stop()
        with pytest.raises(aiohttp.ClientError):
            await asking

    assert "data" not in world.api.get(CONFIG_MAP, "milvus", "a")


# --- watches -----------------------------------------------------------------------------------------------


async def watching(world: World, **query: str) -> aiohttp.ClientResponse:
    params = {"watch": "true", **query}
    return await world.session.get(world.server.base_url + MAPS, headers=TOKEN, params=params)


async def line(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    return dict(json.loads(await stream.content.readline()))


async def test_a_quiet_watch_is_given_bookmarks(world: World) -> None:
    """Only on request, and with the version that the watch has reached."""
    async with await watching(world, resourceVersion="1", allowWatchBookmarks="true") as stream:
        first, second = await line(stream), await line(stream)

    assert first["type"] == "ADDED"
    assert second["type"] == "BOOKMARK"
    assert second["object"]["metadata"]["resourceVersion"] == str(world.api.resource_version)


async def test_a_watch_of_a_forgotten_version_is_told_so(world: World) -> None:
    """An ERROR event with a 410 Status, and then the end."""
    world.server.compact()
    async with await watching(world, resourceVersion="1") as stream:
        event, rest = await line(stream), await stream.read()

    assert (stream.status, event["type"], event["object"]["code"]) == (200, "ERROR", 410)
    assert event["object"]["reason"] == "Expired"
    assert rest == b""


async def test_a_page_of_a_forgotten_list_is_told_so(world: World) -> None:
    """410: the list has to be read again from its beginning."""
    _, text = await world.ask("GET", "/api/v1/namespaces", params={"limit": "1"})
    token = json.loads(text)["metadata"]["continue"]
    world.server.compact()
    status, answer = await world.ask("GET", "/api/v1/namespaces", params={"limit": "1", "continue": token})

    assert (status, json.loads(answer)["reason"]) == (410, "Expired")


async def test_open_watches_can_be_cut(world: World) -> None:
    """The client sees a broken connection, not an end."""
    async with await watching(world, resourceVersion="0") as stream:
        await line(stream)
        world.server.cut_watches()
        with pytest.raises(aiohttp.ClientError):
            await stream.read()


async def test_a_watch_ends_in_order_when_the_server_stops(world: World) -> None:
    """The stream ends, and the port is free again."""
    async with await watching(world, resourceVersion="0") as stream:
        await line(stream)
        await world.server.stop()
        assert await stream.read() == b""

    port = int(world.server.base_url.rpartition(":")[2])
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
    assert port < 32768


# --- logs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"container": "etcd", "tailLines": "1"}, 200, "milvus/e-0/etcd 3\n"),
        ({"container": "etcd", "tailLines": "2", "limitBytes": "6"}, 200, "milvus"),
        ({"container": "etcd", "tailLines": "0"}, 200, ""),
        ({"container": "etcd", "previous": "true"}, 400, 'previous terminated container "etcd" in pod "e-0" not found'),
        ({}, 400, "a container name must be specified for pod e-0, choose one of: [etcd metrics]"),
        ({"container": "nobody"}, 400, "container nobody is not valid for pod e-0"),
    ],
)
async def test_logs_are_cut_and_refused_as_the_real_ones(
    world: World, query: dict[str, str], status: int, said: str
) -> None:
    """Text on success, a Status on refusal."""
    code, text = await world.ask("GET", f"{PODS}/e-0/log", params=query)

    assert (code, text if code == 200 else json.loads(text)["message"]) == (status, said)


# --- without a socket, and with kubectl ---------------------------------------------------------------------


def test_the_router_needs_no_socket() -> None:
    """A simulation asks it directly and gets the same answers."""
    router = Router(stocked(), Logs(), NoonClock())
    found = router.respond("GET", f"{PODS}/e-0")
    gone = router.respond("DELETE", f"{MAPS}/a", body=b'{"preconditions":{"uid":"other"}}')

    assert (found.status, json.loads(found.body)["metadata"]["name"]) == (200, "e-0")
    assert (gone.status, json.loads(gone.body)["reason"]) == (409, "Conflict")


async def kubectl(world: World, home: Path, *words: str) -> tuple[int, str]:
    """kubectl sends no token over plain HTTP, so the door is open for it."""
    world.server.open_door = True
    options = [f"--server={world.server.base_url}", f"--cache-dir={home}", "--namespace=milvus"]
    environment = {**os.environ, "KUBECONFIG": str(home / "none")}
    process = await asyncio.create_subprocess_exec(
        "kubectl", *options, *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.real("kubectl")
async def test_kubectl_takes_it_for_a_cluster(world: World, tmp_path: Path) -> None:
    """get, describe, logs, can-i, patch and delete work as an operator expects."""
    _, table = await kubectl(world, tmp_path, "get", "pods")
    described, text = await kubectl(world, tmp_path, "describe", "pod", "e-0")
    _, log = await kubectl(world, tmp_path, "logs", "e-0", "-c", "etcd", "--tail=1")
    _, allowed = await kubectl(world, tmp_path, "auth", "can-i", "delete", "pods")
    patched, _ = await kubectl(world, tmp_path, "patch", "cm", "a", "--type=merge", "-p", '{"data":{"k":"v"}}')
    deleted, _ = await kubectl(world, tmp_path, "delete", "cm", "a")
    missing, why = await kubectl(world, tmp_path, "get", "pod", "none")

    assert [row.split() for row in table.splitlines()] == [
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE"],
        ["e-0", "0/2", "Pending", "0", "0s"],
    ]
    assert (described, text.splitlines()[0].split()) == (0, ["Name:", "e-0"])
    assert (log, allowed.strip()) == ("milvus/e-0/etcd 3\n", "yes")
    assert (patched, deleted, world.api.list(CONFIG_MAP, "milvus")) == (0, 0, [])
    assert (missing, why.strip()) == (1, 'Error from server (NotFound): pods "none" not found')


def test_an_error_is_a_whole_status() -> None:
    """What a client library parses is all there."""
    error = ApiError(409, "Conflict", "why", {"name": "a", "kind": "pods"})

    assert error.as_status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "why",
        "reason": "Conflict",
        "details": {"name": "a", "kind": "pods"},
        "code": 409,
    }
