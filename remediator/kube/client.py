"""
The cluster as the house sees it: a view that reads, and a handle that writes within one permit.

In: references and permits. Out: live objects, or the house's own errors. Reads are quorum reads; a list is whole
or it raises; every write names the incarnation and version it is meant for. Never retries a write, never deletes
a collection, never forces a deletion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from remediator.kube.access import KubeAccess
from remediator.kube.answers import bounded, json_of, refusal, unclear
from remediator.kube.exchange import MIB, Answer, Asked, Call
from remediator.kube.listing import list_whole
from remediator.kube.paths import container_name, object_path
from remediator.kube.requests import Requests, Tell, as_body, with_query
from remediator.model.calls import LogText
from remediator.model.errors import Conflict, NotFound, Permanent, PermitRefused
from remediator.model.objects import POD, Manifest, ObjectRef, ResourceType
from remediator.model.seams import Clock, Cluster, ClusterView
from remediator.model.verdicts import Permit

_NO_LOG = "unable to retrieve container logs"
_MOST_LINES = 100_000


class KubeClient:
    """The one connection of the service to its cluster. Close it."""

    def __init__(self, requests: Requests) -> None:
        self.requests = requests

    @classmethod
    async def connect(cls, access: KubeAccess, *, clock: Clock, tell: Tell) -> KubeClient:
        """Read configuration and credentials; sends nothing yet. Raises ConfigError."""
        from remediator.kube.transport import Transport  # noqa: PLC0415 - takes over a second, needed only here

        transport = await Transport.open(access, clock)
        return cls(Requests(transport, clock=clock, tell=tell, seconds=access.request_timeout))

    def view(self) -> ClusterView:
        return KubeView(self.requests)

    def bind(self, permit: Permit) -> Cluster:
        return PermittedCluster(self.requests, permit)

    async def close(self) -> None:
        await self.requests.close()


class KubeView:
    """Quorum reads of the API server."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def get(self, ref: ObjectRef) -> Manifest:
        asked = Asked("get", ref.resource.plural, str(ref))
        live = await self._requests.json(asked, Call("GET", object_path(ref)))
        return _same(asked, ref, live)

    async def list(
        self, resource: ResourceType, namespace: str = "", *, labels: Mapping[str, str] | None = None
    ) -> Sequence[Manifest]:
        return (await list_whole(self._requests, resource, namespace, labels)).items

    async def log(self, pod: ObjectRef, container: str, *, previous: bool, tail_lines: int = 200) -> LogText:
        text = await self._log(pod, container, previous=previous, tail_lines=tail_lines)
        if pod.uid:
            # The log belongs to a name. The incarnation that was there before and is there now wrote it.
            await self.get(pod)
        return text

    async def _log(self, pod: ObjectRef, container: str, *, previous: bool, tail_lines: int) -> LogText:
        if pod.resource != POD or not 0 < tail_lines <= _MOST_LINES:
            raise Permanent(f"log of {pod}: needs a Pod and between 1 and {_MOST_LINES} lines, not {tail_lines}")
        asked = Asked("log", "pods/log", f"{pod} container {container[:63]}")
        query = {"container": container_name(container), "tailLines": str(tail_lines), "limitBytes": str(MIB)}
        if previous:
            query["previous"] = "true"
        call = Call("GET", with_query(f"{object_path(pod)}/log", query), max_bytes=MIB, cut=True)
        answer = await self._requests.answer(asked, call)
        if not answer.is_good:
            error = refusal(asked, answer)
            if answer.status == 400 and "previous terminated container" in str(error) and "not found" in str(error):
                raise NotFound(str(error))
            raise error
        text = answer.body.decode("utf-8", "replace")
        return LogText(text, available=not text.lstrip().startswith(_NO_LOG))


