"""
What this service takes for granted about a Kubernetes API server, in plain HTTP and JSON.

Every claim is put to `api`, which is a base URL, a token and a fresh namespace: today that of the practice cluster.
Nothing here knows how the server is made, so the same claims hold a real kube-apiserver to account.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from remediator.practice.apiserver import ApiServer
from remediator.practice.http import PracticeServer
from remediator.practice.subresources import no_previous_log

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
DEADLINE = 10.0


@dataclass(frozen=True)
class Api:
    """A server to ask, and a namespace of one's own to ask it in."""

    base_url: str
    token: str
    session: aiohttp.ClientSession
    namespace: str = ""

    @property
    def core(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    @property
    def apps(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}"

    async def ask(
        self, method: str, path: str, body: Any = None, *, content: str = "application/json", **query: str
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = content
        url = self.base_url + path
        async with self.session.request(method, url, data=data, headers=headers, params=query) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())

    async def made(self, path: str, manifest: dict[str, Any]) -> dict[str, Any]:
        status, created = await self.ask("POST", path, manifest)
        assert status == 201, created
        return dict(created)

    async def watch(self, path: str, **query: str) -> aiohttp.ClientResponse:
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self.session.get(self.base_url + path, headers=headers, params={"watch": "true", **query})


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class TwoLines:
    def read(self, namespace: str, pod: str, container: str, previous: bool) -> str:
        if previous:
            raise no_previous_log(container, pod)
        return "first\nsecond\n"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """The practice server; or the one that REMEDIATOR_TEST_API names, with the token in REMEDIATOR_TEST_API_TOKEN."""
    named = os.environ.get("REMEDIATOR_TEST_API")
    async with _named(named) if named else _practice() as found:
        yield found


@asynccontextmanager
async def _named(url: str) -> AsyncIterator[Api]:
    token = os.environ["REMEDIATOR_TEST_API_TOKEN"]
    connector = aiohttp.TCPConnector(ssl=False)  # a server of the tests' own, on loopback, with its own certificate
    async with aiohttp.ClientSession(connector=connector) as session:
        whole = Api(url, token, session)
        home = await whole.made("/api/v1/namespaces", {"metadata": {"generateName": "contract-"}})
        name = home["metadata"]["name"]
        yield Api(url, token, session, name)
        await whole.ask("DELETE", f"/api/v1/namespaces/{name}")


@asynccontextmanager
async def _practice() -> AsyncIterator[Api]:
    numbers = itertools.count()
    clock = WallClock()
    server = PracticeServer(
        ApiServer(clock, lambda word: f"{word}-{next(numbers)}"), tokens=["let-me-in"], logs=TwoLines(), clock=clock
    )
    await server.start()
    async with aiohttp.ClientSession() as session:
        whole = Api(server.base_url, "let-me-in", session)
        home = await whole.made("/api/v1/namespaces", {"metadata": {"generateName": "contract-"}})
        yield Api(server.base_url, "let-me-in", session, home["metadata"]["name"])
    await server.stop()


def config_map(name: str, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **meta}, "data": {"a": "1"}}


