"""Turn settings into what each room takes: limits, the service's own objects, the way to the API server."""

from __future__ import annotations

from datetime import timedelta

from remediator.kube.access import KubeAccess
from remediator.model.objects import NAMESPACE, NODE, POD, ObjectRef
from remediator.model.rules import Limit
from remediator.runs.desk import Bounds
from remediator.settings import Settings, Window

LEASE_SHARE = 0.6
"""Of a lease, for one call; the rest is for the margin and for a renewal that is late."""


def bounds_of(settings: Settings) -> Bounds:
    return Bounds(
        per_service=_limit(settings.limits.per_service),
        per_namespace=_limit(settings.limits.per_namespace),
        protected_namespaces=settings.protected_namespaces,
        own=own_objects(settings),
        evidence_max_age=timedelta(seconds=settings.evidence_max_age_seconds),
        permit_seconds=settings.permit_seconds,
        recheck=timedelta(seconds=settings.held_recheck_seconds),
        concurrency=settings.workers.concurrency,
        tries=settings.workers.tries,
        approval=timedelta(seconds=settings.approval_seconds),
        call_seconds=_call_seconds(settings),
    )


def _call_seconds(settings: Settings) -> float:
    """What a write may take: no longer than a lease lasts that was renewed a moment ago, with room to spare."""
    seconds, postgres = settings.kubernetes.request_timeout_seconds, settings.store.postgres
    return seconds if postgres is None else min(seconds, LEASE_SHARE * postgres.lease_seconds)


def _limit(window: Window) -> Limit:
    return Limit(window.count, timedelta(seconds=window.window_seconds))


def own_objects(settings: Settings) -> tuple[ObjectRef, ...]:
    """What keeps this service alive: its namespace with all in it, its pod, its node."""
    own = settings.own
    refs = []
    if own.namespace:
        refs.append(ObjectRef(NAMESPACE, own.namespace))
        refs += [ObjectRef(POD, own.pod_name, own.namespace)] if own.pod_name else []
    refs += [ObjectRef(NODE, own.node)] if own.node else []
    return tuple(refs)


def kube_access(settings: Settings) -> KubeAccess:
    kubernetes = settings.kubernetes
    return KubeAccess(
        kubeconfig=str(kubernetes.kubeconfig or ""),
        context=kubernetes.context,
        in_cluster=kubernetes.in_cluster,
        server=kubernetes.server,
        token_file=str(kubernetes.token_file or ""),
        ca_file=str(kubernetes.ca_file or ""),
        request_timeout=kubernetes.request_timeout_seconds,
    )
