"""The API server's objects, without HTTP: what controllers and simulations lean on."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remediator.model.objects import CLAIM, EVENT, NAMESPACE, POD, STATEFUL_SET, VOLUME, ResourceType
from remediator.practice.apiserver import ApiError, ApiServer
from remediator.practice.resources import CONFIG_MAP, CORE_EVENT

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class StillClock:
    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - NOON).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def server(**options: int) -> ApiServer:
    numbers = itertools.count()
    api = ApiServer(StillClock(), lambda word: f"{word}-{next(numbers)}", **options)
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "milvus"}})
    return api


@pytest.fixture
def api() -> ApiServer:
    return server()


def pod(name: str, *, node: str = "", **meta: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": "etcd", "image": "etcd:1"}]}
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "milvus", **meta}, "spec": spec}


def config_map(name: str, **meta: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "milvus", **meta}}


def news(api: ApiServer) -> list[str]:
    """Everything told from now on, as `ADDED Pod a`."""
    told: list[str] = []

    def note(change: str, resource: ResourceType, manifest: dict[str, Any]) -> None:
        told.append(f"{change} {resource.kind} {manifest['metadata']['name']}")

    api.subscribe(note)
    return told


def test_two_servers_with_the_same_ids_and_clock_are_the_same() -> None:
    """A simulation can be run again: uids, generated names and versions come from what was injected."""
    one, other = server(), server()
    made = [a.create({**pod(""), "metadata": {"generateName": "p-", "namespace": "milvus"}}) for a in (one, other)]

    assert made[0] == made[1]
    assert made[0]["metadata"]["creationTimestamp"] == "2026-11-21T12:00:00Z"


def test_what_is_handed_out_is_a_copy(api: ApiServer) -> None:
    """Nobody can change the store by changing what they got from it, or what it was given."""
    given = pod("a", labels={"x": "1"})
    api.create(given)
    for held in (given, api.get(POD, "milvus", "a"), api.list(POD)[0]):
        held["metadata"]["labels"]["x"] = "2"

    assert api.get(POD, "milvus", "a")["metadata"]["labels"] == {"x": "1"}


def test_subscribers_hear_every_change_in_order(api: ApiServer) -> None:
    """Creation, change and end, each once; a dry run is not heard."""
    told = news(api)
    api.create(config_map("a"))
    api.create(config_map("b"), dry_run=True)
    api.patch(CONFIG_MAP, "milvus", "a", {"data": {"k": "v"}}, kind="merge")
    api.patch(CONFIG_MAP, "milvus", "a", {"data": {"k": "v"}}, kind="merge")
    api.delete(CONFIG_MAP, "milvus", "a")

    assert told == ["ADDED ConfigMap a", "MODIFIED ConfigMap a", "DELETED ConfigMap a"]


def test_what_a_subscriber_causes_is_told_after_its_cause_to_everyone(api: ApiServer) -> None:
    """A controller that writes while it is told does not reorder the world for the next one."""

    def copy_a_to_b(change: str, resource: ResourceType, manifest: dict[str, Any]) -> None:
        if manifest["metadata"]["name"] == "a":
            api.create(config_map("b"))

    api.subscribe(copy_a_to_b)
    told = news(api)
    api.create(config_map("a"))

    assert told == ["ADDED ConfigMap a", "ADDED ConfigMap b"]


def test_a_namespace_empties_itself_and_goes(api: ApiServer) -> None:
    """What holds nothing goes with the delete; the namespace goes with the last of its contents."""
    api.create(config_map("free"))
    api.create(pod("on-node", node="n1"))
    told = news(api)
    waiting = api.delete(NAMESPACE, "", "milvus")
    assert waiting["status"]["phase"] == "Terminating"
    assert [p["metadata"]["name"] for p in api.list(POD, "milvus")] == ["on-node"]

    api.delete(POD, "milvus", "on-node", grace_seconds=0)
    assert told == [
        "MODIFIED Namespace milvus",
        "DELETED ConfigMap free",
        "MODIFIED Pod on-node",
        "DELETED Pod on-node",
        "DELETED Namespace milvus",
    ]


def test_the_namespaces_of_the_system_stay(api: ApiServer) -> None:
    """Deleting kube-system is refused."""
    with pytest.raises(ApiError) as refused:
        api.delete(NAMESPACE, "", "kube-system")

    assert refused.value.status == 403


def test_a_grace_period_that_runs_can_only_be_shortened(api: ApiServer) -> None:
    """A second ordinary delete changes nothing; a shorter one does."""
    api.create(pod("a", node="n1"))
    first = api.delete(POD, "milvus", "a")
    same = api.delete(POD, "milvus", "a")
    longer = api.delete(POD, "milvus", "a", grace_seconds=60)
    shorter = api.delete(POD, "milvus", "a", grace_seconds=5)

    assert first["metadata"]["deletionTimestamp"] == "2026-11-21T12:00:30Z"
    assert first == same == longer
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5


def test_a_pod_that_has_ended_is_not_waited_for(api: ApiServer) -> None:
    """A succeeded pod goes at once although it has a node."""
    made = api.create(pod("a", node="n1"))
    api.update({**made, "status": {"phase": "Succeeded"}}, subresource="status")
    api.delete(POD, "milvus", "a")

    assert api.list(POD) == []


def test_a_finalizer_outlasts_a_forced_delete(api: ApiServer) -> None:
    """Grace 0 ends the waiting for the kubelet, not the finalizer."""
    api.create(pod("a", node="n1", finalizers=["example.com/hold"]))
    api.delete(POD, "milvus", "a", grace_seconds=0)
    assert api.get(POD, "milvus", "a")["metadata"]["deletionGracePeriodSeconds"] == 0

    last = api.patch(POD, "milvus", "a", {"metadata": {"finalizers": []}}, kind="merge")
    assert (last["metadata"].get("finalizers"), api.list(POD)) == ([], [])


def test_removing_a_finalizer_does_not_end_a_grace_period(api: ApiServer) -> None:
    """The kubelet has not said yet that the containers have stopped."""
    api.create(pod("a", node="n1", finalizers=["example.com/hold"]))
    api.delete(POD, "milvus", "a")
    api.patch(POD, "milvus", "a", {"metadata": {"finalizers": None}}, kind="merge")

    assert "deletionTimestamp" in api.get(POD, "milvus", "a")["metadata"]


def test_a_client_cannot_lift_a_deletion(api: ApiServer) -> None:
    """Metadata that the server owns survives an update that leaves it out."""
    api.create(config_map("a", finalizers=["example.com/hold"]))
    waiting = api.delete(CONFIG_MAP, "milvus", "a")
    kept = api.update(config_map("a", finalizers=["example.com/hold"]))

    assert kept == waiting


def test_a_pod_is_bound_to_its_node_once(api: ApiServer) -> None:
    """The first nodeName is accepted, another one is not."""
    api.create(pod("a"))
    api.patch(POD, "milvus", "a", {"spec": {"nodeName": "n1"}}, kind="merge")
    with pytest.raises(ApiError) as refused:
        api.patch(POD, "milvus", "a", {"spec": {"nodeName": "n2"}}, kind="merge")

    assert (refused.value.status, api.get(POD, "milvus", "a")["spec"]["nodeName"]) == (422, "n1")


def test_newborn_objects_have_the_status_of_newborns(api: ApiServer) -> None:
    """A status that is sent along is not believed."""
    made = api.create({**pod("a"), "status": {"phase": "Running"}})
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "milvus"}}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}}

    assert made["status"] == {"phase": "Pending"}
    assert api.create(claim)["status"] == {"phase": "Pending"}
    assert api.create(volume)["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert (api.list(CLAIM)[0]["spec"]["volumeMode"], len(api.list(VOLUME))) == ("Filesystem", 1)


def test_a_stateful_set_is_completed_as_the_real_server_does(api: ApiServer) -> None:
    """Everything a rollout depends on has its default in the stored object."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"serviceName": "s", "selector": {"matchLabels": {"a": "b"}}, "template": template}
    meta = {"name": "s", "namespace": "milvus"}
    made = api.create({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec})["spec"]

    assert made["replicas"] == 1
    assert made["podManagementPolicy"] == "OrderedReady"
    assert made["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert made["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert api.get(STATEFUL_SET, "milvus", "s")["spec"] == made


@pytest.mark.parametrize(
    ("manifest", "status", "said"),
    [
        ({"apiVersion": "v1", "kind": "Nothing", "metadata": {"name": "a"}}, 404, "could not find"),
        (config_map("Not_A_Name"), 422, "metadata.name"),
        (config_map("a", resourceVersion="1"), 400, "resourceVersion should not be set"),
        (config_map("a", labels={"x": "not a value!"}), 422, "metadata.labels"),
        (config_map("a", labels={"x": 1}), 400, "metadata.labels.x"),
        (config_map("a", namespace=""), 400, "an empty namespace"),
        ({**pod("a"), "spec": {}}, 422, "spec.containers: Required value"),
        ({**config_map("a"), "metadata": "text"}, 400, "metadata"),
    ],
)
def test_what_the_real_server_refuses_is_refused(
    api: ApiServer, manifest: dict[str, Any], status: int, said: str
) -> None:
    """With its code, and nothing is stored."""
    before = api.resource_version
    with pytest.raises(ApiError, match=said) as refused:
        api.create(manifest)

    assert (refused.value.status, api.resource_version) == (status, before)


def test_an_event_about_another_namespace_is_refused(api: ApiServer) -> None:
    """It has to lie where its object lies."""
    about = {"kind": "Pod", "name": "a", "namespace": "default"}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "milvus"}}
    with pytest.raises(ApiError, match=r"does not match event\.namespace"):
        api.create({**event, "involvedObject": about})