class PermittedCluster(KubeView):
    """The view plus writes, as far as one permit reaches. The permit gates sending, and nothing is sent twice."""

    def __init__(self, requests: Requests, permit: Permit) -> None:
        super().__init__(requests)
        self._permit = permit

    async def patch(self, live: Manifest, ref: ObjectRef, change: Mapping[str, Any]) -> Manifest:
        asked = Asked("patch", ref.resource.plural, str(ref), writes=True)
        uid, version = self._meant(asked, live, ref)
        metadata = change.get("metadata", {})
        if not isinstance(metadata, Mapping) or {"uid", "resourceVersion", "name", "namespace"} & set(metadata):
            raise Permanent(f"{asked.doing}: a change must leave the identity in metadata alone; nothing was sent")
        body = {**change, "metadata": {**metadata, "uid": uid, "resourceVersion": version}}
        call = Call("PATCH", object_path(ref), as_body(body), "application/merge-patch+json")
        answer = await self._send(asked, call, ref, uid)
        return _same(asked, _with_uid(ref, uid), json_of(asked, answer))

    async def delete(self, live: Manifest, ref: ObjectRef) -> None:
        asked = Asked("delete", ref.resource.plural, str(ref), writes=True)
        uid, version = self._meant(asked, live, ref)
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid, "resourceVersion": version},
        }
        call = Call("DELETE", object_path(ref), as_body(options))
        json_of(asked, await self._send(asked, call, ref, uid))

    def _meant(self, asked: Asked, live: Manifest, ref: ObjectRef) -> tuple[str, str]:
        """The incarnation and version of `live`, which must be the object that `ref` names."""
        identity = _identity(live)
        if identity is None:
            raise Permanent(f"{asked.doing}: the live object shows no uid and resourceVersion; read it again")
        name, namespace, uid, version = identity
        kind = (live.get("apiVersion", ref.resource.api_version), live.get("kind", ref.resource.kind))
        same_kind = kind == (ref.resource.api_version, ref.resource.kind)
        if not same_kind or not ObjectRef(ref.resource, name, namespace, uid).is_same_object(ref):
            raise Conflict(
                bounded(f"{asked.doing}: the live object is {kind[1]} {namespace}/{name} uid {uid}; no write")
            )
        return uid, version

    async def _send(self, asked: Asked, call: Call, ref: ObjectRef, uid: str) -> Answer:
        """The one place from which a write leaves, for no longer than the run is ours."""
        permit = self._permit
        if not (permit.covers(ref) and permit.covers(_with_uid(ref, uid))):
            raise PermitRefused(
                bounded(
                    f"{asked.doing}: step {permit.step} of run {permit.run_id} may not touch it; name it in may_touch"
                )
            )
        seconds = permit.call_seconds(self._requests.clock.monotonic(), self._requests.seconds)
        if not seconds > 0:
            raise PermitRefused(f"{asked.doing}: the permit of run {permit.run_id} has run out; ask the guards again")
        timely = replace(call, leave_by=min(permit.expires, permit.answer_by))
        return await self._requests.answer(asked, timely, seconds=seconds)


def _with_uid(ref: ObjectRef, uid: str) -> ObjectRef:
    return ObjectRef(ref.resource, ref.name, ref.namespace, uid)


def _identity(manifest: Manifest) -> tuple[str, str, str, str] | None:
    """Name, namespace, uid and resourceVersion, if the manifest has all that identify a live object."""
    metadata = manifest.get("metadata")
    if not isinstance(metadata, Mapping):
        return None
    name, uid, version = (metadata.get(key) for key in ("name", "uid", "resourceVersion"))
    namespace = metadata.get("namespace", "")
    texts = [part for part in (name, uid, version) if isinstance(part, str) and part]
    if len(texts) != 3 or not isinstance(namespace, str):
        return None
    return texts[0], namespace, texts[1], texts[2]


def _same(asked: Asked, ref: ObjectRef, answered: Manifest) -> Manifest:
    """`answered`, if it is the object asked for; another incarnation is a Conflict."""
    identity = _identity(answered)
    if identity is None or identity[:2] != (ref.name, ref.namespace):
        raise unclear(asked, "the answer is not that object")
    if ref.uid and identity[2] != ref.uid:
        if asked.writes:
            raise unclear(asked, "the answer is another incarnation")
        raise Conflict(bounded(f"{asked.doing}: it now has uid {identity[2]}, not {ref.uid}; it was made anew"))
    return answered