def pod(name: str, *, node: str = "", **labels: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}]}
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def stateful_set(name: str, replicas: int = 3) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def names(listed: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


# --- identity and versions ---------------------------------------------------------------------------------


async def test_a_new_object_is_given_its_identity(api: Api) -> None:
    """Creation answers 201 with a uid, a version and a time, whatever the client wrote there."""
    made = await api.made(f"{api.core}/configmaps", config_map("a", uid="mine", creationTimestamp=None))
    status, found = await api.ask("GET", f"{api.core}/configmaps/a")

    assert (status, found) == (200, made)
    assert (made["kind"], made["apiVersion"], made["metadata"]["namespace"]) == ("ConfigMap", "v1", api.namespace)
    assert made["metadata"]["uid"] not in ("", "mine")
    assert made["metadata"]["resourceVersion"]
    assert made["metadata"]["creationTimestamp"].endswith("Z")


async def test_a_name_is_generated_from_its_prefix(api: Api) -> None:
    """Two objects of one generateName are two objects."""
    first = await api.made(f"{api.core}/configmaps", {"metadata": {"generateName": "run-"}})
    second = await api.made(f"{api.core}/configmaps", {"metadata": {"generateName": "run-"}})

    assert first["metadata"]["name"].startswith("run-")
    assert first["metadata"]["name"] != second["metadata"]["name"]


async def test_a_name_is_taken_once(api: Api) -> None:
    """The second object of a name is refused with AlreadyExists."""
    await api.made(f"{api.core}/configmaps", config_map("a"))
    status, answer = await api.ask("POST", f"{api.core}/configmaps", config_map("a"))

    assert (status, answer["reason"]) == (409, "AlreadyExists")
    assert answer["message"] == 'configmaps "a" already exists'


async def test_what_is_absent_is_named_in_the_answer(api: Api) -> None:
    """A 404 is a Status that says which resource and which name."""
    status, answer = await api.ask("GET", f"{api.apps}/statefulsets/none")

    assert status == 404
    assert answer["kind"] == "Status"
    assert answer["reason"] == "NotFound"
    assert answer["message"] == 'statefulsets.apps "none" not found'
    assert answer["details"] == {"name": "none", "group": "apps", "kind": "statefulsets"}


async def test_an_unknown_resource_is_not_found(api: Api) -> None:
    """A kind that is not served is a 404 too, with a Status."""
    status, _ = await api.ask("GET", f"/apis/nobody.example.com/v1/namespaces/{api.namespace}/things")

    assert status == 404


async def test_nothing_is_created_in_a_namespace_that_is_not_there(api: Api) -> None:
    """The namespace has to exist first."""
    status, answer = await api.ask("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("a"))

    assert (status, answer["message"]) == (404, 'namespaces "nowhere" not found')


async def test_generation_counts_changes_of_the_spec_only(api: Api) -> None:
    """A change of replicas counts; a label and a status do not; each is a new version."""
    path = f"{api.apps}/statefulsets/db"
    made = await api.made(f"{api.apps}/statefulsets", stateful_set("db"))
    _, scaled = await api.ask("PATCH", path, {"spec": {"replicas": 2}}, content=MERGE)
    _, labelled = await api.ask("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, content=MERGE)
    _, reported = await api.ask("PATCH", f"{path}/status", {"status": {"replicas": 2}}, content=MERGE)

    seen = [made, scaled, labelled, reported]
    assert [m["metadata"]["generation"] for m in seen] == [1, 2, 2, 2]
    assert len({m["metadata"]["resourceVersion"] for m in seen}) == 4


async def test_a_change_that_changes_nothing_is_no_new_version(api: Api) -> None:
    """The same patch twice leaves the version of the first."""
    await api.made(f"{api.core}/configmaps", config_map("a"))
    path, change = f"{api.core}/configmaps/a", {"data": {"a": "2"}}
    _, first = await api.ask("PATCH", path, change, content=MERGE)
    _, second = await api.ask("PATCH", path, change, content=MERGE)

    assert first == second


# --- optimistic concurrency --------------------------------------------------------------------------------


async def test_an_update_of_a_stale_version_is_refused(api: Api) -> None:
    """PUT with an old resourceVersion is a Conflict and changes nothing."""
    path = f"{api.core}/configmaps/a"
    old = await api.made(f"{api.core}/configmaps", config_map("a"))
    _, current = await api.ask("PATCH", path, {"data": {"a": "2"}}, content=MERGE)
    status, answer = await api.ask("PUT", path, {**old, "data": {"a": "3"}})

    assert (status, answer["reason"]) == (409, "Conflict")
    assert answer["message"].startswith('Operation cannot be fulfilled on configmaps "a": the object has been modified')
    assert await api.ask("GET", path) == (200, current)


async def test_an_update_of_another_incarnation_is_refused(api: Api) -> None:
    """PUT with a uid that is not the live one is a Conflict."""
    old = await api.made(f"{api.core}/configmaps", config_map("a"))
    other = {**old, "metadata": {**old["metadata"], "uid": "00000000-0000-0000-0000-000000000000"}}
    status, answer = await api.ask("PUT", f"{api.core}/configmaps/a", other)

    assert (status, answer["reason"]) == (409, "Conflict")
    assert "Precondition failed: UID in precondition" in answer["message"]


@pytest.mark.parametrize("content", [MERGE, STRATEGIC])
async def test_a_patch_may_carry_the_version_it_was_made_for(api: Api, content: str) -> None:
    """A resourceVersion in a patch is a precondition: the live one passes, a stale one is a Conflict."""
    path = f"{api.core}/configmaps/a"
    old = await api.made(f"{api.core}/configmaps", config_map("a"))
    version = {"resourceVersion": old["metadata"]["resourceVersion"]}
    first, _ = await api.ask("PATCH", path, {"metadata": version, "data": {"a": "2"}}, content=content)
    second, answer = await api.ask("PATCH", path, {"metadata": version, "data": {"a": "3"}}, content=content)

    assert (first, second, answer["reason"]) == (200, 409, "Conflict")


async def test_a_patch_for_another_incarnation_changes_nothing(api: Api) -> None:
    """A uid in a patch that is not the live one is refused; 422 where the version is not given or right."""
    live = await api.made(f"{api.core}/configmaps", config_map("a"))
    path, uid = f"{api.core}/configmaps/a", "00000000-0000-0000-0000-000000000000"
    status, answer = await api.ask("PATCH", path, {"metadata": {"uid": uid}, "data": {"a": "2"}}, content=MERGE)

    assert (status, answer["reason"]) == (422, "Invalid")
    assert "metadata.uid" in answer["message"]
    assert await api.ask("GET", path) == (200, live)


# --- patches -----------------------------------------------------------------------------------------------


async def test_a_merge_patch_removes_with_null_and_replaces_lists(api: Api) -> None:
    """RFC 7386, on a map and on a list of maps."""
    await api.made(f"{api.apps}/statefulsets", stateful_set("db"))
    containers = [{"name": "c", "image": "new"}]
    change = {"spec": {"template": {"spec": {"containers": containers, "restartPolicy": None}}}}
    _, patched = await api.ask("PATCH", f"{api.apps}/statefulsets/db", change, content=MERGE)
    spec = patched["spec"]["template"]["spec"]

    assert [(c["name"], c["image"]) for c in spec["containers"]] == [("c", "new")]
    assert spec["restartPolicy"] == "Always"  # removed, and then defaulted again


async def test_a_strategic_patch_merges_containers_and_env_by_name(api: Api) -> None:
    """Named elements are changed in place, new ones are added, `$patch: delete` takes one away."""
    path = f"{api.apps}/statefulsets/db"
    manifest = stateful_set("db")
    manifest["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "2"},
    ]
    await api.made(f"{api.apps}/statefulsets", manifest)
    env = [{"name": "A", "value": "3"}, {"name": "B", "$patch": "delete"}, {"name": "C", "value": "4"}]
    change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": env}, {"name": "d", "image": "j"}]}}}}
    _, patched = await api.ask("PATCH", path, change, content=STRATEGIC)
    found = {c["name"]: c for c in patched["spec"]["template"]["spec"]["containers"]}

    assert sorted(found) == ["c", "d"]
    assert found["c"]["image"] == "i"
    assert sorted((e["name"], e["value"]) for e in found["c"]["env"]) == [("A", "3"), ("C", "4")]


async def test_a_json_patch_does_all_or_nothing(api: Api) -> None:
    """A failed test operation is 422 and what came before it is undone."""
    path = f"{api.core}/configmaps/a"
    live = await api.made(f"{api.core}/configmaps", config_map("a"))
    change = [
        {"op": "replace", "path": "/data/a", "value": "2"},
        {"op": "test", "path": "/data/a", "value": "1"},
    ]
    status, answer = await api.ask("PATCH", path, change, content=JSON_PATCH)
    assert (status, answer["kind"]) == (422, "Status")
    assert await api.ask("GET", path) == (200, live)

    change[1]["value"] = "2"
    status, patched = await api.ask("PATCH", path, change, content=JSON_PATCH)
    assert (status, patched["data"]) == (200, {"a": "2"})


async def test_a_patch_of_no_known_type_is_refused(api: Api) -> None:
    """415, with a Status."""
    await api.made(f"{api.core}/configmaps", config_map("a"))
    status, answer = await api.ask("PATCH", f"{api.core}/configmaps/a", {"data": {}}, content="text/plain")

    assert (status, answer["reason"]) == (415, "UnsupportedMediaType")


# --- what may not be written -------------------------------------------------------------------------------


async def test_a_stateful_set_keeps_what_made_it(api: Api) -> None:
    """serviceName and volumeClaimTemplates cannot change: 422 and the old object."""
    live = await api.made(f"{api.apps}/statefulsets", stateful_set("db"))
    path = f"{api.apps}/statefulsets/db"
    status, answer = await api.ask("PATCH", path, {"spec": {"serviceName": "other"}}, content=MERGE)

    assert (status, answer["reason"]) == (422, "Invalid")
    assert "updates to statefulset spec for fields other than" in answer["message"]
    assert await api.ask("GET", path) == (200, live)


async def test_on_delete_may_not_keep_a_partition(api: Api) -> None:
    """Switching to OnDelete has to take the defaulted rollingUpdate away in the same patch."""
    path = f"{api.apps}/statefulsets/db"
    await api.made(f"{api.apps}/statefulsets", stateful_set("db"))
    half = {"spec": {"updateStrategy": {"type": "OnDelete"}}}
    whole = {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}}
    refused, answer = await api.ask("PATCH", path, half, content=MERGE)
    accepted, patched = await api.ask("PATCH", path, whole, content=MERGE)

    assert (refused, answer["details"]["causes"][0]["field"]) == (422, "spec.updateStrategy.rollingUpdate")
    assert (accepted, patched["spec"]["updateStrategy"]) == (200, {"type": "OnDelete"})


async def test_the_spec_of_a_pod_is_fixed_but_its_image_is_not(api: Api) -> None:
    """An image may change; an environment may not."""
    await api.made(f"{api.core}/pods", pod("p"))
    path = f"{api.core}/pods/p"
    image = {"spec": {"containers": [{"name": "c", "image": "new"}]}}
    env = {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}]}]}}
    accepted, _ = await api.ask("PATCH", path, image, content=STRATEGIC)
    refused, answer = await api.ask("PATCH", path, env, content=STRATEGIC)

    assert (accepted, refused) == (200, 422)
    assert "pod updates may not change fields" in answer["message"]