def test_an_event_is_told_as_it_is_stored_and_listed_as_it_is_asked(api: ApiServer) -> None:
    """One storage, two views: subscribers hear core/v1."""
    told = news(api)
    about = {"kind": "Pod", "name": "a", "namespace": "milvus"}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "milvus"}}
    api.create({**event, "involvedObject": about, "message": "m"})

    assert told == ["ADDED Event e"]
    assert [e["note"] for e in api.list(EVENT, "milvus")] == ["m"]
    assert [e["message"] for e in api.list(CORE_EVENT, "milvus")] == ["m"]


def test_history_is_bounded(api: ApiServer) -> None:
    """A version that is no longer remembered is 410 Expired, and never an incomplete answer."""
    short = server(history=3)
    start = short.resource_version
    for name in "abc":
        short.create(config_map(name))
    assert [c.manifest["metadata"]["name"] for c in short.history.after(start)] == ["a", "b", "c"]

    short.create(config_map("d"))
    with pytest.raises(ApiError) as refused:
        short.history.after(start)
    assert (refused.value.status, refused.value.reason) == (410, "Expired")


def test_a_strategic_patch_knows_sets_and_keys(api: ApiServer) -> None:
    """Finalizers add up, owner references go by uid, directives are obeyed."""
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": uid} for uid in ("1", "2")]
    api.create(config_map("a", finalizers=["example.com/x"], ownerReferences=owners))
    change = {
        "metadata": {
            "finalizers": ["example.com/y"],
            "$deleteFromPrimitiveList/finalizers": ["example.com/x"],
            "ownerReferences": [{"uid": "1", "$patch": "delete"}, {"uid": "2", "controller": True}],
        }
    }
    meta = api.patch(CONFIG_MAP, "milvus", "a", change, kind="strategic")["metadata"]

    assert meta["finalizers"] == ["example.com/y"]
    assert meta["ownerReferences"] == [{**owners[1], "controller": True}]


