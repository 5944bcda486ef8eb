"""
Tell the image families apart: what the entrypoint does with an empty disk decides how a member is replaced.

    MILVUS        milvusdb/etcd: adds itself as a voter on an empty disk when the state is `existing`
    BITNAMI_OLD   Bitnami with ETCD_INITIAL_CLUSTER_STATE and a preStop hook that removes the member
    BITNAMI_NEW   Bitnami without both: heals itself while enough others are healthy
    PLAIN         etcd and nothing around it: somebody must register the member
    UNKNOWN       an entrypoint we have not read: hands off
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

MILVUS = re.compile(r"(\A|/)milvusdb/etcd\Z")
BITNAMI = re.compile(r"(\A|/)bitnami[a-z]*/etcd\Z")
PLAIN = re.compile(r"\Aetcd\Z|(\A|/)(coreos|registry\.k8s\.io|etcd-development|k8s\.gcr\.io)/etcd\Z")
"""Whole parts of a path: an image that merely ends alike is somebody else's."""


class Family(StrEnum):
    MILVUS = "milvus"
    BITNAMI_OLD = "bitnami-old"
    BITNAMI_NEW = "bitnami-new"
    PLAIN = "plain"
    UNKNOWN = "unknown"


def repository(image: str) -> str:
    """`registry/path/etcd:3.5@sha256:…` without tag and digest."""
    name = image.partition("@")[0]
    return re.sub(r":[^/:]*\Z", "", name)


def family_of(image: str, env: Mapping[str, str], *, has_prestop: bool, own_entrypoint: bool = True) -> Family:
    """`own_entrypoint` False: the pod runs another command than the image's own, and only plain etcd needs no other."""
    name = repository(image)
    if not own_entrypoint and not PLAIN.search(name):
        return Family.UNKNOWN
    if MILVUS.search(name):
        return Family.MILVUS
    if BITNAMI.search(name):
        old = "ETCD_INITIAL_CLUSTER_STATE" in env
        return Family.BITNAMI_OLD if old else (Family.UNKNOWN if has_prestop else Family.BITNAMI_NEW)
    if PLAIN.search(name):
        return Family.PLAIN
    return Family.UNKNOWN