async def test_a_status_is_written_only_through_its_subresource(api: Api) -> None:
    """The object's own path ignores a status, and `/status` ignores a spec."""
    await api.made(f"{api.apps}/statefulsets", stateful_set("db"))
    path = f"{api.apps}/statefulsets/db"
    change = {"spec": {"replicas": 5}, "status": {"replicas": 4}}
    _, by_spec = await api.ask("PATCH", path, change, content=MERGE)
    change["spec"]["replicas"] = 6
    _, by_status = await api.ask("PATCH", f"{path}/status", change, content=MERGE)

    assert (by_spec["spec"]["replicas"], by_spec["status"]["replicas"]) == (5, 0)
    assert (by_status["spec"]["replicas"], by_status["status"]["replicas"]) == (5, 4)


async def test_a_body_that_is_no_json_is_a_bad_request(api: Api) -> None:
    """400 and a Status."""
    status, answer = await api.ask("POST", f"{api.core}/configmaps", b"{nonsense")

    assert (status, answer["reason"]) == (400, "BadRequest")


async def test_a_dry_run_answers_and_stores_nothing(api: Api) -> None:
    """Create, patch and delete with dryRun=All leave the server as it was."""
    path = f"{api.core}/configmaps/a"
    status, _ = await api.ask("POST", f"{api.core}/configmaps", config_map("b"), dryRun="All")
    live = await api.made(f"{api.core}/configmaps", config_map("a"))
    _, patched = await api.ask("PATCH", path, {"data": {"a": "2"}}, content=MERGE, dryRun="All")
    deleted, _ = await api.ask("DELETE", path, dryRun="All")

    assert (status, patched["data"], deleted) == (201, {"a": "2"}, 200)
    assert await api.ask("GET", path) == (200, live)
    assert (await api.ask("GET", f"{api.core}/configmaps/b"))[0] == 404


