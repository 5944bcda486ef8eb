"""Scope and protection: where a run may act, and on which object."""

from __future__ import annotations

from dataclasses import replace

import pytest

from remediator.model.objects import CLAIM, NAMESPACE, NODE, POD, VOLUME, ObjectRef
from remediator.model.verdicts import Allow, Reason, Refuse
from tests.unit.guards.asked import ask
from tests.unit.model.made import A_CLAIM, TARGET

A_VOLUME = ObjectRef(VOLUME, "pv-0", uid="uid-volume")


# --- scope -------------------------------------------------------------------------------------------------


def test_the_target_and_what_is_touched_inside_the_scope_is_allowed():
    """Everything lies in a literal namespace of the rule."""
    assert ask("scope", touches=(A_CLAIM,)) == Allow()


def test_a_volume_is_reached_through_its_object_in_scope():
    """An object without a namespace is outside no namespace."""
    assert ask("scope", touches=(A_VOLUME, A_CLAIM)) == Allow()


def test_an_empty_scope_is_nowhere():
    """No namespaces is not all namespaces."""
    assert ask("scope", namespaces=()) == Refuse(
        Reason.OUTSIDE_SCOPE,
        "StatefulSet milvus/my-release-etcd is outside the namespaces of rule etcd-member-removed",
    )


@pytest.mark.parametrize("namespaces", [("milvus-2",), ("milvu",), ("Milvus",), ("*",), ("milvus*",), ("",)])
def test_a_scope_is_literal(namespaces):
    """Neither a prefix nor a pattern nor another case is the namespace."""
    verdict = ask("scope", namespaces=namespaces)

    assert isinstance(verdict, Refuse)
    assert verdict.reason is Reason.OUTSIDE_SCOPE


def test_one_touched_object_outside_refuses_the_whole():
    """The refusal names the very object."""
    strange = replace(A_CLAIM, namespace="billing")

    assert ask("scope", touches=(A_CLAIM, strange)) == Refuse(
        Reason.OUTSIDE_SCOPE,
        "PersistentVolumeClaim billing/data-my-release-etcd-0 is outside the namespaces of rule etcd-member-removed",
    )


def test_a_target_without_a_namespace_is_out_of_scope():
    """A cluster-scoped target is in nobody's literal scope."""
    assert ask("scope", run_target=A_VOLUME, target_uid="uid-volume") == Refuse(
        Reason.OUTSIDE_SCOPE, "PersistentVolume pv-0 is outside the namespaces of rule etcd-member-removed"
    )


def test_a_run_without_a_target_is_refused():
    """There is nothing to be in scope."""
    assert ask("scope", run_target=None) == Refuse(Reason.TARGET_NOT_FOUND, "the run has no target")


def test_a_rule_that_is_gone_gives_no_scope():
    """Namespaces remembered from an unloaded rule are nobody's word any more."""
    assert ask("scope", rule_is_loaded=False) == Refuse(
        Reason.RULE_GONE, "rule etcd-member-removed is no longer loaded"
    )


@pytest.mark.parametrize(("uid", "told"), [("uid-other", "uid-other"), ("", "none")])
def test_another_incarnation_of_the_target_is_refused(uid, told):
    """Made anew, or gone: not the object the run was made for."""
    assert ask("scope", target_uid=uid) == Refuse(
        Reason.TARGET_CHANGED,
        f"StatefulSet milvus/my-release-etcd is not the object the run was made for (uid {told}, not uid-set)",
    )


def test_a_target_that_is_gone_is_not_the_same_as_one_without_a_uid():
    """Two unknown uids are not equal uids."""
    verdict = ask("scope", run_target=replace(TARGET, uid=""), target_uid="")

    assert isinstance(verdict, Refuse)
    assert verdict.reason is Reason.TARGET_CHANGED


# --- protected ---------------------------------------------------------------------------------------------


def test_what_nobody_protects_is_allowed():
    """Neither a protected namespace nor anything of our own."""
    assert ask("protected", touches=(A_CLAIM, A_VOLUME)) == Allow()


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-", "remediator"])
def test_protected_namespaces_are_refused_even_inside_a_scope(namespace):
    """A pattern with a star at its end covers what begins so; a literal one covers itself."""
    touched = replace(A_CLAIM, namespace=namespace)

    assert ask("protected", namespaces=(namespace,), touches=(touched,)) == Refuse(
        Reason.PROTECTED, f"{touched} lies in the protected namespace {namespace}"
    )


@pytest.mark.parametrize("namespace", ["kube", "my-kube-system", "remediator-2", "kubernetes"])
def test_a_namespace_that_only_resembles_a_protected_one_is_not_protected(namespace):
    """Patterns are anchored at the beginning, and literal ones at both ends."""
    assert ask("protected", run_target=replace(TARGET, namespace=namespace)) == Allow()


def test_a_target_in_a_protected_namespace_is_refused_before_anything_is_touched():
    """While planning nothing is touched yet, and the answer is the same."""
    target = replace(TARGET, namespace="kube-system")

    assert ask("protected", run_target=target) == Refuse(
        Reason.PROTECTED, "StatefulSet kube-system/my-release-etcd lies in the protected namespace kube-system"
    )


def test_a_protected_namespace_itself_is_protected():
    """The Namespace object carries its name and lies in none."""
    verdict = ask("protected", touches=(ObjectRef(NAMESPACE, "kube-system"),))

    assert isinstance(verdict, Refuse)
    assert verdict.reason is Reason.PROTECTED


@pytest.mark.parametrize(
    "own",
    [
        ObjectRef(NAMESPACE, "ops"),
        ObjectRef(NODE, "node-7"),
        ObjectRef(POD, "remediator-0", "milvus"),
        ObjectRef(POD, "remediator-0", "milvus", "uid-own"),
    ],
)
def test_what_keeps_the_service_alive_is_never_touched(own):
    """Its namespace, its node and its pod, in any incarnation."""
    touched = replace(own, uid="uid-own")

    assert ask("protected", own=(own,), touches=(touched,)) == Refuse(
        Reason.PROTECTED, f"{touched} keeps this service itself alive"
    )


def test_the_services_own_namespace_protects_all_that_lies_in_it():
    """A claim in our namespace is ours, whatever rule reaches it."""
    touched = ObjectRef(CLAIM, "state", "ops")

    assert ask("protected", own=(ObjectRef(NAMESPACE, "ops"),), touches=(touched,)) == Refuse(
        Reason.PROTECTED, "PersistentVolumeClaim ops/state keeps this service itself alive"
    )


def test_an_object_of_the_same_name_elsewhere_is_not_ours():
    """Another namespace, another kind: not our pod."""
    own = (ObjectRef(POD, "remediator-0", "ops"),)
    others = (ObjectRef(POD, "remediator-0", "milvus"), ObjectRef(CLAIM, "remediator-0", "ops"))

    assert ask("protected", own=own, touches=others) == Allow()


def test_a_run_without_a_target_is_judged_by_what_it_touches():
    """No target is not a reason to skip the question."""
    verdict = ask("protected", run_target=None, touches=(replace(A_CLAIM, namespace="kube-system"),))

    assert isinstance(verdict, Refuse)
