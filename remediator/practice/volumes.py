"""
Storage: binds claims to volumes, protects claims in use, and reclaims what a deleted claim leaves.

In: claims, volumes and pods as they change. Out: PersistentVolumes, phases and finalizers. Data is erased only when a
volume goes that is not to be retained; a retained one keeps it for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from remediator.model.objects import CLAIM, POD, VOLUME, Manifest, ResourceType
from remediator.model.seams import Clock
from remediator.practice.apiserver import ApiServer
from remediator.practice.loops import Key, TaskOwner, WorkQueue
from remediator.practice.refusals import ApiError
from remediator.practice.resources import STORAGE_CLASS

PROTECTION = "kubernetes.io/pvc-protection"

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
RETRY_SECONDS = 1.0

Object = dict[str, Any]


class VolumeController:
    """`erase` is told the name of every volume whose data is gone."""

    def __init__(self, api: ApiServer, clock: Clock, tasks: TaskOwner, erase: Callable[[str], None]) -> None:
        self._api = api
        self._erase = erase
        self._queue = WorkQueue(clock, tasks)
        api.subscribe(self._noticed)
        tasks.spawn(self._queue.work(self._reconcile), "volume controller")

    def _noticed(self, change: str, resource: ResourceType, manifest: Mapping[str, Any]) -> None:
        meta = manifest["metadata"]
        if resource == CLAIM:
            self._queue.ask((meta["namespace"], meta["name"]))
        elif resource == POD:
            for claim in claims_of(manifest):
                self._queue.ask((meta["namespace"], claim))

    async def _reconcile(self, key: Key) -> None:
        try:
            self._release_orphans(key)
            claim = self._api.look(CLAIM, *key)
            if "deletionTimestamp" in claim["metadata"]:
                self._unprotect(claim)
            else:
                self._protect(claim)
                self._bind(claim)
        except ApiError as error:
            if error.status == 409:
                self._queue.ask_after(RETRY_SECONDS, key)
            elif error.status != 404:
                raise

    # --- claims ---

    def _protect(self, claim: Manifest) -> None:
        finalizers = claim["metadata"].get("finalizers", [])
        if PROTECTION not in finalizers:
            self._set_finalizers(claim, [*finalizers, PROTECTION])

    def _unprotect(self, claim: Manifest) -> None:
        meta = claim["metadata"]
        finalizers = meta.get("finalizers", [])
        users = (p for p in self._api.look_at(POD, meta["namespace"]) if meta["name"] in claims_of(p))
        if PROTECTION in finalizers and not any(users):
            self._set_finalizers(claim, [f for f in finalizers if f != PROTECTION])

    def _set_finalizers(self, claim: Manifest, finalizers: list[str]) -> None:
        meta = claim["metadata"]
        body = {"metadata": {"finalizers": finalizers or None, "uid": meta["uid"]}}
        self._api.patch(CLAIM, meta["namespace"], meta["name"], body, kind="merge")

    # --- binding ---

    def _bind(self, claim: Manifest) -> None:
        if claim.get("status", {}).get("phase") == "Bound":
            return
        meta = claim["metadata"]
        volume = self._volume_for(claim)
        if volume is None:
            self._set_claim_phase(claim, {"phase": "Pending"})
            return
        name = volume["metadata"]["name"]
        self._api.patch(CLAIM, meta["namespace"], meta["name"], {"spec": {"volumeName": name}}, kind="merge")
        bound = {"phase": "Bound", "accessModes": volume["spec"]["accessModes"], "capacity": volume["spec"]["capacity"]}
        self._set_claim_phase(claim, bound)

    def _set_claim_phase(self, claim: Manifest, status: Object) -> None:
        meta = claim["metadata"]
        if claim.get("status", {}).get("phase") != status["phase"]:
            self._api.patch(
                CLAIM, meta["namespace"], meta["name"], {"status": status}, kind="merge", subresource="status"
            )

    def _volume_for(self, claim: Manifest) -> Manifest | None:
        """The volume the claim names, if it is free; else a new one."""
        wanted = claim["spec"].get("volumeName", "")
        if not wanted:
            return self._provision(claim)
        volume = self._api.look(VOLUME, "", wanted)
        holder = volume["spec"].get("claimRef")
        if holder and holder.get("uid") not in (None, claim["metadata"]["uid"]):
            return None
        self._api.patch(VOLUME, "", wanted, {"spec": {"claimRef": claim_reference(claim)}}, kind="merge")
        self._set_volume_phase(wanted, "Bound")
        return self._api.look(VOLUME, "", wanted)

    def _provision(self, claim: Manifest) -> Manifest | None:
        storage = self._storage_class(claim["spec"].get("storageClassName"))
        if storage is None:
            return None
        meta = claim["metadata"]
        size = claim["spec"].get("resources", {}).get("requests", {}).get("storage", "1Gi")
        name = f"pvc-{meta['uid']}"
        provisioner = storage["provisioner"]
        manifest = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": provisioner}},
            "spec": {
                "accessModes": claim["spec"].get("accessModes", ["ReadWriteOnce"]),
                "capacity": {"storage": size},
                "claimRef": claim_reference(claim),
                "csi": {"driver": provisioner, "volumeHandle": name},
                "persistentVolumeReclaimPolicy": storage.get("reclaimPolicy", "Delete"),
                "storageClassName": storage["metadata"]["name"],
                "volumeMode": "Filesystem",
            },
        }
        self._api.create(manifest)
        self._set_volume_phase(name, "Bound")
        return self._api.look(VOLUME, "", name)

    def _storage_class(self, name: str | None) -> Manifest | None:
        for storage in self._api.look_at(STORAGE_CLASS):
            annotations = storage["metadata"].get("annotations", {})
            is_default = annotations.get(DEFAULT_CLASS) == "true"
            if storage["metadata"]["name"] == name or (name is None and is_default):
                return storage
        return None

    # --- reclaiming ---

    def _release_orphans(self, key: Key) -> None:
        """Volumes whose claim is gone, or is another incarnation under the same name."""
        for volume in self._api.look_at(VOLUME):
            holder = volume["spec"].get("claimRef") or {}
            is_bound = volume.get("status", {}).get("phase") == "Bound"
            if (holder.get("namespace"), holder.get("name")) == key and is_bound and not self._lives(holder):
                self._reclaim(volume)

    def _lives(self, holder: Mapping[str, Any]) -> bool:
        try:
            claim = self._api.look(CLAIM, holder["namespace"], holder["name"])
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return bool(claim["metadata"]["uid"] == holder.get("uid"))

    def _reclaim(self, volume: Manifest) -> None:
        name = volume["metadata"]["name"]
        self._set_volume_phase(name, "Released")
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            self._api.delete(VOLUME, "", name)
            self._erase(name)

    def _set_volume_phase(self, name: str, phase: str) -> None:
        self._api.patch(VOLUME, "", name, {"status": {"phase": phase}}, kind="merge", subresource="status")


def claims_of(pod: Mapping[str, Any]) -> list[str]:
    """The names of the claims a pod mounts."""
    volumes = pod["spec"].get("volumes", ())
    return [v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v]


def claim_reference(claim: Mapping[str, Any]) -> Object:
    meta = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
    }