# --- deleting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "shown"), [("uid", "UID"), ("resourceVersion", "ResourceVersion")])
async def test_a_delete_is_held_to_its_preconditions(api: Api, field: str, shown: str) -> None:
    """Another incarnation or version is a Conflict that names both, and the object stays."""
    live = await api.made(f"{api.core}/configmaps", config_map("a"))
    path = f"{api.core}/configmaps/a"
    status, answer = await api.ask("DELETE", path, {"preconditions": {field: "1"}})
    found = live["metadata"][field]

    assert (status, answer["reason"]) == (409, "Conflict")
    assert f"the {shown} in the precondition (1) does not match the {shown} in record ({found})" in answer["message"]
    status, _ = await api.ask("DELETE", path, {"preconditions": {field: found}})
    assert status == 200
    assert (await api.ask("GET", path))[0] == 404


async def test_a_finalizer_holds_an_object_until_it_is_removed(api: Api) -> None:
    """Deleting marks it; no finalizer can be added then; removing the last one ends it."""
    await api.made(f"{api.core}/configmaps", config_map("a", finalizers=["example.com/hold"]))
    path = f"{api.core}/configmaps/a"
    status, held = await api.ask("DELETE", path)
    assert (status, "deletionTimestamp" in held["metadata"]) == (200, True)

    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    refused, _ = await api.ask("PATCH", path, more, content=MERGE)
    again, _ = await api.ask("DELETE", path)
    freed, _ = await api.ask("PATCH", path, {"metadata": {"finalizers": None}}, content=MERGE)
    assert (refused, again, freed) == (422, 200, 200)
    assert (await api.ask("GET", path))[0] == 404


