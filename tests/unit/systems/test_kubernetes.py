"""The verbs on plain objects: one incarnation, one version, and every reason not to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from remediator import systems
from remediator.model.calls import BackupRecord
from remediator.model.errors import Conflict, Forbidden, PermitRefused, Temporary
from remediator.model.objects import CLAIM, POD, VOLUME, ObjectRef
from remediator.model.plans import Effect, Step
from remediator.model.seams import ReadAccess, WriteAccess
from remediator.model.systems import AlreadyDone, Blocked, Done, Found, Ready
from remediator.model.verdicts import Permit, Reason
from remediator.systems.kubernetes import SYSTEM
from tests.fakes.fake_clock import FakeClock
from tests.fakes.fake_cluster import FakeCluster
from tests.fakes.fake_endpoints import FakeEndpoints

NAME = "data-my-etcd-0"


@dataclass
class HasBackups:
    """Backups that are simply there, or not."""

    found: dict[tuple[str, str], BackupRecord] = field(default_factory=dict)
    is_configured: bool = True

    async def find(self, run_id: str, name: str) -> BackupRecord | None:
        return self.found.get((run_id, name))

    async def save(self, run_id: str, name: str, chunks: AsyncIterator[bytes]) -> BackupRecord:
        raise AssertionError("no verb of this room saves anything")


CLAIM_UID = "uid-claim"


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock)
        self.backups = HasBackups({("run-1", "a.db"): BackupRecord("/b/a.db", 4096, "00")})
        self.endpoints = FakeEndpoints(self.clock)

    def read(self) -> ReadAccess:
        return ReadAccess(self.cluster.view(), self.endpoints.view(), self.backups, self.clock)

    def write(self, *may_touch: ObjectRef, seconds: float = 2.0) -> WriteAccess:
        permit = Permit("run-1", 0, 1, may_touch, self.clock.monotonic() + seconds)
        return WriteAccess("run-1", self.cluster.bind(permit), self.endpoints.bind(permit), self.backups, self.clock)

    def volume(self, policy: str | None = "Delete", name: str = "pv-0") -> ObjectRef:
        spec = {"claimRef": {"uid": CLAIM_UID}, **({"persistentVolumeReclaimPolicy": policy} if policy else {})}
        return ObjectRef.of(VOLUME, self.cluster.put(VOLUME, {"metadata": {"name": name}, "spec": spec}))

    def claim(self, volume: str = "pv-0", **metadata: Any) -> ObjectRef:
        spec = {"volumeName": volume} if volume else {}
        meta = {"name": NAME, "namespace": "milvus", "uid": CLAIM_UID, **metadata}
        return ObjectRef.of(CLAIM, self.cluster.put(CLAIM, {"metadata": meta, "spec": spec}))

    def pod(
        self, *, ready: bool, claim: str = NAME, name: str = "my-etcd-0", owned: bool = True, **meta: Any
    ) -> ObjectRef:
        owner = [{"kind": "StatefulSet", "name": "my-etcd", "uid": "uid-set", "controller": True}]
        manifest = {
            "metadata": {"name": name, "namespace": "milvus", **({"ownerReferences": owner} if owned else {}), **meta},
            "spec": {"volumes": [{"name": "token"}, {"name": "d", "persistentVolumeClaim": {"claimName": claim}}]},
            "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
        }
        return ObjectRef.of(POD, self.cluster.put(POD, manifest))


@pytest.fixture
def world() -> World:
    return World()


def step(verb: str, target: ObjectRef, **args: Any) -> Step:
    effect = SYSTEM.verbs[verb].effect
    args = {"claim_uid": CLAIM_UID, **args} if verb == "kubernetes.retain_volume" else args
    return Step(0, verb, target, args, effect, timedelta(seconds=60), "a test", may_touch=(target,))


async def carry_out(world: World, made: Step) -> Done:
    """Prepare, apply with a permit of that one object; the result."""
    verb = SYSTEM.verbs[made.verb]
    ready = await verb.prepare(world.read(), "run-1", made)
    assert isinstance(ready, Ready)
    result = await verb.apply(world.write(made.target), made, ready.intent)
    assert isinstance(result, Done)
    return result


async def prepared(world: World, made: Step) -> Any:
    return await SYSTEM.verbs[made.verb].prepare(world.read(), "run-1", made)


async def probed(world: World, made: Step) -> Found:
    return await SYSTEM.verbs[made.verb].probe(world.read(), "run-1", made, {})


def test_the_room_is_found_and_has_no_target_of_its_own():
    """Verbs only: other systems' plans name them."""
    assert systems.discover()["kubernetes"] is SYSTEM
    assert (SYSTEM.locate, SYSTEM.survey, SYSTEM.remedies) == (None, None, {})
    assert {name: verb.effect for name, verb in SYSTEM.verbs.items()} == {
        "kubernetes.retain_volume": Effect.IDEMPOTENT,
        "kubernetes.delete_claim": Effect.DESTRUCTIVE,
        "kubernetes.delete_pod": Effect.DESTRUCTIVE,
    }


