"""
A pod's status as a kubelet reports it. In: the containers' slots and the status so far. Out: the new status.

A condition keeps its transition time as long as it does not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from remediator.practice.container_slots import ContainerSlot
from remediator.practice.times import rfc3339

Object = dict[str, Any]


def pod_status(
    before: Mapping[str, Any], slots: Sequence[ContainerSlot], address: str, now: datetime, restart_policy: str
) -> Object:
    statuses = [slot.status() for slot in slots]
    unready = [s["name"] for s in statuses if not s["ready"]]
    wanted = [{"type": "Initialized", "status": "True"}, _ready("ContainersReady", unready), _ready("Ready", unready)]
    status: Object = {
        "phase": _phase(statuses, restart_policy),
        "conditions": _conditions(before.get("conditions", ()), wanted, now),
        "containerStatuses": statuses,
        "startTime": before.get("startTime") or rfc3339(now),
        "qosClass": "BestEffort",
    }
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    return status


def _phase(statuses: Sequence[Mapping[str, Any]], restart_policy: str) -> str:
    if all(s["restartCount"] == 0 and "containerID" not in s for s in statuses):
        return "Pending"
    ended = [s["state"]["terminated"]["exitCode"] for s in statuses if "terminated" in s["state"]]
    if restart_policy == "Always" or len(ended) < len(statuses):
        return "Running"
    return "Failed" if any(ended) else "Succeeded"


def _ready(kind: str, unready: Sequence[str]) -> Object:
    if not unready:
        return {"type": kind, "status": "True"}
    message = f"containers with unready status: [{' '.join(unready)}]"
    return {"type": kind, "status": "False", "reason": "ContainersNotReady", "message": message}


def _conditions(before: Sequence[Mapping[str, Any]], wanted: Sequence[Object], now: datetime) -> list[Object]:
    known = {c["type"]: dict(c) for c in before}
    for condition in wanted:
        old = known.get(condition["type"], {})
        changed = old.get("status") != condition["status"]
        moment = rfc3339(now) if changed else old["lastTransitionTime"]
        known[condition["type"]] = {**condition, "lastTransitionTime": moment}
    return list(known.values())