@pytest.mark.parametrize(
    ("operations", "data"),
    [
        ([{"op": "add", "path": "/data/b", "value": "2"}], {"a~/": "1", "b": "2"}),
        ([{"op": "remove", "path": "/data/a~0~1"}], {}),
        ([{"op": "move", "from": "/data/a~0~1", "path": "/data/c"}], {"c": "1"}),
        ([{"op": "copy", "from": "/data/a~0~1", "path": "/data/c"}], {"a~/": "1", "c": "1"}),
        ([{"op": "test", "path": "/data/none", "value": None}], {"a~/": "1"}),
    ],
)
def test_json_patches_operate(api: ApiServer, operations: list[dict[str, Any]], data: dict[str, str]) -> None:
    """Each operation, with escaped slashes and tildes."""
    api.create({**config_map("a"), "data": {"a~/": "1"}})

    assert api.patch(CONFIG_MAP, "milvus", "a", operations, kind="json")["data"] == data


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ({"op": "remove", "path": "/data/none"}, 422),
        ({"op": "replace", "path": "/data/none", "value": "1"}, 422),
        ({"op": "test", "path": "/data/a", "value": "2"}, 422),
        ({"op": "add", "path": "/metadata/finalizers/3", "value": "x"}, 422),
        ({"op": "conjure", "path": "/data/a"}, 422),
        ({"op": "replace", "path": "/metadata/name", "value": "b"}, 400),
    ],
)
def test_json_patches_that_do_not_fit_change_nothing(api: ApiServer, operation: dict[str, Any], status: int) -> None:
    """The object is as it was, version included."""
    live = api.create({**config_map("a", finalizers=["example.com/x"]), "data": {"a": "1"}})
    with pytest.raises(ApiError) as refused:
        api.patch(CONFIG_MAP, "milvus", "a", [operation], kind="json")

    assert (refused.value.status, api.get(CONFIG_MAP, "milvus", "a")) == (status, live)


def test_server_side_apply_is_not_served(api: ApiServer) -> None:
    """It is refused as a server without it does, not taken for a merge."""
    api.create(config_map("a"))
    with pytest.raises(ApiError) as refused:
        api.patch(CONFIG_MAP, "milvus", "a", config_map("a"), kind="apply")

    assert refused.value.status == 415


@pytest.mark.parametrize("selector", ["a=b=c", "a in b", "in (a)", "a>1"])
def test_a_selector_that_cannot_be_read_selects_nothing_and_says_so(api: ApiServer, selector: str) -> None:
    """400: a selector that is not understood must not become "all"."""
    with pytest.raises(ApiError) as refused:
        api.list(POD, "milvus", labels=selector)

    assert refused.value.status == 400