async def test_a_pod_on_a_node_waits_for_its_kubelet(api: Api) -> None:
    """A graceful delete marks it with its grace period; a delete with grace 0 ends it."""
    await api.made(f"{api.core}/pods", pod("p", node="nobody"))
    path = f"{api.core}/pods/p"
    _, marked = await api.ask("DELETE", path, {"gracePeriodSeconds": 7})
    status, found = await api.ask("GET", path)
    assert (status, found["metadata"]["deletionGracePeriodSeconds"]) == (200, 7)
    assert marked["metadata"]["deletionTimestamp"] == found["metadata"]["deletionTimestamp"]

    await api.ask("DELETE", path, {"gracePeriodSeconds": 0})
    assert (await api.ask("GET", path))[0] == 404


async def test_a_pod_on_no_node_goes_at_once(api: Api) -> None:
    """There is no kubelet to wait for."""
    await api.made(f"{api.core}/pods", pod("p"))
    status, _ = await api.ask("DELETE", f"{api.core}/pods/p")

    assert (status, (await api.ask("GET", f"{api.core}/pods/p"))[0]) == (200, 404)


async def test_a_terminating_namespace_takes_nothing_new(api: Api) -> None:
    """403 with the cause NamespaceTerminating while something still holds it."""
    await api.made(f"{api.core}/configmaps", config_map("a", finalizers=["example.com/hold"]))
    await api.ask("DELETE", f"/api/v1/namespaces/{api.namespace}")
    status, answer = await api.ask("POST", f"{api.core}/configmaps", config_map("b"))
    await api.ask("PATCH", f"{api.core}/configmaps/a", {"metadata": {"finalizers": None}}, content=MERGE)

    assert (status, answer["reason"]) == (403, "Forbidden")
    assert answer["details"]["causes"][0]["reason"] == "NamespaceTerminating"


