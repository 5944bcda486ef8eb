"""
The StatefulSet controller: pods by ordinal, a claim for each template, and a status that tells the truth.

In: StatefulSets, pods and claims as they change. Out: creates and deletes of pods, creates of claims, Events, status.
It never deletes a claim, and never makes a pod whose claim is being deleted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from remediator.model.objects import CLAIM, POD, STATEFUL_SET, Manifest, ResourceType
from remediator.model.seams import Clock
from remediator.practice.apiserver import ApiServer
from remediator.practice.copying import copied
from remediator.practice.event_writer import EventWriter
from remediator.practice.loops import Key, TaskOwner, WorkQueue
from remediator.practice.refusals import ApiError

RETRY_SECONDS = 1.0
"""How long after a refused pod the controller looks again; the real one starts lower and backs off."""
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes writes revision hashes in these letters, so that no word is spelled by accident."""

Object = dict[str, Any]


class StatefulSetController:
    def __init__(self, api: ApiServer, clock: Clock, tasks: TaskOwner, events: EventWriter) -> None:
        self._api = api
        self._queue = WorkQueue(clock, tasks)
        self._events = events
        self._templates: dict[tuple[str, str], Object] = {}
        """A stand-in for ControllerRevisions: the template of each (StatefulSet uid, revision)."""
        api.subscribe(self._noticed)
        tasks.spawn(self._queue.work(self._reconcile), "StatefulSet controller")

    def _noticed(self, change: str, resource: ResourceType, manifest: Mapping[str, Any]) -> None:
        meta = manifest["metadata"]
        if resource == STATEFUL_SET:
            self._queue.ask((meta["namespace"], meta["name"]))
        elif resource in (POD, CLAIM):
            for owner in self._api.look_at(STATEFUL_SET, meta["namespace"]):
                if f"{owner['metadata']['name']}-" in meta["name"]:
                    self._queue.ask((meta["namespace"], owner["metadata"]["name"]))

    async def _reconcile(self, key: Key) -> None:
        try:
            owner = self._api.look(STATEFUL_SET, *key)
            if "deletionTimestamp" not in owner["metadata"]:
                _Reconciliation(self._api, self._events, self._queue, self._templates, owner).run()
        except ApiError as error:
            if error.status == 409:
                self._queue.ask_after(RETRY_SECONDS, key)
            elif error.status != 404:
                raise


