"""When an etcd is well, and each thing that speaks against it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from remediator.model.systems import Health
from remediator.systems.etcd.health import health
from tests.unit.model.made import make_plan, make_step
from tests.unit.systems.etcd_look import cluster, member, silent, with_members, with_pod, with_voice

WELL = cluster(3, ())


@pytest.mark.parametrize("replicas", [1, 3, 5])
def test_a_whole_cluster_with_equal_data_is_well(replicas):
    """Every replica a started voter, one leader, nobody behind, every pod Ready."""
    assert health(cluster(replicas, ()), None) == Health(
        True,
        f"{replicas} voters registered, {replicas} healthy, quorum {replicas // 2 + 1}; "
        "every pod Ready; data equal at revision 500",
    )


@pytest.mark.parametrize(
    ("facts", "seen"),
    [
        (replace(WELL, unread=("jobs in milvus: no",)), "could not read jobs in milvus: no"),
        (replace(WELL, pods=WELL.pods[:2]), "2 of 3 pods exist"),
        (replace(WELL, replicas=2), "3 of 2 pods exist"),
        (with_pod(WELL, 1, is_ready=False), "my-etcd-1 is not Ready"),
        (cluster(), "my-etcd-0 is not Ready"),
        (replace(WELL, voices=()), "no member gave the linearizable member list"),
        (with_members(WELL, member(0), member(1), member(2, name="")), "member a2 has not started"),
        (with_members(WELL, member(0), member(1), member(2, is_learner=True)), "member my-etcd-2 is still a learner"),
        (with_members(WELL, member(0), member(1)), "2 of 3 members are registered"),
        (
            with_members(WELL, member(0), member(1), member(2), member(3)),
            "4 of 3 members are registered",
        ),
        (
            with_voice(WELL, 2, status_leader=0xBB),
            "not every voter is healthy: 3 voters registered, 2 healthy, quorum 2",
        ),
        (
            replace(WELL, voices=(*WELL.voices[:2], silent(2))),
            "not every voter is healthy: 3 voters registered, 2 healthy, quorum 2",
        ),
        (with_voice(WELL, 1, status_applied_index=899), "member a1 is 101 entries behind"),
        (with_voice(WELL, 1, status_errors=("etcdserver: no space",)), "member a1 reports etcdserver: no space"),
        (with_voice(WELL, 1, alarms=("NOSPACE",)), "alarm NOSPACE is raised"),
        (with_voice(WELL, 1, hash=78), "the data is not known to be equal at revision 500"),
        (with_voice(WELL, 1, hash=None), "the data is not known to be equal at revision 500"),
    ],
)
def test_each_thing_that_speaks_against_it(facts, seen):
    """One is enough, and the person hears which."""
    assert health(facts, None) == Health(False, seen)


def test_a_hundred_entries_behind_is_near_enough():
    """The boundary itself."""
    assert health(with_voice(WELL, 1, status_applied_index=900), None).met


def test_an_unknown_hash_of_all_is_not_equality():
    """Three members of whom nobody knows the data are not equal."""
    facts = replace(WELL, voices=tuple(replace(v, hash=None) for v in WELL.voices))

    assert not health(facts, None).met


def test_nothing_at_all_is_not_well():
    """A StatefulSet scaled to zero has no etcd that could be well."""
    assert not health(cluster(0, (), pods=(), voices=()), None).met


@pytest.mark.parametrize(("revision", "met"), [(0, True), (499, True), (500, True), (501, False)])
def test_a_cure_must_hold_at_least_the_data_it_began_with(revision, met):
    """Equal on all members and older than before is a loss."""
    done = make_plan(make_step(args={"min_revision": revision}), make_step(1, args={}))
    found = health(WELL, done)

    assert found.met is met
    if not met:
        assert found.seen == "the data stands at revision 500, and stood at 501 before"


def test_of_several_rounds_the_newest_revision_counts():
    """The last snapshot's is the largest."""
    done = make_plan(make_step(args={"min_revision": 400}), make_step(1, args={"min_revision": 600}))

    assert not health(WELL, done).met