# --- lists and watches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=db", ["a", "b"]),
        ("app=db,role!=leader", ["b"]),
        ("app in (db,web)", ["a", "b", "c"]),
        ("app notin (db)", ["c", "d"]),
        ("role", ["a", "b"]),
        ("!app", ["d"]),
    ],
)
async def test_labels_select(api: Api, selector: str, expected: list[str]) -> None:
    """Equality, sets, presence and absence."""
    labels = {"a": {"app": "db", "role": "leader"}, "b": {"app": "db", "role": "x"}, "c": {"app": "web"}, "d": {}}
    for name, given in labels.items():
        await api.made(f"{api.core}/configmaps", config_map(name, labels=given))
    _, listed = await api.ask("GET", f"{api.core}/configmaps", labelSelector=selector)

    assert sorted(set(names(listed)) - {"kube-root-ca.crt"}) == expected


async def test_fields_select(api: Api) -> None:
    """A pod by its node and phase; an unknown field is a 400, not everything."""
    await api.made(f"{api.core}/pods", pod("here", node="n1"))
    await api.made(f"{api.core}/pods", pod("there", node="n2"))
    path = f"{api.core}/pods"
    _, listed = await api.ask("GET", path, fieldSelector="spec.nodeName=n1,status.phase=Pending")
    status, answer = await api.ask("GET", path, fieldSelector="spec.nonsense=1")

    assert (names(listed), status, answer["reason"]) == (["here"], 400, "BadRequest")


async def test_a_list_says_its_kind_once_and_its_version(api: Api) -> None:
    """Items of a list carry no kind of their own."""
    await api.made(f"{api.core}/pods", pod("p"))
    _, listed = await api.ask("GET", f"{api.core}/pods")

    assert (listed["kind"], listed["apiVersion"], names(listed)) == ("PodList", "v1", ["p"])
    assert int(listed["metadata"]["resourceVersion"]) > 0
    assert "kind" not in listed["items"][0]


async def test_pages_together_are_the_list_of_one_moment(api: Api) -> None:
    """What is created between two pages is on neither."""
    for name in "abcde":
        await api.made(f"{api.core}/pods", pod(name))
    path = f"{api.core}/pods"
    _, first = await api.ask("GET", path, limit="2")
    await api.made(path, pod("cc"))
    _, second = await api.ask("GET", path, **{"limit": "2", "continue": first["metadata"]["continue"]})
    _, third = await api.ask("GET", path, **{"limit": "2", "continue": second["metadata"]["continue"]})

    assert [names(page) for page in (first, second, third)] == [["a", "b"], ["c", "d"], ["e"]]
    assert first["metadata"]["remainingItemCount"] == 3
    assert "continue" not in third["metadata"]


async def test_a_watch_goes_on_from_a_version(api: Api) -> None:
    """What happened after that version comes in order, and so does what happens later."""
    path = f"{api.core}/configmaps"
    made = await api.made(path, config_map("a"))
    await api.ask("PATCH", f"{path}/a", {"data": {"a": "2"}}, content=MERGE)
    stream = await api.watch(path, resourceVersion=made["metadata"]["resourceVersion"])
    await api.ask("DELETE", f"{path}/a")
    async with stream, asyncio.timeout(DEADLINE):
        events = [json.loads(await stream.content.readline()) for _ in range(2)]

    assert [(e["type"], e["object"]["data"]) for e in events] == [("MODIFIED", {"a": "2"}), ("DELETED", {"a": "2"})]
    assert events[0]["object"]["kind"] == "ConfigMap"


async def test_a_watch_without_a_version_begins_with_what_there_is(api: Api) -> None:
    """Existing objects are ADDED, in a selection of its own."""
    await api.made(f"{api.core}/pods", pod("p", app="db"))
    await api.made(f"{api.core}/pods", pod("q"))
    stream = await api.watch(f"{api.core}/pods", labelSelector="app=db")
    async with stream, asyncio.timeout(DEADLINE):
        event = json.loads(await stream.content.readline())

    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "p")


