"""An etcd's objects in a cluster in a dictionary, and its members behind scripted doors."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

from remediator.model.calls import BackupRecord, Door, Reply
from remediator.model.errors import RemoteError
from remediator.model.objects import CLAIM, NODE, POD, STATEFUL_SET, VOLUME, Manifest, ObjectRef
from remediator.model.seams import ReadAccess, WriteAccess
from remediator.model.verdicts import Permit
from remediator.systems.etcd.facts import EtcdFacts
from remediator.systems.etcd.survey import look
from tests.fakes.fake_clock import FakeClock
from tests.fakes.fake_cluster import FakeCluster
from tests.fakes.fake_endpoints import FakeEndpoints
from tests.unit.systems.etcd_look import CLUSTER_ID, url

LABELS = {"app": "etcd"}
REMOVAL = (
    '{"msg":"restarting local member","local-member-id":"dead0"}\n'
    '{"error":"the member has been permanently removed from the cluster"}\n'
    '{"msg":"data-dir used by this member must be removed"}\n'
)
ADD, PROMOTE, LIST = "/v3/cluster/member/add", "/v3/cluster/member/promote", "/v3/cluster/member/list"
STATUS, ALARM, HASH = "/v3/maintenance/status", "/v3/maintenance/alarm", "/v3/maintenance/hash"
SNAPSHOT = "/v3/maintenance/snapshot"
DATA = b"a database" * 60


class KeptBackups:
    """Backups in a dictionary: whole or not at all."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], BackupRecord] = {}
        self.is_configured = True

    async def save(self, run_id: str, name: str, chunks: AsyncIterator[bytes]) -> BackupRecord:
        data = b"".join([chunk async for chunk in chunks])
        self.kept[run_id, name] = BackupRecord(f"/b/{name}", len(data), hashlib.sha256(data).hexdigest())
        return self.kept[run_id, name]

    async def find(self, run_id: str, name: str) -> BackupRecord | None:
        return self.kept.get((run_id, name))


def told_member(n: int, **changes: Any) -> dict[str, Any]:
    """A member as the gateway writes it."""
    return {"ID": str(0xA0 + n), "name": f"my-etcd-{n}", "peerURLs": [url(n)], **changes}