class _Reconciliation:
    """One pass over one StatefulSet."""

    def __init__(
        self,
        api: ApiServer,
        events: EventWriter,
        queue: WorkQueue,
        templates: dict[tuple[str, str], Object],
        owner: Manifest,
    ) -> None:
        self._api = api
        self._events = events
        self._queue = queue
        self._owner = owner
        self._spec = owner["spec"]
        self._name = owner["metadata"]["name"]
        self._namespace = owner["metadata"]["namespace"]
        self._replicas = int(self._spec.get("replicas", 1))
        self._update = _known_revision(templates, self._spec["template"]) or revision_of(owner)
        self._current = owner.get("status", {}).get("currentRevision") or self._update
        self._templates = templates
        self._uid = owner["metadata"]["uid"]
        templates[self._uid, self._update] = self._spec["template"]

    def run(self) -> None:
        pods, version = self._pods(), self._api.resource_version
        if self._fill(pods) and self._shrink(pods):
            self._roll(pods)
        self._report(pods if self._api.resource_version == version else self._pods())

    # --- pods ---

    def _pods(self) -> dict[int, Manifest]:
        found: dict[int, Manifest] = {}
        for pod in self._api.look_at(POD, self._namespace):
            ordinal = ordinal_of(pod, self._owner)
            if ordinal is not None:
                found[ordinal] = pod
        return found

    @property
    def _is_parallel(self) -> bool:
        return bool(self._spec.get("podManagementPolicy") == "Parallel")

    def _fill(self, pods: Mapping[int, Manifest]) -> bool:
        """Make what is missing; answers whether the pass may go on to shrinking and rolling."""
        for ordinal in range(self._replicas):
            pod = pods.get(ordinal)
            if pod is None:
                self._create(ordinal)
            if self._is_parallel or (pod is not None and is_ready(pod)):
                continue
            return False
        return True

    def _shrink(self, pods: Mapping[int, Manifest]) -> bool:
        surplus = sorted((o for o in pods if o >= self._replicas), reverse=True)
        for ordinal in surplus:
            self._delete(pods[ordinal])
            if not self._is_parallel:
                return False
        return not surplus

    def _roll(self, pods: Mapping[int, Manifest]) -> None:
        """From the highest ordinal down, one at a time, waiting for each to be ready."""
        if self._spec.get("updateStrategy", {}).get("type", "RollingUpdate") != "RollingUpdate":
            return
        for ordinal in sorted(pods, reverse=True):
            pod = pods[ordinal]
            if revision_label(pod) != self._update and not is_terminating(pod):
                self._delete(pod)
                return
            if not is_ready(pod):
                return

    def _delete(self, pod: Manifest) -> None:
        if not is_terminating(pod):
            meta = pod["metadata"]
            self._api.delete(POD, self._namespace, meta["name"], uid=meta["uid"])

    def _create(self, ordinal: int) -> None:
        pod_name = f"{self._name}-{ordinal}"
        blocked = self._claim_in_the_way(ordinal)
        if blocked:
            message = f"create Pod {pod_name} in StatefulSet {self._name} failed error: pvc {blocked} is being deleted"
            self._events.write(self._owner, STATEFUL_SET, "Warning", "FailedCreate", message)
            self._queue.ask_after(RETRY_SECONDS, (self._namespace, self._name))
            return
        self._api.create(self._new_pod(ordinal))
        message = f"create Pod {pod_name} in StatefulSet {self._name} successful"
        self._events.write(self._owner, STATEFUL_SET, "Normal", "SuccessfulCreate", message)

    def _claim_in_the_way(self, ordinal: int) -> str:
        """Make the claims a pod needs; answers the name of one that is being deleted, if there is one."""
        for template in self._spec.get("volumeClaimTemplates", ()):
            name = f"{template['metadata']['name']}-{self._name}-{ordinal}"
            try:
                claim = self._api.look(CLAIM, self._namespace, name)
            except ApiError as error:
                if error.status != 404:
                    raise
                self._api.create(self._new_claim(template, name))
                continue
            if is_terminating(claim):
                return name
        return ""

    def _new_claim(self, template: Mapping[str, Any], name: str) -> Object:
        meta = template["metadata"]
        labels = {**self._spec["selector"].get("matchLabels", {}), **meta.get("labels", {})}
        metadata: Object = {"name": name, "namespace": self._namespace, "labels": labels}
        if meta.get("annotations"):
            metadata["annotations"] = dict(meta["annotations"])
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": copied(template["spec"]),
        }

    def _revision_for(self, ordinal: int) -> str:
        """While a rolling update runs, ordinals it has not reached come back as they were."""
        rolls = self._spec.get("updateStrategy", {}).get("type", "RollingUpdate") == "RollingUpdate"
        unrolled = ordinal < int(self._owner.get("status", {}).get("currentReplicas", 0))
        is_known = (self._uid, self._current) in self._templates
        return self._current if rolls and unrolled and is_known else self._update

    def _new_pod(self, ordinal: int) -> Object:
        revision = self._revision_for(ordinal)
        template = copied(self._templates[self._uid, revision])
        name = f"{self._name}-{ordinal}"
        metadata = {
            **template.get("metadata", {}),
            "name": name,
            "namespace": self._namespace,
            "ownerReferences": [owner_reference(self._owner)],
        }
        metadata["labels"] = {
            **template.get("metadata", {}).get("labels", {}),
            "statefulset.kubernetes.io/pod-name": name,
            "controller-revision-hash": revision,
            "apps.kubernetes.io/pod-index": str(ordinal),
        }
        spec = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, **template["spec"]}
        spec |= {"hostname": name, "subdomain": self._spec.get("serviceName", "")}
        spec["volumes"] = [*spec.get("volumes", ()), *self._claim_volumes(ordinal)]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def _claim_volumes(self, ordinal: int) -> list[Object]:
        names = [t["metadata"]["name"] for t in self._spec.get("volumeClaimTemplates", ())]
        return [
            {"name": name, "persistentVolumeClaim": {"claimName": f"{name}-{self._name}-{ordinal}"}} for name in names
        ]

    # --- status ---

    def _report(self, pods: Mapping[int, Manifest]) -> None:
        live = [p for p in pods.values() if not is_terminating(p)]
        ready = sum(is_ready(p) for p in pods.values())
        updated = sum(revision_label(p) == self._update for p in live)
        rolls = self._spec.get("updateStrategy", {}).get("type", "RollingUpdate") == "RollingUpdate"
        if rolls and updated == self._replicas == ready:
            self._current = self._update
        status = {
            "observedGeneration": self._owner["metadata"].get("generation", 1),
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": sum(revision_label(p) == self._current for p in live),
            "updatedReplicas": updated,
            "currentRevision": self._current,
            "updateRevision": self._update,
            "collisionCount": 0,
        }
        if status != self._owner.get("status"):
            body = {"status": status}
            self._api.patch(STATEFUL_SET, self._namespace, self._name, body, kind="merge", subresource="status")


def _known_revision(templates: Mapping[tuple[str, str], Object], template: Object) -> str:
    """The revision of a template that was met before, "" for a new one; what is stored is never changed in place."""
    return next((revision for (_, revision), known in templates.items() if known is template), "")


def revision_of(owner: Manifest) -> str:
    """A name for the pod template: the same template always has the same one."""
    text = json.dumps(owner["spec"]["template"], sort_keys=True)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    letters = ""
    for _ in range(10):
        number, rest = divmod(number, len(_SAFE))
        letters += _SAFE[rest]
    return f"{owner['metadata']['name']}-{letters}"


def owner_reference(owner: Manifest) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def ordinal_of(pod: Manifest, owner: Manifest) -> int | None:
    """The pod's ordinal in `owner`, or None where it belongs to somebody else."""
    identity = owner["metadata"]["uid"]
    for reference in pod["metadata"].get("ownerReferences", ()):
        if reference.get("controller") and reference["uid"] == identity:
            break
    else:
        return None
    number = pod["metadata"]["name"].removeprefix(f"{owner['metadata']['name']}-")
    return int(number) if number.isdigit() else None


def revision_label(pod: Manifest) -> str:
    return str(pod["metadata"].get("labels", {}).get("controller-revision-hash", ""))


def is_terminating(manifest: Manifest) -> bool:
    return "deletionTimestamp" in manifest["metadata"]


def is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not is_terminating(pod)
