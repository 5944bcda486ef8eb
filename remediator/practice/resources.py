"""
The resource types this server knows and what is special about each.

Anything not in the table is not served: asking for it is a 404, as on a cluster without that API.
"""

from __future__ import annotations

from dataclasses import dataclass

from remediator.model.objects import CLAIM, EVENT, JOB, NAMESPACE, NODE, POD, STATEFUL_SET, VOLUME, ResourceType
from remediator.practice.refusals import no_such_resource

CORE_EVENT = ResourceType("v1", "Event", "events")
CONFIG_MAP = ResourceType("v1", "ConfigMap", "configmaps")
SECRET = ResourceType("v1", "Secret", "secrets")
SERVICE = ResourceType("v1", "Service", "services")
ENDPOINTS = ResourceType("v1", "Endpoints", "endpoints")
SERVICE_ACCOUNT = ResourceType("v1", "ServiceAccount", "serviceaccounts")
DEPLOYMENT = ResourceType("apps/v1", "Deployment", "deployments")
REPLICA_SET = ResourceType("apps/v1", "ReplicaSet", "replicasets")
CONTROLLER_REVISION = ResourceType("apps/v1", "ControllerRevision", "controllerrevisions")
DISRUPTION_BUDGET = ResourceType("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
LEASE = ResourceType("coordination.k8s.io/v1", "Lease", "leases")
STORAGE_CLASS = ResourceType("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)
ROLE = ResourceType("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = ResourceType("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
CLUSTER_ROLE = ResourceType("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDING = ResourceType(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)


@dataclass(frozen=True)
class Served:
    """One served type. `keeps_created_status` is for nodes, whose creator may say how they are."""

    resource: ResourceType
    short_names: tuple[str, ...] = ()
    has_status: bool = False
    counts_generations: bool = False
    returns_deleted: bool = False
    keeps_created_status: bool = False

    @property
    def has_scale(self) -> bool:
        return self.resource.plural in ("statefulsets", "deployments", "replicasets")


SERVED = (
    Served(POD, ("po",), has_status=True, counts_generations=True, returns_deleted=True),
    Served(NAMESPACE, ("ns",), has_status=True, returns_deleted=True),
    Served(NODE, ("no",), has_status=True, keeps_created_status=True),
    Served(CLAIM, ("pvc",), has_status=True, returns_deleted=True),
    Served(VOLUME, ("pv",), has_status=True, returns_deleted=True),
    Served(CORE_EVENT, ("ev",)),
    Served(CONFIG_MAP, ("cm",)),
    Served(SECRET),
    Served(SERVICE, ("svc",), has_status=True, returns_deleted=True),
    Served(ENDPOINTS, ("ep",)),
    Served(SERVICE_ACCOUNT, ("sa",), returns_deleted=True),
    Served(STATEFUL_SET, ("sts",), has_status=True, counts_generations=True),
    Served(DEPLOYMENT, ("deploy",), has_status=True, counts_generations=True),
    Served(REPLICA_SET, ("rs",), has_status=True, counts_generations=True),
    Served(CONTROLLER_REVISION),
    Served(JOB, has_status=True, counts_generations=True),
    Served(DISRUPTION_BUDGET, ("pdb",), has_status=True, counts_generations=True),
    Served(LEASE),
    Served(EVENT, ("ev",)),
    Served(STORAGE_CLASS, ("sc",), returns_deleted=True),
    Served(ROLE),
    Served(ROLE_BINDING),
    Served(CLUSTER_ROLE),
    Served(CLUSTER_ROLE_BINDING),
)

_BY_RESOURCE = {served.resource: served for served in SERVED}
_BY_KIND = {(s.resource.api_version, s.resource.kind): s for s in SERVED}
_BY_PLURAL = {(s.resource.api_version, s.resource.plural): s for s in SERVED}


def served(resource: ResourceType) -> Served:
    """What is special about a type; 404 for one that is not served."""
    return _known(_BY_RESOURCE.get(resource))


def of_kind(api_version: str, kind: str) -> Served:
    return _known(_BY_KIND.get((api_version, kind)))


def of_plural(api_version: str, plural: str) -> Served:
    return _known(_BY_PLURAL.get((api_version, plural)))


def stored_as(resource: ResourceType) -> ResourceType:
    """The type under which objects are kept: both Event APIs are views of one storage."""
    return CORE_EVENT if is_new_event(resource) else resource


def is_new_event(resource: ResourceType) -> bool:
    """Whether this is the newer view of Events, the one type that is not kept as it is shown."""
    return resource.api_version == EVENT.api_version


def _known(found: Served | None) -> Served:
    if found is None:
        raise no_such_resource()
    return found