async def test_an_object_that_leaves_a_selection_is_deleted_for_its_watch(api: Api) -> None:
    """Losing the label is DELETED to those who asked for the label."""
    made = await api.made(f"{api.core}/pods", pod("p", app="db"))
    query = {"labelSelector": "app=db", "resourceVersion": made["metadata"]["resourceVersion"]}
    stream = await api.watch(f"{api.core}/pods", **query)
    await api.ask("PATCH", f"{api.core}/pods/p", {"metadata": {"labels": {"app": None}}}, content=MERGE)
    async with stream, asyncio.timeout(DEADLINE):
        event = json.loads(await stream.content.readline())

    assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "p")


async def test_a_watch_ends_when_its_time_is_up(api: Api) -> None:
    """timeoutSeconds ends the stream in good order."""
    stream = await api.watch(f"{api.core}/pods", timeoutSeconds="1")
    async with stream, asyncio.timeout(DEADLINE):
        assert await stream.read() == b""


# --- subresources and reviews ------------------------------------------------------------------------------


async def test_a_scale_is_read_and_written(api: Api) -> None:
    """The scale shows the replicas and the selector; writing it writes the workload."""
    made = await api.made(f"{api.apps}/statefulsets", stateful_set("db", 3))
    path = f"{api.apps}/statefulsets/db/scale"
    _, before = await api.ask("GET", path)
    _, put = await api.ask("PUT", path, {**before, "spec": {"replicas": 2}})
    stale, _ = await api.ask("PUT", path, {**before, "spec": {"replicas": 9}})
    _, patched = await api.ask("PATCH", path, {"spec": {"replicas": 1}}, content=MERGE)
    _, live = await api.ask("GET", f"{api.apps}/statefulsets/db")

    assert (before["kind"], before["spec"], before["status"]["selector"]) == ("Scale", {"replicas": 3}, "app=db")
    assert before["metadata"]["uid"] == made["metadata"]["uid"]
    assert (put["spec"], stale, patched["spec"], live["spec"]["replicas"]) == ({"replicas": 2}, 409, {"replicas": 1}, 1)


