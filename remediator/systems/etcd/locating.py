"""
From an alert's labels to the one StatefulSet that is sick.

Labels name a pod, a StatefulSet, or (etcd's own mixin) a scrape job. What they name is read live, and must be an
etcd that nobody else looks after: Kubernetes' own etcd and an operator's are not ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from remediator.model.errors import Conflict, NotFound, Permanent
from remediator.model.objects import POD, STATEFUL_SET, Manifest, ObjectRef, is_object_name
from remediator.model.seams import ReadAccess
from remediator.model.systems import Located, NotLocated
from remediator.model.verdicts import Reason
from remediator.systems.etcd.pods import must_be_etcd


async def locate(read: ReadAccess, labels: Mapping[str, str]) -> Located | NotLocated:
    """The StatefulSet. Raises Temporary when the API server cannot be asked just now."""
    namespace = labels.get("namespace", "")
    if labels.get("pod"):
        return await _from_pod(read, namespace, labels["pod"], labels.get("uid", ""))
    name = labels.get("statefulset") or labels.get("job", "").rpartition("/")[2]
    if not name or not is_object_name(name):
        return NotLocated(
            Reason.TARGET_NOT_FOUND, f"neither a pod, a statefulset nor a job label names an object: {name[:80]!r}"
        )
    return await _stateful_set(read, namespace, name)


async def _from_pod(read: ReadAccess, namespace: str, name: str, uid: str) -> Located | NotLocated:
    if not is_object_name(name):
        return NotLocated(Reason.TARGET_NOT_FOUND, f"no pod can be called {name[:80]!r}")
    try:
        pod = await read.cluster.get(ObjectRef(POD, name, namespace))
    except NotFound:
        return NotLocated(Reason.TARGET_NOT_FOUND, f"there is no pod {namespace}/{name}")
    if uid and uid != pod["metadata"]["uid"]:
        return NotLocated(
            Reason.TARGET_CHANGED, f"pod {namespace}/{name} was made anew since the alert: uid {uid} is gone"
        )
    labels = pod["metadata"].get("labels", {})
    if labels.get("tier") == "control-plane":
        return NotLocated(Reason.TARGET_NOT_COVERED, f"pod {namespace}/{name} is Kubernetes' own etcd")
    owner = next((r for r in pod["metadata"].get("ownerReferences", ()) if r.get("controller")), None)
    if owner is None or owner.get("kind") != "StatefulSet":
        kind = owner.get("kind") if owner else "nothing"
        return NotLocated(Reason.TARGET_NOT_COVERED, f"pod {namespace}/{name} is owned by {kind}, not a StatefulSet")
    return await _stateful_set(read, namespace, owner["name"], owner["uid"])


async def _stateful_set(read: ReadAccess, namespace: str, name: str, uid: str = "") -> Located | NotLocated:
    try:
        found = await read.cluster.get(ObjectRef(STATEFUL_SET, name, namespace, uid))
    except NotFound:
        return NotLocated(Reason.TARGET_NOT_FOUND, f"there is no StatefulSet {namespace}/{name}")
    except Conflict:
        return NotLocated(Reason.TARGET_CHANGED, f"StatefulSet {namespace}/{name} is not the one that owns the pod")
    objection = _objection(found)
    if objection:
        return NotLocated(Reason.TARGET_NOT_COVERED, objection)
    return Located(ObjectRef.of(STATEFUL_SET, found))


def _objection(found: Manifest) -> str:
    meta = found["metadata"]
    owners = meta.get("ownerReferences", ())
    if owners:
        operator = f"{owners[0].get('kind')} {owners[0].get('name')}"
        return f"StatefulSet {meta['name']} belongs to {operator}: its operator cures it"
    if "deletionTimestamp" in meta:
        return f"StatefulSet {meta['name']} is being deleted"
    try:
        must_be_etcd(found)
    except Permanent as error:
        return str(error)
    return ""
