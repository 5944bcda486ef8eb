"""What every ClusterView and Cluster promises: the fake, and the client speaking HTTP to an API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from remediator.model.calls import LogText
from remediator.model.errors import (
    AnswerLost,
    Conflict,
    NotFound,
    Permanent,
    PermitRefused,
    RemediatorError,
    Temporary,
)
from remediator.model.objects import NAMESPACE, NODE, POD, Manifest, ObjectRef, ResourceType
from remediator.model.seams import Cluster, ClusterView
from remediator.model.verdicts import Permit
from tests.fakes.fake_clock import FakeClock
from tests.fakes.fake_cluster import FakeCluster
from tests.fakes.served_cluster import served

CONFIG = ResourceType("v1", "ConfigMap", "configmaps")
REF = ObjectRef(CONFIG, "settings", "shop")
POD_REF = ObjectRef(POD, "etcd-0", "shop")


class World(Protocol):
    """A cluster in a test: the seam to it, and what goes on behind the reader's back."""

    clock: FakeClock

    def view(self) -> ClusterView: ...
    def bind(self, permit: Permit) -> Cluster: ...
    def create(self, resource: ResourceType, manifest: dict[str, Any]) -> Manifest: ...
    def change(self, ref: ObjectRef, **data: str) -> None: ...
    def take(self, ref: ObjectRef) -> None: ...
    def now(self, ref: ObjectRef) -> Manifest | None: ...
    def log(self, pod: ObjectRef, container: str, text: str, *, previous: bool, available: bool) -> None: ...
    def overload(self, verb: str) -> None: ...
    def lose(self, verb: str) -> None: ...


@dataclass
class Faked:
    cluster: FakeCluster
    clock: FakeClock

    def view(self) -> ClusterView:
        return self.cluster.view()

    def bind(self, permit: Permit) -> Cluster:
        return self.cluster.bind(permit)

    def create(self, resource: ResourceType, manifest: dict[str, Any]) -> Manifest:
        return self.cluster.put(resource, manifest)

    def change(self, ref: ObjectRef, **data: str) -> None:
        live = self.cluster.now(ref)
        assert live
        self.cluster.put(ref.resource, {**live, "data": data})

    def take(self, ref: ObjectRef) -> None:
        self.cluster.take(ref)

    def now(self, ref: ObjectRef) -> Manifest | None:
        return self.cluster.now(ref)

    def log(self, pod: ObjectRef, container: str, text: str, *, previous: bool, available: bool) -> None:
        self.cluster.put_log(pod, container, text, previous=previous, available=available)

    def overload(self, verb: str) -> None:
        self.cluster.fail(verb, Temporary("slow down", after=7.0))

    def lose(self, verb: str) -> None:
        self.cluster.fail(verb, AnswerLost("lost"))


@pytest.fixture(params=["fake", "served"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    clock = FakeClock()
    if request.param == "fake":
        world: World = Faked(FakeCluster(clock), clock)
        create_namespaces(world)
        yield world
        return
    async with served(tmp_path, clock) as world:
        create_namespaces(world)
        yield world


def create_namespaces(world: World) -> None:
    for name in ("shop", "bank"):
        world.create(NAMESPACE, {"metadata": {"name": name}})


def settings(
    name: str = "settings", namespace: str = "shop", *, labels: dict[str, str] | None = None, **data: str
) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels or {"app": "etcd"}}, "data": data}


def etcd_pod() -> dict[str, Any]:
    containers = [{"name": "etcd", "image": "etcd"}]
    return {"metadata": {"name": "etcd-0", "namespace": "shop"}, "spec": {"containers": containers}}


def bound(world: World, *may_touch: ObjectRef) -> Cluster:
    return world.bind(Permit("run-1", 1, 1, may_touch or (REF,), world.clock.monotonic() + 5))


def uid_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["uid"])


# --- reading ---------------------------------------------------------------------------------------------------


