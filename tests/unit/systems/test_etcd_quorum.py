"""Quorum by the member list: the arithmetic, who is healthy, and who was removed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.systems.etcd.api import MemberList
from remediator.systems.etcd.logs import LastWords
from remediator.systems.etcd.quorum import (
    NEAR,
    Quorum,
    healthy_pods,
    quorum_of,
    removed_pods,
)
from tests.unit.systems.etcd_look import (
    CLUSTER_ID,
    cluster,
    member,
    removed_pod,
    silent,
    url,
    with_members,
    with_pod,
    with_voice,
)


def quorum(voters: int, healthy: int) -> Quorum:
    members = tuple(member(n) for n in range(voters))
    return Quorum(members, members[:healthy])


@pytest.mark.parametrize(
    ("voters", "needed", "holds_from", "one_more_from"),
    [
        (1, 1, 1, 2),
        (2, 2, 2, 2),
        (3, 2, 2, 3),
        (4, 3, 3, 3),
        (5, 3, 3, 4),
        (6, 4, 4, 4),
        (7, 4, 4, 5),
    ],
)
def test_the_arithmetic_of_one_to_seven_voters(voters, needed, holds_from, one_more_from):
    """How many are needed, from how many healthy ones the quorum holds, and from how many it survives one more."""
    for healthy in range(voters + 1):
        q = quorum(voters, healthy)
        assert q.needed == needed
        assert q.holds is (healthy >= holds_from)
        assert q.survives_one_more_voter() is (healthy >= one_more_from)
        assert q.all_voters_are_healthy is (healthy == voters)
        assert str(q) == f"{voters} voters registered, {healthy} healthy, quorum {needed}"


def test_no_voters_are_no_quorum():
    """An empty list is not everybody."""
    empty = Quorum((), ())

    assert (empty.holds, empty.all_voters_are_healthy) == (False, False)
    assert not empty.survives_one_more_voter()


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 3))
def test_two_quorums_always_share_a_member(voters, healthy, more):
    """Whatever the size: more than half, and surviving more voters is never easier than holding."""
    q = quorum(voters, min(healthy, voters))

    assert 2 * q.needed > voters
    assert not q.survives_one_more_voter(more) or q.holds


def test_the_survivors_of_a_removal_are_a_whole_quorum():
    """Five pods, four of them removed: a healthy cluster of one, counted by members and not by pods."""
    facts = cluster(5, removed=(0, 1, 2, 4))

    assert quorum_of(facts) == Quorum((member(3),), (member(3),))
    assert [p.ref.name for p in healthy_pods(facts)] == ["my-etcd-3"]
    assert [p.ordinal for p in removed_pods(facts)] == [0, 1, 2, 4]


def test_a_learner_is_no_voter():
    """It neither counts nor is needed."""
    learner = member(0, is_learner=True)

    assert quorum_of(with_members(cluster(), member(1), member(2), learner)) == Quorum(
        (member(1), member(2)), (member(1), member(2))
    )


def test_without_a_linearizable_list_the_quorum_is_not_known():
    """Each member's own view is not the members' agreement."""
    facts = cluster()
    for n in (1, 2):
        facts = with_voice(facts, n, agreed_view=None)

    assert quorum_of(facts) is None
    assert (healthy_pods(facts), removed_pods(facts)) == ((), ())


def test_a_list_from_a_member_without_a_leader_does_not_count():
    """It may have been told before the leader was lost."""
    facts = with_voice(with_voice(cluster(), 1, status_leader=0), 2, status_leader=0)

    assert quorum_of(facts) is None


@pytest.mark.parametrize(
    "change",
    [
        {"status": None},
        {"status_leader": 0},
        {"status_leader": 0xBB},
        {"status_cluster_id": CLUSTER_ID + 1},
        {"status_member_id": 0xFF},
        {"status_applied_index": 1000 + NEAR + 1 - 2 * (NEAR + 1)},
    ],
)
def test_a_member_that_is_not_with_the_others_is_not_healthy(change):
    """Silent, leaderless, following another, of another cluster, another member, or too far behind."""
    found = quorum_of(with_voice(cluster(), 2, **change))

    assert found is not None
    assert [m.id for m in found.healthy] == [0xA1]


@pytest.mark.parametrize(("behind", "healthy"), [(0, 2), (NEAR, 2), (NEAR + 1, 1)])
def test_a_member_may_be_a_thousand_entries_behind_and_no_more(behind, healthy):
    """The boundary itself is near enough."""
    facts = with_voice(with_voice(cluster(), 1, status_applied_index=5000), 2, status_applied_index=5000 - behind)
    found = quorum_of(facts)

    assert found is not None
    assert len(found.healthy) == healthy


def test_a_voter_that_has_not_started_is_not_healthy():
    """A member without a name is registered, and that is all."""
    found = quorum_of(with_members(cluster(), member(1), member(2), member(0, name="")))

    assert found is not None
    assert (len(found.voters), len(found.healthy), found.all_voters_are_healthy) == (3, 2, False)


def test_two_pods_that_claim_to_be_one_member_prove_no_member():
    """One id told by two pods is a riddle, not a healthy member."""
    found = quorum_of(with_voice(cluster(), 2, status_member_id=0xA1))

    assert found is not None
    assert found.healthy == ()


def test_a_crash_looping_pod_has_no_voice_in_the_membership():
    """It speaks for a second after each start, of a cluster it no longer belongs to."""
    facts = cluster()
    stranger = replace(facts.voices[0], pod="my-etcd-0", agreed_view=MemberList(CLUSTER_ID, 0xA0, (member(0),)))
    facts = replace(facts, voices=(stranger, *facts.voices))

    assert facts.agreed is not None
    assert [m.id for m in facts.agreed.members] == [0xA1, 0xA2]


# --- registrations and removal -----------------------------------------------------------------------------


def test_a_member_is_found_by_its_peer_address():
    """A slash at the end is no difference; another port is."""
    listed = MemberList(CLUSTER_ID, 0xA0, (member(0, peer_urls=(url(0) + "/",)), member(1)))

    assert listed.at(removed_pod(0).peer_url) == listed.members[0]
    assert listed.at(removed_pod(0, peer_url=url(0).replace("2380", "2381")).peer_url) is None
    assert listed.at(removed_pod(0, peer_url="").peer_url) is None


def test_a_member_with_several_addresses_is_found_by_any():
    """etcd lets a member have more than one."""
    listed = MemberList(CLUSTER_ID, 0xA0, (member(0, peer_urls=("http://10.9.9.9:2380", url(0))),))

    assert listed.at(removed_pod(0).peer_url) == listed.members[0]


@pytest.mark.parametrize(
    "change",
    [
        {"is_ready": True},
        {"restarts": 0},
        {"words": LastWords(available=True)},
        {"words": LastWords(available=False)},
        {"peer_url": ""},
    ],
)
def test_each_part_of_the_proof_of_a_removal_is_needed(change):
    """Not Ready, died before, said so, and an address that the others can be asked about."""
    facts = cluster()

    assert [p.ordinal for p in removed_pods(facts)] == [0]
    assert removed_pods(with_pod(facts, 0, **change)) == ()


@pytest.mark.parametrize(
    ("registered", "removed"),
    [
        ({"name": "", "id": 0xBEEF}, True),
        ({"name": "", "id": 0xDEAD0}, False),
        ({"name": "my-etcd-0", "id": 0xBEEF}, False),
        ({"name": "my-etcd-0", "id": 0xDEAD0}, False),
    ],
)
def test_a_registered_address_is_a_removal_only_under_a_new_id_that_never_started(registered, removed):
    """A started member of that address is a member, whatever an old log says."""
    facts = with_members(cluster(), member(1), member(2), member(0, **registered))

    assert bool(removed_pods(facts)) is removed


def test_a_registration_of_unknown_age_is_no_removal():
    """Where the log tells no id (3.4's plain text), nobody can say that the registration is a new one."""
    facts = with_members(cluster(), member(1), member(2), member(0, name="", id=0xBEEF))
    words = LastWords(available=True, removed=True, dead_id=0)

    assert removed_pods(with_pod(facts, 0, words=words)) == ()


def test_silence_of_a_healthy_pod_does_not_make_it_removed():
    """Only the dead that said so are looked for in the list."""
    facts = cluster()

    assert [p.ordinal for p in removed_pods(replace(facts, voices=(facts.voices[0], silent(2))))] == [0]
