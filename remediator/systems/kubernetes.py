"""
Verbs on plain Kubernetes objects: keep a volume's data, delete a claim, delete a pod.

Each looks at exactly one incarnation on a quorum read, acts on exactly that version of it, and can tell
afterwards whether it happened. None is ever forced, none takes a collection, and none deletes what is in use.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from remediator.model.errors import Conflict, NotFound, RemoteError
from remediator.model.objects import POD, VOLUME, Manifest, ObjectRef, is_ready
from remediator.model.plans import Effect, Step
from remediator.model.seams import ClusterView, ReadAccess, WriteAccess
from remediator.model.systems import (
    AlreadyDone,
    Blocked,
    Done,
    Found,
    Prepared,
    Ready,
    StepResult,
    System,
)
from remediator.model.verdicts import Reason


async def find(view: ClusterView, ref: ObjectRef) -> Manifest | None:
    """The live incarnation of `ref`; None when it is gone or another object stands under its name."""
    try:
        return await view.get(ref)
    except (NotFound, Conflict):
        return None


def version_of(live: Manifest) -> dict[str, Any]:
    """What an intent keeps of an object: enough to write to that version of it and no other."""
    meta = live["metadata"]
    return {key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in meta}


def is_terminating(live: Manifest) -> bool:
    return "deletionTimestamp" in live["metadata"]


def uses_claim(pod: Manifest, claim: str) -> bool:
    volumes = pod.get("spec", {}).get("volumes", ())
    return any(v.get("persistentVolumeClaim", {}).get("claimName") == claim for v in volumes)


class RetainVolume:
    """Set a volume's reclaim policy to Retain, so that deleting its claim keeps the data."""

    effect = Effect.IDEMPOTENT

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        live = await find(read.cluster, step.target)
        if live is None:
            return Blocked(Reason.TARGET_CHANGED, f"{step.target} is no longer the volume the plan was made for")
        if live["spec"].get("claimRef", {}).get("uid") != step.args["claim_uid"]:
            return Blocked(Reason.TARGET_CHANGED, f"{step.target} is not bound to the claim the plan was made for")
        policy = live["spec"].get("persistentVolumeReclaimPolicy", "")
        if policy == "Retain":
            return AlreadyDone("the volume was kept on release already")
        return Ready({"live": version_of(live), "before": policy})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        change = {"spec": {"persistentVolumeReclaimPolicy": "Retain"}}
        await write.cluster.patch({"metadata": intent["live"]}, step.target, change)
        return Done(changed=True, detail=f"reclaim policy {intent['before'] or 'unset'} → Retain")

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        try:
            live = await find(read.cluster, step.target)
        except RemoteError:
            return Found.UNKNOWN
        if live is None:
            return Found.NOT_DONE
        kept = live["spec"].get("persistentVolumeReclaimPolicy") == "Retain"
        return Found.DONE if kept else Found.NOT_DONE


Objection = Callable[[ReadAccess, str, Step, Manifest], Awaitable[str]]
"""Why this live object must not be deleted; "" when nothing speaks against it."""


class Delete:
    """Delete one incarnation of an object, unless something speaks against it."""

    effect = Effect.DESTRUCTIVE

    def __init__(self, objection: Objection) -> None:
        self._objection = objection

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared:
        live = await find(read.cluster, step.target)
        if live is None:
            return AlreadyDone(f"that incarnation of {step.target} is gone")
        if is_terminating(live):
            return AlreadyDone(f"{step.target} is terminating already")
        objection = await self._objection(read, run_id, step, live)
        if objection:
            return Blocked(Reason.PRECONDITION_FAILED, objection)
        return Ready({"live": version_of(live)})

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        await write.cluster.delete({"metadata": intent["live"]}, step.target)
        return Done(changed=True, detail=f"deleted {step.target} ({intent['live']['uid']})")

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found:
        try:
            live = await find(read.cluster, step.target)
        except RemoteError:
            return Found.UNKNOWN
        return Found.DONE if live is None or is_terminating(live) else Found.NOT_DONE


async def data_would_be_lost(read: ReadAccess, run_id: str, step: Step, live: Manifest) -> str:
    """A claim goes only with a proven backup, a volume that outlives it, and no healthy user."""
    backup = await read.backups.find(run_id, str(step.args["backup"]))
    if backup is None or backup.size == 0:
        return f"the backup {step.args['backup']} of this run is not there; nothing is destroyed without one"
    volume_name = live["spec"].get("volumeName", "")
    if not volume_name:
        return f"{step.target} is not bound to a volume, so its data cannot be kept"
    volume = await find(read.cluster, ObjectRef(VOLUME, volume_name))
    if volume is not None and volume["spec"].get("claimRef", {}).get("uid") != live["metadata"]["uid"]:
        return f"the volume {volume_name} is bound to another claim than {step.target}"
    if volume is None or volume["spec"].get("persistentVolumeReclaimPolicy") != "Retain":
        return f"the volume {volume_name} of {step.target} would not be kept (its reclaim policy is not Retain)"
    for pod in await read.cluster.list(POD, step.target.namespace):
        if uses_claim(pod, step.target.name) and is_ready(pod):
            return f"{step.target} is in use by {pod['metadata']['name']}, which is Ready"
    return ""


async def pod_would_be_missed(read: ReadAccess, run_id: str, step: Step, live: Manifest) -> str:
    """A pod goes only while it is not Ready, and only when an owner makes it again."""
    if is_ready(live):
        return f"{step.target} is Ready; a healthy pod is never deleted"
    owners = live["metadata"].get("ownerReferences", ())
    if not any(o.get("controller") and o.get("kind") != "Node" for o in owners):
        return f"{step.target} has no controller that would make it again"
    return ""


SYSTEM: System[None] = System(
    name="kubernetes",
    what="verbs on plain Kubernetes objects, for the plans of the other systems",
    verbs={
        "kubernetes.retain_volume": RetainVolume(),
        "kubernetes.delete_claim": Delete(data_would_be_lost),
        "kubernetes.delete_pod": Delete(pod_would_be_missed),
    },
)