class EtcdWorld:
    """Three pods; the first crash-loops, removed, and the other two are the membership."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock)
        self.endpoints = FakeEndpoints(self.clock)
        self.backups = KeptBackups()
        self.set = self.put_set()
        self.pods = {n: self.put_pod(n, healthy=n > 0) for n in range(3)}
        for n in (1, 2):
            self.speak(n)
        self.members(told_member(1), told_member(2))

    # --- objects ---

    def put_set(self, **spec: Any) -> ObjectRef:
        self.owner: dict[str, Any] = {
            "metadata": {"name": "my-etcd", "namespace": "milvus", "generation": 7},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": LABELS},
                "template": {"spec": {"containers": [{"name": "etcd"}]}},
                **spec,
            },
            "status": {"observedGeneration": 7, "currentRevision": "a", "updateRevision": "a"},
        }
        return ObjectRef.of(STATEFUL_SET, self.cluster.put(STATEFUL_SET, self.owner))

    def pod_manifest(self, n: int, *, healthy: bool, restarts: int = 14, container_id: str = "c1") -> dict[str, Any]:
        name = f"my-etcd-{n}"
        env = [
            {"name": "ETCD_INITIAL_CLUSTER_STATE", "value": "existing"},
            {"name": "ETCD_INITIAL_ADVERTISE_PEER_URLS", "value": url(n)},
        ]
        died = {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-11-21T02:51:54Z", "containerID": container_id}
        state: dict[str, Any] = (
            {"state": {"running": {}}, "restartCount": 0}
            if healthy
            else {
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": died},
                "restartCount": restarts,
            }
        )
        return {
            "metadata": {
                "name": name,
                "namespace": "milvus",
                "labels": LABELS,
                "ownerReferences": [
                    {"kind": "StatefulSet", "name": "my-etcd", "uid": self.set.uid, "controller": True}
                ],
            },
            "spec": {
                "nodeName": f"node-{n}",
                "containers": [
                    {
                        "name": "etcd",
                        "image": "milvusdb/etcd:3.5.25-r1",
                        "env": env,
                        "volumeMounts": [{"name": "data", "mountPath": "/bitnami/etcd"}],
                    }
                ],
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": f"data-{name}"}},
                    {"name": "token"},
                ],
            },
            "status": {
                "podIP": f"10.0.0.{n + 1}",
                "conditions": [{"type": "Ready", "status": "True" if healthy else "False"}],
                "containerStatuses": [{"name": "etcd", **state}],
            },
        }

    def put_pod(self, n: int, *, healthy: bool, **changes: Any) -> ObjectRef:
        """The pod with its claim, volume, node and, when it died, its log."""
        name = f"my-etcd-{n}"
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        self.cluster.put(NODE, {"metadata": {"name": f"node-{n}"}, "spec": {}, "status": ready})
        claim = self.cluster.put(
            CLAIM,
            {
                "metadata": {"name": f"data-{name}", "namespace": "milvus"},
                "spec": {"volumeName": f"pv-{n}"},
                "status": {"phase": "Bound"},
            },
        )
        spec = {"persistentVolumeReclaimPolicy": "Delete", "claimRef": {"uid": claim["metadata"]["uid"]}}
        self.cluster.put(VOLUME, {"metadata": {"name": f"pv-{n}"}, "spec": spec})
        ref = ObjectRef.of(POD, self.cluster.put(POD, self.pod_manifest(n, healthy=healthy, **changes)))
        if not healthy:
            self.cluster.put_log(ref, "etcd", REMOVAL, previous=True)
        return ref

    def change_pod(self, n: int, change: Any) -> None:
        """`change` edits the pod's manifest in place."""
        live: Any = self.cluster.now(self.pods[n])
        change(live)
        self.cluster.put(POD, live)

    # --- members ---

    def door(self, n: int) -> Door:
        return Door(self.pods[n], f"10.0.0.{n + 1}", 2379)

    def answer(self, n: int, path: str, *replies: Reply | RemoteError) -> None:
        self.endpoints.script(self.door(n), "POST", path, *replies)

    def speak(self, n: int, **status: Any) -> None:
        """Member `n` answers its status and its alarms; 500 is its revision and a1 its leader unless told."""
        header = {"cluster_id": str(CLUSTER_ID), "member_id": str(0xA0 + n), "revision": "500"}
        said = {"header": header, "leader": str(0xA1), "raftIndex": "1000", "raftAppliedIndex": "1000", **status}
        self.answer(n, STATUS, Reply(200, {k: v for k, v in said.items() if v is not None}))
        self.answer(n, ALARM, Reply(200, {}))
        self.answer(n, HASH, Reply(200, {"hash": 77}))

    def members(self, *told: dict[str, Any], at: tuple[int, ...] = (1, 2)) -> None:
        """What the members in `at` say the membership is."""
        header = {"cluster_id": str(CLUSTER_ID), "member_id": "1"}
        for n in at:
            self.answer(n, LIST, Reply(200, {"header": header, "members": list(told)}))

    def snapshot(self, n: int, data: bytes) -> None:
        said = {"result": {"blob": base64.b64encode(data).decode()}}
        self.endpoints.script_lines(self.door(n), "POST", SNAPSHOT, json.dumps(said).encode())

    # --- access ---

    def read(self) -> ReadAccess:
        return ReadAccess(self.cluster.view(), self.endpoints.view(), self.backups, self.clock)

    def write(self, *may_touch: ObjectRef) -> WriteAccess:
        permit = Permit("run-1", 0, 1, may_touch, self.clock.monotonic() + 2.0)
        return WriteAccess("run-1", self.cluster.bind(permit), self.endpoints.bind(permit), self.backups, self.clock)

    async def look(self, notes: dict[str, Any] | None = None) -> EtcdFacts:
        return (await look(self.read(), self.set, notes or {})).facts

    async def notes_after(self, notes: dict[str, Any] | None = None) -> dict[str, Any]:
        return dict((await look(self.read(), self.set, notes or {})).notes)


def live(found: Manifest | None) -> Any:
    assert found is not None
    return found
