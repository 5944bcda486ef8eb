"""
Say no the way a Kubernetes API server says it.

In: what was asked for and why it cannot be. Out: an `ApiError` whose Status has the real server's code, reason
and sentence. Nothing here looks at the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remediator.model.objects import ResourceType

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class ApiError(Exception):
    """An answer other than success, as `metav1.Status` carries it."""

    def __init__(self, status: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details: dict[str, Any] = dict(details or {})

    def as_status(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.status,
        }
        if not self.details:
            del body["details"]
        return body


def qualified(resource: ResourceType) -> str:
    """`pods`, `statefulsets.apps`: how the server names a resource in its sentences."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def details_of(resource: ResourceType, name: str) -> dict[str, Any]:
    where = {"group": resource.group} if resource.group else {}
    return {"name": name, **where, "kind": resource.plural}


def not_found(resource: ResourceType, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{qualified(resource)} "{name}" not found', details_of(resource, name))


def no_such_resource() -> ApiError:
    """The path or the kind is not served at all."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: ResourceType, name: str) -> ApiError:
    message = f'{qualified(resource)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details_of(resource, name))


def conflict(resource: ResourceType, name: str, why: str = MODIFIED) -> ApiError:
    message = f'Operation cannot be fulfilled on {qualified(resource)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details_of(resource, name))


def precondition_failed(resource: ResourceType, name: str, field: str, asked: str, found: str) -> ApiError:
    """A delete's precondition; here the real server names the kind and not the plural."""
    fate = "deleted and then recreated" if field == "UID" else "modified"
    message = (
        f'Operation cannot be fulfilled on {_kind(resource)} "{name}": the {field} in the precondition ({asked}) '
        f"does not match the {field} in record ({found}). The object might have been {fate}"
    )
    return ApiError(409, "Conflict", message, {**details_of(resource, name), "kind": resource.kind})


def invalid(resource: ResourceType, name: str, causes: Sequence[tuple[str, str]]) -> ApiError:
    """422: each cause is a field and what the server says about it."""
    said = [f"{field}: {text}" for field, text in causes]
    listed = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    details = details_of(resource, name)
    details["kind"] = resource.kind
    details["causes"] = [{"reason": _cause(text), "message": text, "field": field} for field, text in causes]
    return ApiError(422, "Invalid", f'{_kind(resource)} "{name}" is invalid: {listed}', details)


def rejected_patch(why: str) -> ApiError:
    """422 for a JSON patch that cannot be applied, a failed `test` among them."""
    causes = [{"reason": "UnexpectedServerResponse", "message": why}]
    message = "the server rejected our request due to an error in our request"
    return ApiError(422, "Invalid", message, {"causes": causes})


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def expired(asked: int, oldest: int) -> ApiError:
    """410 for a resourceVersion that history no longer reaches."""
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def stale_page() -> ApiError:
    return ApiError(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter.",
    )


def terminating_namespace(resource: ResourceType, name: str, namespace: str) -> ApiError:
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    message = f'{qualified(resource)} "{name}" is forbidden: {why}'
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    return ApiError(403, "Forbidden", message, {**details_of(resource, name), "causes": [cause]})


def not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unsupported_body(accepted: Sequence[str]) -> ApiError:
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return ApiError(415, "UnsupportedMediaType", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def budget_spent(cause: str, *, retry_after: int = 0) -> ApiError:
    """429 of the eviction subresource."""
    details: dict[str, Any] = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    return ApiError(429, "TooManyRequests", message, details)


def _kind(resource: ResourceType) -> str:
    return f"{resource.kind}.{resource.group}" if resource.group else resource.kind


def _cause(text: str) -> str:
    reasons = {
        "Required value": "FieldValueRequired",
        "Forbidden": "FieldValueForbidden",
        "Unsupported value": "FieldValueNotSupported",
    }
    return next((reason for start, reason in reasons.items() if text.startswith(start)), "FieldValueInvalid")
