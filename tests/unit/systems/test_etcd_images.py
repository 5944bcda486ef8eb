"""Which entrypoint an image has, told from its name and what the chart sets beside it."""

from __future__ import annotations

import pytest

from remediator.systems.etcd.images import Family, family_of, repository

STATE = {"ETCD_INITIAL_CLUSTER_STATE": "existing"}
DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("milvusdb/etcd:3.5.25-r1", "milvusdb/etcd"),
        ("milvusdb/etcd", "milvusdb/etcd"),
        (f"docker.io/milvusdb/etcd:3.5{DIGEST}", "docker.io/milvusdb/etcd"),
        (f"milvusdb/etcd{DIGEST}", "milvusdb/etcd"),
        ("registry:5000/milvusdb/etcd:3.5", "registry:5000/milvusdb/etcd"),
        ("registry:5000/milvusdb/etcd", "registry:5000/milvusdb/etcd"),
        ("", ""),
    ],
)
def test_tag_and_digest_are_no_part_of_a_repository(image, name):
    """A registry's port is."""
    assert repository(image) == name


@pytest.mark.parametrize("registry", ["", "docker.io/", "registry:5000/", "mirror.example/hub/"])
@pytest.mark.parametrize("env", [{}, STATE])
@pytest.mark.parametrize("has_prestop", [True, False])
def test_the_fork_of_milvus_is_told_by_its_name_alone(registry, env, has_prestop):
    """Whatever the chart sets: its prestop script does nothing."""
    assert family_of(f"{registry}milvusdb/etcd:3.5.25-r1", env, has_prestop=has_prestop) is Family.MILVUS


@pytest.mark.parametrize(
    ("env", "has_prestop", "family"),
    [
        (STATE, True, Family.BITNAMI_OLD),
        (STATE, False, Family.BITNAMI_OLD),
        ({"ETCD_INITIAL_CLUSTER_STATE": ""}, True, Family.BITNAMI_OLD),
        ({}, False, Family.BITNAMI_NEW),
        ({}, True, Family.UNKNOWN),
    ],
)
@pytest.mark.parametrize("repo", ["bitnami/etcd", "docker.io/bitnami/etcd", "bitnamilegacy/etcd", "bitnamisecure/etcd"])
def test_bitnamis_image_is_told_apart_by_what_its_chart_sets(repo, env, has_prestop, family):
    """A hook that removes the member without the variable of that chart is a mixture nobody has read."""
    assert family_of(f"{repo}:3.5.16", env, has_prestop=has_prestop) is family


@pytest.mark.parametrize(
    "image",
    [
        "quay.io/coreos/etcd:v3.5.16",
        "coreos/etcd:v3.4.23",
        "registry.k8s.io/etcd:3.5.16-0",
        "k8s.gcr.io/etcd:3.5.0-0",
        "gcr.io/etcd-development/etcd:v3.6.4",
        "etcd:3.5",
        "mirror.example/coreos/etcd:v3.5.16",
    ],
)
def test_a_plain_etcd_is_told_by_who_publishes_it(image):
    """Nothing around etcd itself."""
    assert family_of(image, {}, has_prestop=False) is Family.PLAIN


@pytest.mark.parametrize(
    "image",
    [
        "",
        "example.com/team/etcd:1",
        "localhost:5000/etcd:3.5",
        "notmilvusdb/etcd:3.5",
        "example.com/my-coreos/etcd:1",
        "xregistry.k8s.io/etcd:1",
        "milvusdb/etcd-operator:1",
        "milvusdb/etcd/wrapper:1",
        "bitnami/etcd-exporter:1",
        "mybitnami2/etcd:1",
        "bitnami/redis:7",
        "Milvusdb/etcd:1",
    ],
)
def test_any_other_image_is_unknown(image):
    """Also one that merely ends like a known one: hands off an entrypoint nobody has read."""
    assert family_of(image, STATE, has_prestop=False) is Family.UNKNOWN


@pytest.mark.parametrize("image", ["milvusdb/etcd:3.5.25-r1", "bitnami/etcd:3.5.16"])
def test_a_command_of_the_pods_own_is_an_entrypoint_nobody_has_read(image):
    """Only plain etcd is the same under any command."""
    assert family_of(image, STATE, has_prestop=True, own_entrypoint=False) is Family.UNKNOWN
    plain = family_of("quay.io/coreos/etcd:v3.5.16", STATE, has_prestop=False, own_entrypoint=False)
    assert plain is Family.PLAIN
