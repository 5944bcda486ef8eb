"""
Serve what hangs below an object: a pod's log and eviction, a workload's scale, a review of one's own rights.

In: the API server and a request. Out: the document or the text to answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from remediator.model.objects import POD, ResourceType
from remediator.model.seams import Clock
from remediator.practice.addressing import Request
from remediator.practice.apiserver import ApiServer
from remediator.practice.deleting import DeleteOptions
from remediator.practice.patching import patched
from remediator.practice.refusals import ApiError, bad_request, budget_spent
from remediator.practice.resources import DISRUPTION_BUDGET
from remediator.practice.selectors import matches
from remediator.practice.shapes import check_shape
from remediator.practice.times import rfc3339


class LogSource(Protocol):
    """Where the logs of containers come from."""

    def read(self, namespace: str, pod: str, container: str, previous: bool) -> str:
        """The whole log; raises ApiError 400 where the real kubelet refuses."""
        ...


def no_previous_log(container: str, pod: str) -> ApiError:
    """What is answered when no earlier container of that name has ended."""
    return bad_request(f'previous terminated container "{container}" in pod "{pod}" not found')


def log_text(api: ApiServer, logs: LogSource, request: Request) -> str:
    at = request.address
    pod = api.look(POD, at.namespace, at.name)
    container = _container(pod, request.query.get("container", ""))
    tail, limit = request.number("tailLines"), request.number("limitBytes")
    if (tail is not None and tail < 0) or (limit is not None and limit < 1):
        raise ApiError(422, "Invalid", 'PodLogOptions "" is invalid: must be greater than or equal to 0')
    text = logs.read(at.namespace, at.name, container, request.asks("previous"))
    lines = text.splitlines(keepends=True)
    if tail is not None:
        text = "".join(lines[len(lines) - min(tail, len(lines)) :])
    return text if limit is None else text.encode()[:limit].decode(errors="ignore")


def evict(api: ApiServer, clock: Clock, request: Request) -> dict[str, Any]:
    """Delete a pod unless its disruption budget says no (429)."""
    at, body = request.address, request.document()
    pod = api.look(POD, at.namespace, at.name)
    check_shape(body)
    if (body.get("metadata") or {}).get("name", at.name) != at.name:
        raise bad_request("name in URL does not match name in Eviction object")
    options = DeleteOptions.read(body.get("deleteOptions") or {})
    dry_run = request.is_dry_run or options.is_dry_run
    is_active = pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    if is_active:
        _spend_budget(api, clock, pod, dry_run=dry_run)
    api.delete(
        POD,
        at.namespace,
        at.name,
        uid=options.uid,
        resource_version=options.resource_version,
        grace_seconds=options.grace_seconds,
        dry_run=dry_run,
    )
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def scale_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A workload seen as an `autoscaling/v1` Scale."""
    meta = manifest["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    wanted = ((manifest["spec"].get("selector") or {}).get("matchLabels") or {}).items()
    selector = ",".join(f"{key}={value}" for key, value in sorted(wanted))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: meta[field] for field in kept if field in meta},
        "spec": {"replicas": manifest["spec"]["replicas"]},
        "status": {"replicas": manifest.get("status", {}).get("replicas", 0), "selector": selector},
    }


def rescale(api: ApiServer, resource: ResourceType, request: Request, kind: str) -> dict[str, Any]:
    """Write the replica count through a Scale: replaced (`kind` empty) or patched."""
    at = request.address
    live = api.look(resource, at.namespace, at.name)
    scale = patched(scale_of(live), request.json(), kind) if kind else request.document()
    check_shape(scale)
    meta, spec = scale.get("metadata") or {}, scale.get("spec") or {}
    sent = {field: meta[field] for field in ("uid", "resourceVersion") if meta.get(field)}
    changed = {**live, "metadata": {**live["metadata"], "resourceVersion": "", **sent}}
    changed["spec"] = {**live["spec"], "replicas": spec.get("replicas") or 0}
    return scale_of(api.update(changed, dry_run=request.is_dry_run))


def access_review(request: Request) -> dict[str, Any]:
    """Everyone with a token may do everything here, so that even a question in protobuf has its answer."""
    is_json = request.content_type in ("", "application/json")
    asked = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": {}}
    return {
        **asked,
        **(request.document() if is_json else {}),
        "status": {"allowed": True, "reason": "the practice cluster allows everything"},
    }


def _container(pod: Mapping[str, Any], asked: str) -> str:
    name, spec = pod["metadata"]["name"], pod["spec"]
    known = [c["name"] for field in ("initContainers", "containers") for c in spec.get(field) or ()]
    if asked and asked not in known:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    ordinary = [c["name"] for c in spec["containers"]]
    if not asked and len(ordinary) > 1:
        listed = " ".join(ordinary)
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
    return asked or ordinary[0]


def _spend_budget(api: ApiServer, clock: Clock, pod: Mapping[str, Any], *, dry_run: bool) -> None:
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    budgets = api.look_at(DISRUPTION_BUDGET, meta["namespace"])
    governing = [b for b in budgets if matches(b["spec"].get("selector"), labels)]
    if not governing:
        return
    if len(governing) > 1:
        why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise ApiError(500, "InternalError", why)
    budget = governing[0]
    name, status = budget["metadata"]["name"], budget.get("status") or {}
    if status.get("observedGeneration", 0) < budget["metadata"]["generation"]:
        raise budget_spent(f"The disruption budget {name} is still being processed by the server.", retry_after=10)
    if status.get("disruptionsAllowed", 0) <= 0:
        needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise budget_spent(f"The disruption budget {name} needs {needs} healthy pods and has {has} currently")
    spent = {**(status.get("disruptedPods") or {}), meta["name"]: rfc3339(clock.now())}
    left = {**status, "disruptionsAllowed": status["disruptionsAllowed"] - 1, "disruptedPods": spent}
    api.update({**budget, "status": left}, subresource="status", dry_run=dry_run)
