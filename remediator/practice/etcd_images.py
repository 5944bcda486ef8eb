"""
The families of etcd images, and what an etcd pod's variables say.

In: a container of a pod. Out: its family, its member name, its URLs, the members it is told about. The families differ
in what their entrypoint does before etcd runs, which decides whether a removed member can come back by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from remediator.practice.containers import Launch


class Family(StrEnum):
    MILVUS = "M"
    BITNAMI_OLD = "B-old"
    BITNAMI_NEW = "B-new"
    PLAIN = "P"


@dataclass(frozen=True)
class EtcdSpec:
    """What one etcd pod was told."""

    family: Family
    name: str
    initial_cluster: dict[str, str]
    """Member name to peer URL."""
    state: str
    token: str
    peer_url: str
    client_urls: tuple[str, ...]
    data_dir: str

    @property
    def other_urls(self) -> set[str]:
        return set(self.initial_cluster.values()) - {self.peer_url}

    @property
    def healthy_others_needed(self) -> int:
        """The Bitnami gate: integer half of the pods with an address, rounded up."""
        return (len(self.initial_cluster) + 1) // 2


def is_etcd(launch: Launch) -> bool:
    return "etcd" in str(launch.container.get("image", "")).rpartition("/")[2]


def family_of(image: str, env: dict[str, str]) -> Family:
    repository = image.partition("@")[0].rpartition(":")[0] or image
    if repository.endswith("milvusdb/etcd"):
        return Family.MILVUS
    if "bitnami" in repository:
        return Family.BITNAMI_OLD if "ETCD_INITIAL_CLUSTER_STATE" in env else Family.BITNAMI_NEW
    return Family.PLAIN


def read_spec(launch: Launch) -> EtcdSpec:
    env = launch.env
    name = env.get("ETCD_NAME") or launch.pod_name
    if name == "$(MY_POD_NAME)":  # the chart's own variable, left out of short manifests
        name = launch.pod_name
    members = dict(part.split("=", 1) for part in env.get("ETCD_INITIAL_CLUSTER", "").split(",") if "=" in part)
    own = members.get(name, f"http://{launch.address}:2380")
    url = env.get("ETCD_INITIAL_ADVERTISE_PEER_URLS") or own
    parts = urlsplit(url)
    client = env.get("ETCD_ADVERTISE_CLIENT_URLS") or f"{parts.scheme}://{parts.hostname}:2379"
    return EtcdSpec(
        family=family_of(str(launch.container.get("image", "")), env),
        name=name,
        initial_cluster=members,
        state=env.get("ETCD_INITIAL_CLUSTER_STATE", "new"),
        token=env.get("ETCD_INITIAL_CLUSTER_TOKEN", "etcd-cluster"),
        peer_url=url,
        client_urls=tuple(client.split(",")),
        data_dir=env.get("ETCD_DATA_DIR", "/var/run/etcd/default.etcd"),
    )


def version_of(image: str) -> str:
    """The version in the tag, `3.5.25` where it says none."""
    tag = image.partition("@")[0].rpartition(":")[2].removeprefix("v")
    version = tag.partition("-")[0]
    return version if version[:1].isdigit() and version.count(".") == 2 else "3.5.25"