async def test_a_disruption_budget_refuses_an_eviction(api: Api) -> None:
    """429 TooManyRequests while the budget allows none; the pod stays."""
    budgets = f"/apis/policy/v1/namespaces/{api.namespace}/poddisruptionbudgets"
    await api.made(f"{api.core}/pods", pod("p", node="nobody", app="db"))
    healthy = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await api.ask("PATCH", f"{api.core}/pods/p/status", {"status": healthy}, content=MERGE)
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "db"}}}
    budget = await api.made(budgets, {"metadata": {"name": "b"}, "spec": spec})
    spent = {
        "observedGeneration": budget["metadata"]["generation"],
        "disruptionsAllowed": 0,
        "currentHealthy": 1,
        "desiredHealthy": 1,
        "expectedPods": 1,
    }
    await api.ask("PATCH", f"{budgets}/b/status", {"status": spent}, content=MERGE)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": api.namespace}}
    status, answer = await api.ask("POST", f"{api.core}/pods/p/eviction", eviction)

    assert (status, answer["reason"]) == (429, "TooManyRequests")
    assert answer["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert (await api.ask("GET", f"{api.core}/pods/p"))[1]["metadata"].get("deletionTimestamp") is None


async def test_an_eviction_without_a_budget_deletes(api: Api) -> None:
    """It is a graceful delete."""
    await api.made(f"{api.core}/pods", pod("p", node="nobody"))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": api.namespace}}
    status, _ = await api.ask("POST", f"{api.core}/pods/p/eviction", eviction)
    _, marked = await api.ask("GET", f"{api.core}/pods/p")

    assert (status, "deletionTimestamp" in marked["metadata"]) == (201, True)


async def test_one_may_ask_for_ones_own_rights(api: Api) -> None:
    """A SelfSubjectAccessReview is answered, not stored."""
    asked = {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": api.namespace}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    status, review = await api.ask(
        "POST", path, {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": asked}
    )

    assert (status, review["status"]["allowed"]) == (201, True)


async def test_without_a_token_nothing_is_told(api: Api) -> None:
    """401 and a Status."""
    stranger = Api(api.base_url, "wrong", api.session, api.namespace)
    status, answer = await stranger.ask("GET", f"{api.core}/pods")

    assert (status, answer["reason"], answer["code"]) == (401, "Unauthorized", 401)


# --- events ------------------------------------------------------------------------------------------------


def event(namespace: str, **meta: str) -> dict[str, Any]:
    about = {"kind": "Pod", "name": "p", "namespace": namespace, "apiVersion": "v1"}
    return {
        "metadata": meta,
        "eventTime": "2026-11-21T03:00:00.000000Z",
        "reportingController": "example.com/remediator",
        "reportingInstance": "one",
        "action": "Remediate",
        "reason": "Started",
        "regarding": about,
        "note": "began",
        "type": "Normal",
    }


async def test_an_event_is_one_thing_in_two_apis(api: Api) -> None:
    """What is written through events.k8s.io is read through core/v1, and found by what it is about."""
    path = f"/apis/events.k8s.io/v1/namespaces/{api.namespace}/events"
    made = await api.made(path, event(api.namespace, name="p.1"))
    _, old = await api.ask("GET", f"{api.core}/events/p.1")
    _, listed = await api.ask(
        "GET", f"{api.core}/events", fieldSelector="involvedObject.name=p,involvedObject.kind=Pod"
    )

    assert (made["regarding"]["name"], made["note"]) == ("p", "began")
    assert (old["involvedObject"]["name"], old["message"], old["reportingComponent"]) == (
        "p",
        "began",
        "example.com/remediator",
    )
    assert names(listed) == ["p.1"]


async def test_an_event_of_the_new_api_may_not_have_a_prefix_with_a_dot(api: Api) -> None:
    """generateName `p.` is 422 there and 201 in core/v1."""
    new = f"/apis/events.k8s.io/v1/namespaces/{api.namespace}/events"
    refused, answer = await api.ask("POST", new, event(api.namespace, generateName="p."))
    about = {"kind": "Pod", "name": "p", "namespace": api.namespace}
    old = {"metadata": {"generateName": "p."}, "involvedObject": about, "reason": "R", "message": "m", "type": "Normal"}
    made = await api.made(f"{api.core}/events", old)

    assert (refused, answer["details"]["causes"][0]["field"]) == (422, "metadata.generateName")
    assert made["metadata"]["name"].startswith("p.")


async def test_an_event_of_the_new_api_says_who_and_what(api: Api) -> None:
    """Without an action it is 422."""
    path = f"/apis/events.k8s.io/v1/namespaces/{api.namespace}/events"
    status, answer = await api.ask("POST", path, {**event(api.namespace, name="p.1"), "action": ""})

    assert (status, answer["details"]["causes"][0]["field"]) == (422, "action")


# --- discovery ---------------------------------------------------------------------------------------------


async def test_discovery_names_what_is_served(api: Api) -> None:
    """Groups, their versions, and the subresources of a kind."""
    _, core = await api.ask("GET", "/api")
    _, groups = await api.ask("GET", "/apis")
    _, apps = await api.ask("GET", "/apis/apps/v1")
    found = {r["name"]: r for r in apps["resources"]}

    assert core["versions"] == ["v1"]
    assert {"apps", "batch", "policy", "events.k8s.io"} <= {g["name"] for g in groups["groups"]}
    assert (found["statefulsets"]["kind"], found["statefulsets"]["namespaced"]) == ("StatefulSet", True)
    assert (found["statefulsets/scale"]["group"], found["statefulsets/scale"]["kind"]) == ("autoscaling", "Scale")
