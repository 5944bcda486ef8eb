"""
The objects of an etcd cluster as Milvus' charts make them, from a few words.

In: an `EtcdSetup`. Out: manifests of nodes, a storage class, Services and the StatefulSet. Peer URLs are DNS names,
or, for real processes, pod addresses that the cluster fills in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Object = dict[str, Any]
HOOK = "/opt/bitnami/scripts/etcd/prestop.sh"


@dataclass(frozen=True)
class EtcdSetup:
    """
    `state` is what the pods' ETCD_INITIAL_CLUSTER_STATE says; empty leaves the variable out.

    `keys` are written before anything is broken. `labels` are added to StatefulSet and pods, `owners` are the
    StatefulSet's owner references.
    """

    name: str = "my-release-etcd"
    namespace: str = "milvus"
    replicas: int = 3
    image: str = "milvusdb/etcd:3.5.25-r1"
    state: str = "existing"
    token: str = "etcd-cluster-k8s"  # noqa: S105 - the chart's name for its cluster
    readiness_delay_seconds: int = 10
    reclaim: str = "Delete"
    hook: bool = True
    keys: int = 20
    labels: Mapping[str, str] = field(default_factory=dict)
    owners: tuple[Mapping[str, Any], ...] = ()
    nodes: int = 3

    @property
    def pods(self) -> list[str]:
        return [f"{self.name}-{n}" for n in range(self.replicas)]

    def as_json(self) -> Object:
        return asdict(self)


def manifests(setup: EtcdSetup, *, by_address: bool) -> list[Object]:
    """Everything the cluster needs, in an order in which it can be created."""
    return [*_nodes(setup.nodes), _storage_class(setup), *_services(setup), _stateful_set(setup, by_address)]


def _labels(setup: EtcdSetup) -> dict[str, str]:
    return {"app.kubernetes.io/name": "etcd", "app.kubernetes.io/instance": setup.name.removesuffix("-etcd")}


def _nodes(count: int) -> list[Object]:
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"worker-{n}", "labels": {"kubernetes.io/hostname": f"worker-{n}"}},
            "spec": {},
            "status": {"conditions": [ready], "capacity": {"cpu": "4", "memory": "16Gi", "pods": "110"}},
        }
        for n in range(1, count + 1)
    ]


def _storage_class(setup: EtcdSetup) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "practice.local/disk",
        "reclaimPolicy": setup.reclaim,
        "volumeBindingMode": "Immediate",
    }


def _services(setup: EtcdSetup) -> list[Object]:
    ports = [{"name": "client", "port": 2379}, {"name": "peer", "port": 2380}]
    headless = {"clusterIP": "None", "publishNotReadyAddresses": True}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": setup.namespace, "labels": _labels(setup)},
            "spec": {**extra, "selector": _labels(setup), "ports": ports},
        }
        for name, extra in ((f"{setup.name}-headless", headless), (setup.name, {"type": "ClusterIP"}))
    ]


def _host(setup: EtcdSetup, pod: str, by_address: bool) -> str:
    if by_address:
        return f"${{pod_ip:{pod}}}"
    return f"{pod}.{setup.name}-headless.{setup.namespace}.svc.cluster.local"


def _stateful_set(setup: EtcdSetup, by_address: bool) -> Object:
    labels = {**_labels(setup), **setup.labels}
    metadata: Object = {"name": setup.name, "namespace": setup.namespace}
    metadata["labels"] = {**labels, "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "etcd-8.12.0"}
    if setup.owners:
        metadata["ownerReferences"] = [dict(owner) for owner in setup.owners]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata,
        "spec": {
            "replicas": setup.replicas,
            "podManagementPolicy": "Parallel",
            "serviceName": f"{setup.name}-headless",
            "updateStrategy": {"type": "RollingUpdate"},
            "selector": {"matchLabels": _labels(setup)},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [_container(setup, by_address)]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }


def _container(setup: EtcdSetup, by_address: bool) -> Object:
    container: Object = {
        "name": "etcd",
        "image": setup.image,
        "env": _env(setup, by_address),
        "ports": [{"name": "client", "containerPort": 2379}, {"name": "peer", "containerPort": 2380}],
        "readinessProbe": {
            "exec": {"command": ["/opt/bitnami/scripts/etcd/healthcheck.sh"]},
            "initialDelaySeconds": setup.readiness_delay_seconds,
            "periodSeconds": 5,
            "failureThreshold": 2,
        },
        "volumeMounts": [{"name": "data", "mountPath": "/bitnami/etcd"}],
    }
    if setup.hook:
        container["lifecycle"] = {"preStop": {"exec": {"command": [HOOK]}}}
    return container


def _env(setup: EtcdSetup, by_address: bool) -> list[Object]:
    urls = {pod: f"http://{_host(setup, pod, by_address)}:2380" for pod in setup.pods}
    headless = f"{setup.name}-headless.{setup.namespace}.svc.cluster.local"
    env: list[Object] = [
        {"name": "MY_POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "MY_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "MY_STS_NAME", "value": setup.name},
        {"name": "ETCD_NAME", "value": "$(MY_POD_NAME)"},
        {"name": "ETCD_DATA_DIR", "value": "/bitnami/etcd/data"},
        {"name": "ETCD_INITIAL_CLUSTER_TOKEN", "value": setup.token},
        {"name": "ETCD_INITIAL_CLUSTER", "value": ",".join(f"{pod}={url}" for pod, url in urls.items())},
    ]
    if not by_address:
        own = f"http://$(MY_POD_NAME).{headless}"
        clients = f"{own}:2379,http://{setup.name}.{setup.namespace}.svc.cluster.local:2379"
        env += [
            {"name": "ETCD_INITIAL_ADVERTISE_PEER_URLS", "value": f"{own}:2380"},
            {"name": "ETCD_ADVERTISE_CLIENT_URLS", "value": clients},
        ]
    if setup.state:
        env.append({"name": "ETCD_INITIAL_CLUSTER_STATE", "value": setup.state})
    return env
