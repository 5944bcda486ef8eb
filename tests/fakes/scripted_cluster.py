"""A KubeClient whose API server does exactly what a test scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remediator.kube import KubeAsked, KubeClient
from remediator.model.objects import CLAIM, ObjectRef
from remediator.model.seams import Cluster, ClusterView
from remediator.model.verdicts import Permit
from tests.fakes.fake_clock import FakeClock
from tests.fakes.scripted_server import ScriptedServer

TOKEN = "eyJhbGciOiJub25lIn0.canary-secret.x"
REF = ObjectRef(CLAIM, "data-0", "shop", "u-1")
LIVE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data-0", "namespace": "shop", "uid": "u-1", "resourceVersion": "7"},
    "spec": {"volumeName": "pv-1"},
}


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    """The API server's own Status object."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


@dataclass
class World:
    server: ScriptedServer
    client: KubeClient
    clock: FakeClock
    token_file: Path
    told: list[KubeAsked] = field(default_factory=list)

    @property
    def view(self) -> ClusterView:
        return self.client.view()

    def permitted(self, *may_touch: ObjectRef) -> Cluster:
        return self.client.bind(Permit("run-1", 1, 1, may_touch or (REF,), self.clock.monotonic() + 5))
