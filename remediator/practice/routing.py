"""
Answer any request but a watch, without a socket.

In: method, path, query, headers and body. Out: status, headers and body; every refusal is a `metav1.Status`. It does
not authenticate and does not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from remediator.model.seams import Clock
from remediator.practice import discovery
from remediator.practice.addressing import Request
from remediator.practice.apiserver import ApiServer
from remediator.practice.deleting import DeleteOptions
from remediator.practice.paging import Page, Pages
from remediator.practice.patching import PATCH_KINDS
from remediator.practice.refusals import ApiError, bad_request, no_such_resource, not_allowed, unsupported_body
from remediator.practice.resources import Served, of_plural
from remediator.practice.shapes import check_shape
from remediator.practice.subresources import LogSource, access_review, evict, log_text, rescale, scale_of
from remediator.practice.tables import table
from remediator.practice.texts import Texts, compact

_HEALTH = ("/healthz", "/livez", "/readyz")
_REVIEW = ("authorization.k8s.io/v1", "selfsubjectaccessreviews")


@dataclass(frozen=True)
class Response:
    """What goes back over the wire."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @classmethod
    def of_json(cls, status: int, body: Any) -> Response:
        return cls(status, compact(body).encode())

    @classmethod
    def of_text(cls, text: str) -> Response:
        return cls(200, text.encode(), {"Content-Type": "text/plain"})

    @classmethod
    def of_error(cls, error: ApiError) -> Response:
        answer = cls.of_json(error.status, error.as_status())
        seconds = error.details.get("retryAfterSeconds")
        return cls(answer.status, answer.body, {**answer.headers, **({"Retry-After": str(seconds)} if seconds else {})})