async def test_get_answers_the_live_object(world: World) -> None:
    """What comes back is what is stored, with its type, uid and version, also right after a change."""
    made = world.create(CONFIG, settings(a="1"))
    world.change(REF, a="2")

    live = await world.view().get(ObjectRef(CONFIG, "settings", "shop", uid_of(made)))

    assert live == world.now(REF)
    assert (live["kind"], live["data"], uid_of(live)) == ("ConfigMap", {"a": "2"}, uid_of(made))
    assert live["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]


@pytest.mark.parametrize("verb", ["get", "log"])
async def test_what_is_not_there_is_not_found(world: World, verb: str) -> None:
    """An absent object, and the log of an absent pod."""
    with pytest.raises(NotFound):
        await (world.view().get(REF) if verb == "get" else world.view().log(POD_REF, "etcd", previous=False))


async def test_another_incarnation_is_a_conflict(world: World) -> None:
    """With a uid asked for, an object made anew under the same name is not it."""
    made = world.create(CONFIG, settings())
    world.take(REF)
    world.create(CONFIG, settings())

    with pytest.raises(Conflict):
        await world.view().get(ObjectRef(CONFIG, "settings", "shop", uid_of(made)))


async def test_a_list_has_exactly_what_was_asked(world: World) -> None:
    """By namespace, by labels, by both, by neither; more than a page of them too; and nothing is an empty list."""
    for number in range(510):
        world.create(CONFIG, settings(f"c-{number:03}", labels={"app": "etcd", "odd": str(number % 2)}))
    world.create(CONFIG, settings("other", "bank"))

    view = world.view()
    names = [item["metadata"]["name"] for item in await view.list(CONFIG, "shop")]
    odd = await view.list(CONFIG, labels={"odd": "1", "app": "etcd"})

    assert names == [f"c-{number:03}" for number in range(510)]
    assert [item["metadata"]["name"] for item in odd] == [f"c-{number:03}" for number in range(1, 510, 2)]
    assert {(item["apiVersion"], item["kind"]) for item in odd} == {("v1", "ConfigMap")}
    assert [item["metadata"]["name"] for item in await view.list(CONFIG, "bank")] == ["other"]
    assert list(await view.list(POD, "shop")) == []


async def test_an_empty_selector_is_refused(world: World) -> None:
    """No labels at all would mean every object there is, and empty never means all."""
    with pytest.raises(Permanent, match="empty label selector"):
        await world.view().list(CONFIG, "shop", labels={})


@pytest.mark.parametrize("verb", ["get", "list"])
async def test_an_overloaded_server_is_temporary(world: World, verb: str) -> None:
    """It says when to come back, and the next call is an ordinary one."""
    world.create(CONFIG, settings())
    world.overload(verb)

    async def ask() -> object:
        return await (world.view().get(REF) if verb == "get" else world.view().list(CONFIG, "shop"))

    with pytest.raises(Temporary) as caught:
        await ask()

    assert caught.value.after == 7.0
    assert await ask()


@pytest.mark.parametrize(
    "ref",
    [
        ObjectRef(CONFIG, "../secrets", "shop"),
        ObjectRef(CONFIG, "", "shop"),
        ObjectRef(CONFIG, "settings", ""),
        ObjectRef(CONFIG, "settings", "a/b"),
        ObjectRef(NODE, "n-1", "shop"),
    ],
)
async def test_what_is_no_name_is_permanent(world: World, ref: ObjectRef) -> None:
    """It is not "not found": nothing was asked, so nothing was learnt."""
    with pytest.raises(Permanent) as caught:
        await world.view().get(ref)

    assert not isinstance(caught.value, NotFound)


async def test_a_log_is_its_last_lines(world: World) -> None:
    """Of this container or of the one before it."""
    pod = world.create(POD, etcd_pod())
    world.log(POD_REF, "etcd", "one\ntwo\nthree\n", previous=False, available=True)
    world.log(POD_REF, "etcd", "panic: no space left\n", previous=True, available=True)
    ref = ObjectRef(POD, "etcd-0", "shop", uid_of(pod))

    assert await world.view().log(ref, "etcd", previous=False, tail_lines=2) == LogText("two\nthree\n")
    assert await world.view().log(POD_REF, "etcd", previous=True) == LogText("panic: no space left\n")


async def test_a_log_that_cannot_be_read_is_unknown(world: World) -> None:
    """A kubelet that lost the log answers as if it had one; that is not an empty log."""
    world.create(POD, etcd_pod())
    text = "unable to retrieve container logs for containerd://1"
    world.log(POD_REF, "etcd", text, previous=True, available=False)

    assert await world.view().log(POD_REF, "etcd", previous=True) == LogText(text, available=False)


async def test_no_earlier_container_is_not_found(world: World) -> None:
    """The pod is there, and nothing in it has ended yet."""
    world.create(POD, etcd_pod())

    with pytest.raises(NotFound):
        await world.view().log(POD_REF, "etcd", previous=True)


async def test_a_log_of_another_incarnation_is_a_conflict(world: World) -> None:
    """The log of a pod made anew says nothing about the one that was asked for."""
    world.create(POD, etcd_pod())
    world.log(POD_REF, "etcd", "fine\n", previous=False, available=True)

    with pytest.raises(Conflict):
        await world.view().log(ObjectRef(POD, "etcd-0", "shop", "another"), "etcd", previous=False)


# --- writing ---------------------------------------------------------------------------------------------------


async def test_a_patch_merges(world: World) -> None:
    """Null takes away, the rest is added or replaced, and the new object comes back."""
    world.create(CONFIG, settings(a="1", b="2"))
    live = await world.view().get(REF)

    changed = await bound(world).patch(live, REF, {"data": {"a": None, "c": "3"}, "metadata": {"labels": {"x": "y"}}})

    assert changed == world.now(REF)
    assert changed["data"] == {"b": "2", "c": "3"}
    assert changed["metadata"]["labels"] == {"app": "etcd", "x": "y"}
    assert uid_of(changed) == uid_of(live)


async def test_a_delete_takes_the_object_away(world: World) -> None:
    """Without finalizers it is gone at once."""
    world.create(CONFIG, settings())

    await bound(world).delete(await world.view().get(REF), REF)

    assert world.now(REF) is None


async def test_a_delete_waits_for_finalizers(world: World) -> None:
    """The object stays, on its way out: accepted is not gone."""
    world.create(CONFIG, {"metadata": {"name": "settings", "namespace": "shop", "finalizers": ["example.com/hold"]}})

    await bound(world).delete(await world.view().get(REF), REF)

    left = world.now(REF)
    assert left
    assert "deletionTimestamp" in left["metadata"]


WRITES = pytest.mark.parametrize("verb", ["patch", "delete"])


async def write(world: World, verb: str, live: Manifest, *, ref: ObjectRef = REF, may_touch: ObjectRef = REF) -> None:
    cluster = bound(world, may_touch)
    if verb == "patch":
        await cluster.patch(live, ref, {"data": {"a": "written"}})
    else:
        await cluster.delete(live, ref)


async def refused(
    world: World,
    error: type[RemediatorError],
    verb: str,
    live: Manifest,
    *,
    ref: ObjectRef = REF,
    may_touch: ObjectRef = REF,
) -> None:
    """The write raises exactly that, and the cluster is as it was."""
    before = world.now(REF)
    with pytest.raises(error) as caught:
        await write(world, verb, live, ref=ref, may_touch=may_touch)
    assert type(caught.value) is error
    assert world.now(REF) == before


@WRITES
async def test_a_write_on_an_old_version_is_a_conflict(world: World, verb: str) -> None:
    """Somebody changed the object after it was read: what was decided on is no longer so."""
    world.create(CONFIG, settings(a="1"))
    live = await world.view().get(REF)
    world.change(REF, a="2")

    await refused(world, Conflict, verb, live)


@WRITES
async def test_a_write_on_another_incarnation_is_a_conflict(world: World, verb: str) -> None:
    """The object was made anew after it was read: the new one is left alone."""
    world.create(CONFIG, settings(a="1"))
    live = await world.view().get(REF)
    world.take(REF)
    world.create(CONFIG, settings(a="1"))

    await refused(world, Conflict, verb, live)


@WRITES
async def test_a_write_on_nothing_is_not_found(world: World, verb: str) -> None:
    """The object is gone since it was read, and does not come back through a patch."""
    world.create(CONFIG, settings())
    live = await world.view().get(REF)
    world.take(REF)

    await refused(world, NotFound, verb, live)


@WRITES
async def test_a_write_takes_its_preconditions_from_that_object(world: World, verb: str) -> None:
    """Another object's version, or none, is no precondition."""
    world.create(CONFIG, settings())
    other = world.create(CONFIG, settings("other"))
    live = await world.view().get(REF)

    await refused(world, Conflict, verb, other)
    await refused(world, Permanent, verb, {**live, "metadata": {"name": "settings", "namespace": "shop"}})


@WRITES
async def test_a_permit_covers_what_it_names(world: World, verb: str) -> None:
    """Neither another object nor another incarnation."""
    world.create(CONFIG, settings())
    live = await world.view().get(REF)

    await refused(world, PermitRefused, verb, live, may_touch=ObjectRef(CONFIG, "other", "shop"))
    await refused(world, PermitRefused, verb, live, may_touch=ObjectRef(CONFIG, "settings", "shop", "another"))


@WRITES
async def test_a_permit_ends(world: World, verb: str) -> None:
    """Once its time has come, nothing is written with it."""
    world.create(CONFIG, settings(a="1"))
    live, cluster = await world.view().get(REF), bound(world)
    world.clock.advance(5)

    with pytest.raises(PermitRefused):
        await (cluster.patch(live, REF, {"data": {"a": "2"}}) if verb == "patch" else cluster.delete(live, REF))

    assert world.now(REF) == live


@WRITES
async def test_a_lost_answer_is_said_once(world: World, verb: str) -> None:
    """Nobody tries again by himself: the object is as the one try left it."""
    world.create(CONFIG, settings(a="1"))
    live = await world.view().get(REF)
    world.lose(verb)

    await refused(world, AnswerLost, verb, live)


async def test_a_change_leaves_the_identity_alone(world: World) -> None:
    """A patch cannot take its own preconditions away."""
    world.create(CONFIG, settings())
    live = await world.view().get(REF)

    with pytest.raises(Permanent):
        await bound(world).patch(live, REF, {"metadata": {"resourceVersion": None}})

    assert world.now(REF) == live
