"""Names of objects and namespaces: what may reach a URL, and what two references have in common."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.objects import CLAIM, NAMESPACE, POD, STATEFUL_SET, VOLUME, ObjectRef, is_object_name
from remediator.model.scopes import is_label_name, is_protected
from remediator.model.verdicts import Permit

REF = ObjectRef(POD, "etcd-0", "milvus", "uid-1")
GOOD = ["a", "0", "etcd-0", "my-release-etcd-0", "a.b.c", "pvc-3f2c9a6e-0000-4a6b-8f7e-1b2c3d4e5f60", "a" * 253]
BAD = [
    "",
    ".",
    "..",
    "../etc",
    "../",
    "a/../b",
    "a..b",
    "a/b",
    "%2e%2e",
    "%2e",
    "a%2fb",
    "a\x00",
    "\x00",
    "a\n",
    "a\r\nHost: x",
    "etcd-0?force=true",
    "etcd-0#x",
    "A",
    "Etcd-0",
    "-a",
    "a-",
    "a.",
    ".a",
    "a_b",
    "a b",
    "a\u2024b",  # one dot leader
    "a\u3002b",  # ideographic full stop
    "a\uff0eb",  # full-width full stop
    "\u2026",
    "\u2173",
    "\uff41",
    "é",
    "\u0430",  # Cyrillic
    "a\u200bb",
    "\u0661",  # an Arabic digit
    "a" * 254,
]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_the_api_server_could_have(name):
    """Lower-case letters, digits, dashes and dots, 253 of them at most."""
    assert is_object_name(name)


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_what_is_no_name_never_reaches_a_url(name):
    """Ways up a path, encoded or not, control characters, look-alike dots and letters, and one character too many."""
    assert not is_object_name(name)


@given(st.text(max_size=300))
def test_whatever_passes_needs_no_encoding(text):
    """Over any text: what is a name is plain ASCII that cannot leave its place in a path."""
    if is_object_name(text):
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
        assert ".." not in text
        assert 0 < len(text) <= 253


@pytest.mark.parametrize("name", ["a", "milvus", "kube-system", "a" * 63])
def test_a_namespace_is_a_label(name):
    """RFC 1123: 63 characters at most."""
    assert is_label_name(name)


@pytest.mark.parametrize("name", ["", "a.b", "a" * 64, "-a", "a-", "A", "*", "..", "a\n", "é"], ids=ascii)
def test_what_is_no_label_is_no_namespace(name):
    """No dots, no patterns, no line ends."""
    assert not is_label_name(name)


@pytest.mark.parametrize(
    ("namespace", "patterns", "protected"),
    [
        ("kube-system", ("kube-*",), True),
        ("kube-", ("kube-*",), True),
        ("kube", ("kube-*",), False),
        ("my-kube-system", ("kube-*",), False),
        ("ops", ("ops",), True),
        ("ops-2", ("ops",), False),
        ("anything", ("*",), True),
        ("anything", (), False),
        ("a*b", ("a*b",), True),
        ("axb", ("a*b",), False),
    ],
)
def test_a_pattern_protects_literally_or_by_its_beginning(namespace, patterns, protected):
    """A star counts only at the end."""
    assert is_protected(namespace, patterns) is protected


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (REF, True),
        (REF.any_incarnation(), True),
        (replace(REF, uid="uid-2"), False),
        (replace(REF, name="etcd-1"), False),
        (replace(REF, namespace="other"), False),
        (replace(REF, resource=CLAIM), False),
    ],
)
def test_two_references_are_one_object_unless_something_known_differs(other, same):
    """Where both carry a uid it counts; the question is the same from both sides."""
    assert REF.is_same_object(other) is same
    assert other.is_same_object(REF) is same


def test_a_permit_covers_only_what_it_names():
    """Not another incarnation, and nothing at all when it names nothing."""
    permit = Permit("run-1", 0, 1, (REF,), 10.0)

    assert permit.covers(REF)
    assert not permit.covers(replace(REF, uid="uid-2"))
    assert not permit.covers(replace(REF, name="etcd-1"))
    assert not replace(permit, may_touch=()).covers(REF)


@pytest.mark.parametrize(
    ("ref", "key", "text"),
    [
        (REF, "core/Pod/milvus/etcd-0", "Pod milvus/etcd-0"),
        (
            ObjectRef(STATEFUL_SET, "etcd", "milvus"),
            "apps/StatefulSet/milvus/etcd",
            "StatefulSet milvus/etcd",
        ),
        (ObjectRef(VOLUME, "pv-0"), "core/PersistentVolume/pv-0", "PersistentVolume pv-0"),
        (ObjectRef(NAMESPACE, "milvus"), "core/Namespace/milvus", "Namespace milvus"),
    ],
)
def test_a_reference_has_one_key_for_all_its_incarnations(ref, key, text):
    """Locks and limits last longer than an incarnation."""
    assert (ref.key, str(ref)) == (key, text)
    assert replace(ref, uid="uid-9").key == key
    assert ObjectRef.from_json(ref.as_json()) == ref


def test_a_reference_is_taken_from_a_live_object():
    """With its uid; an object without one is only a name."""
    live = {"metadata": {"name": "etcd-0", "namespace": "milvus", "uid": "uid-1"}}

    assert ObjectRef.of(POD, live) == REF
    assert ObjectRef.of(VOLUME, {"metadata": {"name": "pv-0"}}) == ObjectRef(VOLUME, "pv-0")