class Router:
    """The API server's paths."""

    def __init__(self, api: ApiServer, logs: LogSource, clock: Clock) -> None:
        self._api, self._logs, self._clock = api, logs, clock
        self.pages = Pages()
        self._texts = Texts()
        self._below: Mapping[tuple[str, str], Callable[[Request, Served], Response]] = {
            ("log", "get"): self._log,
            ("eviction", "create"): self._evict,
            ("scale", "get"): self._scale,
            ("scale", "update"): self._rescale,
            ("scale", "patch"): self._rescale,
            ("status", "get"): self._get,
            ("status", "update"): self._update,
            ("status", "patch"): self._patch,
        }
        self._verbs: Mapping[str, Callable[[Request, Served], Response]] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
        }

    def respond(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Response:
        """Header names in any case."""
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        return self.answer(Request(method, path, query or {}, lowered, body))

    def answer(self, request: Request) -> Response:
        try:
            return self._answer(request)
        except ApiError as error:
            return Response.of_error(error)

    def _answer(self, request: Request) -> Response:
        at = request.address
        if not at.plural:
            return _document(request)
        if (at.api_version, at.plural) == _REVIEW and request.method == "POST":
            return Response.of_json(201, access_review(request))
        if request.method in ("POST", "PUT") and request.content_type not in ("", "application/json"):
            raise unsupported_body(["application/json"])
        served = of_plural(at.api_version, at.plural)
        if at.subresource:
            return self._serve_below(request, served)
        _check_place(request, served)
        if request.verb not in self._verbs:
            raise not_allowed()
        return self._verbs[request.verb](request, served)

    def _serve_below(self, request: Request, served: Served) -> Response:
        below = request.address.subresource
        offered = {"log": served.resource.kind == "Pod", "eviction": served.resource.kind == "Pod"}
        offered |= {"scale": served.has_scale, "status": served.has_status}
        if not offered.get(below):
            raise no_such_resource()
        if (below, request.verb) not in self._below:
            raise not_allowed()
        return self._below[below, request.verb](request, served)

    # --- the verbs -----------------------------------------------------------------------------------------

    def _get(self, request: Request, served: Served) -> Response:
        at = request.address
        found = self._api.look(served.resource, at.namespace, at.name)
        if request.wants_table:
            return self._table(served, Page([found], int(found["metadata"]["resourceVersion"])))
        return Response(200, self._texts.of(served.resource, found).encode())

    def _list(self, request: Request, served: Served) -> Response:
        limit = request.number("limit") or 0
        if token := request.query.get("continue", ""):
            page = self.pages.following(token, limit)
        else:
            labels, fields = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
            found = self._api.look_at(served.resource, request.address.namespace, labels=labels, fields=fields)
            page = self.pages.first(found, self._api.resource_version, limit)
        if request.wants_table:
            return self._table(served, page)
        return Response(200, self._texts.of_list(served.resource, _list_meta(page), page.items).encode())

    def _create(self, request: Request, served: Served) -> Response:
        manifest = _typed(request, served)
        at = request.address
        created = self._api.create(manifest, namespace=at.namespace, dry_run=request.is_dry_run)
        return Response.of_json(201, created)

    def _update(self, request: Request, served: Served) -> Response:
        manifest, at = _typed(request, served), request.address
        meta = dict(manifest.get("metadata") or {})
        if meta.get("name") != at.name:
            said = f"the name of the object ({meta.get('name', '')}) does not match the name on the URL ({at.name})"
            raise bad_request(said)
        if at.namespace and meta.setdefault("namespace", at.namespace) != at.namespace:
            raise bad_request("the namespace of the object does not match the namespace on the URL")
        sent = {**manifest, "metadata": meta}
        return Response.of_json(200, self._api.update(sent, subresource=at.subresource, dry_run=request.is_dry_run))

    def _patch(self, request: Request, served: Served) -> Response:
        at = request.address
        changed = self._api.patch(
            served.resource,
            at.namespace,
            at.name,
            request.json(),
            kind=_patch_kind(request),
            subresource=at.subresource,
            dry_run=request.is_dry_run,
        )
        return Response.of_json(200, changed)

    def _delete(self, request: Request, served: Served) -> Response:
        at, options = request.address, DeleteOptions.read(request.document())
        grace = options.grace_seconds
        last = self._api.delete(
            served.resource,
            at.namespace,
            at.name,
            uid=options.uid,
            resource_version=options.resource_version,
            grace_seconds=request.number("gracePeriodSeconds") if grace is None else grace,
            dry_run=request.is_dry_run or options.is_dry_run,
        )
        if served.returns_deleted or "deletionTimestamp" in last["metadata"]:
            return Response.of_json(200, last)
        return Response.of_json(200, _deleted(served, last))

    # --- below an object -----------------------------------------------------------------------------------

    def _log(self, request: Request, _served: Served) -> Response:
        return Response.of_text(log_text(self._api, self._logs, request))

    def _evict(self, request: Request, _served: Served) -> Response:
        return Response.of_json(201, evict(self._api, self._clock, request))

    def _scale(self, request: Request, served: Served) -> Response:
        at = request.address
        return Response.of_json(200, scale_of(self._api.look(served.resource, at.namespace, at.name)))

    def _rescale(self, request: Request, served: Served) -> Response:
        kind = _patch_kind(request) if request.verb == "patch" else ""
        return Response.of_json(200, rescale(self._api, served.resource, request, kind))

    def _table(self, served: Served, page: Page) -> Response:
        return Response.of_json(200, table(served.resource, page.items, _list_meta(page), self._clock.now()))


def _document(request: Request) -> Response:
    if request.method != "GET":
        raise not_allowed()
    if request.path.rstrip("/") in _HEALTH:
        return Response.of_text("ok")
    if request.path == "/openapi/v2":
        return Response(200, b"", {"Content-Type": "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"})
    found = discovery.document(request.path)
    if found is None:
        raise no_such_resource()
    return Response.of_json(200, found)


def _check_place(request: Request, served: Served) -> None:
    """A namespaced object is only served in its namespace, and a cluster's object only outside of one."""
    at, is_namespaced = request.address, served.resource.namespaced
    if at.namespace and not is_namespaced:
        raise no_such_resource()
    if is_namespaced and not at.namespace and (at.name or request.verb == "create"):
        raise no_such_resource() if at.name else not_allowed()
    if request.verb in ("update", "patch") and not at.name:
        raise not_allowed()
    if request.verb == "create" and at.name:
        raise not_allowed()


def _typed(request: Request, served: Served) -> dict[str, Any]:
    """The body as an object of the type of the URL; what the body leaves out, the URL says."""
    body, resource = request.document(), served.resource
    check_shape(body)
    manifest = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
    if manifest["apiVersion"] != resource.api_version:
        sent, wanted = manifest["apiVersion"], resource.api_version
        raise bad_request(f"the API version in the data ({sent}) does not match the expected API version ({wanted})")
    if manifest["kind"] != resource.kind:
        kind, version = manifest["kind"], resource.api_version
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {resource.kind}')
    return manifest


def _patch_kind(request: Request) -> str:
    if request.content_type not in PATCH_KINDS:
        raise unsupported_body(tuple(PATCH_KINDS))
    return PATCH_KINDS[request.content_type]


def _list_meta(page: Page) -> dict[str, Any]:
    meta: dict[str, Any] = {"resourceVersion": str(page.version)}
    if page.token:
        meta |= {"continue": page.token, "remainingItemCount": page.remaining}
    return meta


def _deleted(served: Served, last: Mapping[str, Any]) -> dict[str, Any]:
    meta, resource = last["metadata"], served.resource
    where = {"group": resource.group} if resource.group else {}
    details = {"name": meta["name"], **where, "kind": resource.plural, "uid": meta["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