# --- retain_volume -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "told"), [("Delete", "Delete"), ("Recycle", "Recycle"), (None, "unset")])
async def test_a_volume_is_kept_by_one_patch_of_its_policy(world, policy, told):
    """And nothing else of it changes."""
    made = step("kubernetes.retain_volume", world.volume(policy))

    assert await probed(world, made) is Found.NOT_DONE
    assert await carry_out(world, made) == Done(changed=True, detail=f"reclaim policy {told} → Retain")
    assert [(w.ref, w.change) for w in world.cluster.writes] == [
        (made.target, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    ]
    assert await probed(world, made) is Found.DONE


async def test_a_volume_that_is_kept_already_is_left_alone(world):
    """There is nothing to send."""
    made = step("kubernetes.retain_volume", world.volume("Retain"))

    assert await prepared(world, made) == AlreadyDone("the volume was kept on release already")


@pytest.mark.parametrize("how", ["gone", "made anew"])
async def test_another_volume_of_that_name_is_not_touched(world, how):
    """The plan was made for one incarnation."""
    ref = world.volume()
    made = step("kubernetes.retain_volume", ref)
    world.cluster.take(ref)
    if how == "made anew":
        world.volume()

    assert await prepared(world, made) == Blocked(
        Reason.TARGET_CHANGED, "PersistentVolume pv-0 is no longer the volume the plan was made for"
    )
    assert await probed(world, made) is Found.NOT_DONE


# --- delete_claim ------------------------------------------------------------------------------------------


def a_claim(world: World, **metadata: Any) -> Step:
    return step("kubernetes.delete_claim", world.claim(**metadata), backup="a.db")


async def test_a_claim_whose_data_is_safe_is_deleted(world):
    """A backup, a kept volume and no healthy user: one delete of that very version."""
    world.volume("Retain")
    world.pod(ready=False)
    made = a_claim(world)

    assert await probed(world, made) is Found.NOT_DONE
    done = await carry_out(world, made)

    assert done == Done(changed=True, detail=f"deleted {made.target} ({made.target.uid})")
    assert [(w.ref, w.change) for w in world.cluster.writes] == [(made.target, None)]
    assert await probed(world, made) is Found.DONE


@pytest.mark.parametrize(
    "backups",
    [{}, {("run-1", "a.db"): BackupRecord("/b/a.db", 0, "")}, {("run-2", "a.db"): BackupRecord("/b/a.db", 9, "")}],
)
async def test_no_claim_goes_without_a_backup_of_this_run(world, backups):
    """None, an empty one, or another run's."""
    world.volume("Retain")
    world.backups.found = backups

    assert await prepared(world, a_claim(world)) == Blocked(
        Reason.PRECONDITION_FAILED, "the backup a.db of this run is not there; nothing is destroyed without one"
    )


async def test_no_unbound_claim_goes(world):
    """Without a volume there is nothing that would keep the data."""
    world.volume("Retain")
    made = step("kubernetes.delete_claim", world.claim(volume=""), backup="a.db")

    assert await prepared(world, made) == Blocked(
        Reason.PRECONDITION_FAILED,
        f"PersistentVolumeClaim milvus/{NAME} is not bound to a volume, so its data cannot be kept",
    )


@pytest.mark.parametrize("policy", ["Delete", "Recycle", None, "gone"])
async def test_no_claim_goes_whose_volume_would_go_with_it(world, policy):
    """Only Retain keeps the data, and only a volume that exists."""
    if policy != "gone":
        world.volume(policy)

    assert await prepared(world, a_claim(world)) == Blocked(
        Reason.PRECONDITION_FAILED,
        f"the volume pv-0 of PersistentVolumeClaim milvus/{NAME} would not be kept (its reclaim policy is not Retain)",
    )


async def test_no_claim_goes_that_a_healthy_pod_uses(world):
    """Whichever pod it is; pods on other claims do not matter."""
    world.volume("Retain")
    world.pod(ready=True, claim="data-my-etcd-1", name="my-etcd-1")
    made = a_claim(world)
    assert isinstance(await prepared(world, made), Ready)

    world.pod(ready=True, name="reader")

    assert await prepared(world, made) == Blocked(
        Reason.PRECONDITION_FAILED,
        f"PersistentVolumeClaim milvus/{NAME} is in use by reader, which is Ready",
    )


async def test_a_claim_that_is_on_its_way_out_is_left_alone(world):
    """Terminating behind its finalizer: done, as far as this step goes."""
    made = a_claim(world, deletionTimestamp="2026-11-20T12:00:00Z", finalizers=["kubernetes.io/pvc-protection"])

    assert await prepared(world, made) == AlreadyDone(f"{made.target} is terminating already")
    assert await probed(world, made) is Found.DONE


async def test_a_protected_claim_counts_as_deleted_while_it_terminates(world):
    """pvc-protection keeps it until its pod is gone."""
    world.volume("Retain")
    made = a_claim(world, finalizers=["kubernetes.io/pvc-protection"])

    await carry_out(world, made)

    live = world.cluster.now(made.target)
    assert live is not None
    assert live["metadata"]["deletionTimestamp"]
    assert await probed(world, made) is Found.DONE


# --- delete_pod --------------------------------------------------------------------------------------------


async def test_a_broken_pod_with_an_owner_is_deleted(world):
    """Its owner makes it again."""
    made = step("kubernetes.delete_pod", world.pod(ready=False))

    await carry_out(world, made)

    assert world.cluster.now(made.target) is None
    assert await probed(world, made) is Found.DONE


async def test_a_healthy_pod_is_never_deleted(world):
    """It became well since the plan was made."""
    made = step("kubernetes.delete_pod", world.pod(ready=True))

    assert await prepared(world, made) == Blocked(
        Reason.PRECONDITION_FAILED, "Pod milvus/my-etcd-0 is Ready; a healthy pod is never deleted"
    )


async def test_a_pod_that_nobody_would_make_again_is_not_deleted(world):
    """A pod by itself would be gone for good."""
    made = step("kubernetes.delete_pod", world.pod(ready=False, owned=False))

    assert await prepared(world, made) == Blocked(
        Reason.PRECONDITION_FAILED, "Pod milvus/my-etcd-0 has no controller that would make it again"
    )


async def test_a_terminating_pod_is_left_alone(world):
    """Never a second delete, never by force."""
    made = step("kubernetes.delete_pod", world.pod(ready=False, deletionTimestamp="2026-11-20T12:00:00Z"))

    assert await prepared(world, made) == AlreadyDone("Pod milvus/my-etcd-0 is terminating already")


# --- all deletes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [True, False])
async def test_a_pod_made_again_under_the_same_name_is_not_deleted(world, again):
    """The incarnation of the plan is gone; the new one is nobody's business."""
    ref = world.pod(ready=False)
    made = step("kubernetes.delete_pod", ref)
    world.cluster.take(ref)
    if again:
        world.pod(ready=False)

    assert await prepared(world, made) == AlreadyDone("that incarnation of Pod milvus/my-etcd-0 is gone")
    assert await probed(world, made) is Found.DONE


async def test_an_object_that_changed_after_the_look_is_not_deleted(world):
    """The resourceVersion of the intent is the only one that may go."""
    made = step("kubernetes.delete_pod", world.pod(ready=False))
    ready = await prepared(world, made)
    world.pod(ready=True)

    with pytest.raises(Conflict, match="resourceVersion"):
        await SYSTEM.verbs[made.verb].apply(world.write(made.target), made, ready.intent)

    assert world.cluster.writes == []
    assert await probed(world, made) is Found.NOT_DONE


async def test_a_pod_made_again_after_the_look_is_not_deleted(world):
    """Same name, another uid: a conflict and no write."""
    ref = world.pod(ready=False)
    made = step("kubernetes.delete_pod", ref)
    ready = await prepared(world, made)
    world.cluster.take(ref)
    world.pod(ready=False)

    with pytest.raises(Conflict, match="uid"):
        await SYSTEM.verbs[made.verb].apply(world.write(made.target), made, ready.intent)

    assert world.cluster.writes == []


@pytest.mark.parametrize("verb", sorted(SYSTEM.verbs))
async def test_no_verb_writes_outside_its_permit_or_after_it(world, verb):
    """Another object's permit, or one that has run out."""
    world.volume("Retain", name="pv-0")
    targets = {
        "kubernetes.retain_volume": world.volume("Delete", name="pv-1"),
        "kubernetes.delete_claim": world.claim(),
    }
    made = step(verb, targets.get(verb) or world.pod(ready=False), backup="a.db")
    ready = await prepared(world, made)
    assert isinstance(ready, Ready)

    for access in (world.write(ObjectRef(POD, "other", "milvus")), world.write(), world.write(made.target, seconds=0)):
        with pytest.raises(PermitRefused):
            await SYSTEM.verbs[verb].apply(access, made, ready.intent)
    assert world.cluster.writes == []


@pytest.mark.parametrize("verb", sorted(SYSTEM.verbs))
@pytest.mark.parametrize("error", [Temporary("not now"), Forbidden("no")])
async def test_a_world_that_does_not_answer_is_unknown(world, verb, error):
    """Neither done nor not done: nobody may guess after a crash."""
    made = step(verb, replace(world.claim(), resource=CLAIM), backup="a.db")
    world.cluster.fail("get", error)

    assert await probed(world, made) is Found.UNKNOWN


@pytest.mark.parametrize("verb", sorted(SYSTEM.verbs))
async def test_a_look_that_fails_is_no_permission(world, verb):
    """Preparing raises; nothing is ready."""
    world.cluster.fail("get", Temporary("not now"))

    with pytest.raises(Temporary):
        await prepared(world, step(verb, ObjectRef(POD, "my-etcd-0", "milvus", "uid-x"), backup="a.db"))


@pytest.mark.parametrize("verb", sorted(SYSTEM.verbs))
async def test_an_intent_recognises_one_version_and_is_plain_data(world, verb):
    """Name, namespace, uid and version: what the journal keeps, and no more."""
    world.volume("Retain", name="pv-0")
    targets = {
        "kubernetes.retain_volume": world.volume("Delete", name="pv-1"),
        "kubernetes.delete_claim": world.claim(),
    }
    made = step(verb, targets.get(verb) or world.pod(ready=False), backup="a.db")
    ready = await prepared(world, made)
    live: Mapping[str, Any] = ready.intent["live"]

    assert {k: live[k] for k in ("name", "uid")} == {"name": made.target.name, "uid": made.target.uid}
    assert set(live) <= {"name", "namespace", "uid", "resourceVersion"}
