"""Each question about a look at etcd: when it is answered yes, no and unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from remediator.model.evidence import Answer, DiagnosisResult, Weight, conclude
from remediator.model.verdicts import Reason
from remediator.systems.etcd import SYSTEM, facts_json
from remediator.systems.etcd.api import MemberList
from remediator.systems.etcd.facts import Death, EtcdFacts
from remediator.systems.etcd.images import Family
from remediator.systems.etcd.logs import LOOKALIKES, UNREADABLE, LastWords
from remediator.systems.etcd.probes import PROBES
from tests.unit.systems.etcd_look import (
    CLUSTER_ID,
    SAID,
    cluster,
    member,
    removed_pod,
    silent,
    with_members,
    with_pod,
    with_voice,
)

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
DEATH = Death(1, "Error", "2026-11-21T02:00:00Z", "containerd://x")
STARTING: dict[str, Any] = {"is_ready": False, "is_running": True}


def ask(name: str, facts: EtcdFacts) -> tuple[Answer, str]:
    found = next(p for p in PROBES if p.name == name).judge(facts)
    return found.answer, found.seen


def diagnose(facts: EtcdFacts) -> Any:
    return conclude([p.judge(facts) for p in PROBES], fault=SYSTEM.fault)


# --- all together ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("replicas", "removed"), [(3, (0,)), (3, (2,)), (5, (1, 3)), (5, (0, 1, 2)), (2, (0,))])
def test_a_removed_member_of_a_healthy_cluster_is_confirmed(replicas, removed):
    """Whatever its ordinal: the survivors are a whole membership of their own."""
    assert diagnose(cluster(replicas, removed)).result is DiagnosisResult.CONFIRMED


def test_a_healthy_cluster_is_not_this_fault():
    """Nothing crash-loops."""
    assert diagnose(cluster(3, ())).result is DiagnosisResult.EXCLUDED


def test_no_probe_says_yes_to_nothing_at_all():
    """A look without pods and voices confirms nothing, and no required question is answered yes out of emptiness."""
    nothing = cluster(0, (), pods=(), voices=())

    assert diagnose(nothing).result is not DiagnosisResult.CONFIRMED
    for name in ("one_cluster", "quorum_holds", "every_voter_is_healthy", "no_alarm", "removed_members_proven"):
        assert ask(name, nothing)[0] is UNKNOWN


def test_every_probe_has_its_own_name_and_a_question():
    """A plan's steps name probes; two of one name would be a coin toss."""
    names = [p.name for p in PROBES]

    assert len(names) == len(set(names)) == 14 + len(LOOKALIKES)
    for probe in PROBES:
        told = probe.judge(cluster())
        assert (told.probe, told.question[-1]) == (probe.name, "?")


def test_every_known_fault_of_a_log_is_a_lookalike():
    """And none of them is asked for as a proof."""
    lookalikes = {p.name for p in PROBES if p.judge(cluster()).weight is Weight.LOOKALIKE}

    assert lookalikes == {fault.name for fault in LOOKALIKES} | {
        "quorum_lost",
        "image_heals_itself",
        "killed_for_memory",
    }


# --- what must be so ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "answer", "seen"),
    [
        (cluster(), YES, "3 pods, their claims, volumes, nodes and logs"),
        (cluster(unread=("jobs in milvus: forbidden",)), UNKNOWN, "could not read jobs in milvus: forbidden"),
        (cluster(replicas=3, pods=cluster().pods[:2]), UNKNOWN, "2 of 3 pods exist"),
        (replace(cluster(), replicas=2), UNKNOWN, "3 of 2 pods exist"),
    ],
)
def test_everything_was_read(facts, answer, seen):
    """One thing not read, or one pod too few or too many, and nothing is certain."""
    assert ask("everything_was_read", facts) == (answer, seen)


@pytest.mark.parametrize(
    ("facts", "answer", "seen"),
    [
        (cluster(), YES, "my-etcd-0 (14 restarts)"),
        (with_pod(cluster(), 0, is_crash_looping=False), UNKNOWN, "my-etcd-0 is between two restarts"),
        (with_pod(cluster(), 0, is_crash_looping=False, restarts=0), NO, "no etcd container is crash-looping"),
        (cluster(3, ()), NO, "no etcd container is crash-looping"),
    ],
)
def test_crash_looping(facts, answer, seen):
    """A container that runs for a moment between two deaths is waited for."""
    assert ask("crash_looping", facts) == (answer, seen)


@pytest.mark.parametrize(
    ("facts", "answer", "seen"),
    [
        (cluster(), YES, "not Ready: my-etcd-0"),
        (cluster(3, ()), YES, "not Ready: none"),
        (
            with_pod(cluster(), 2, **STARTING),
            UNKNOWN,
            "my-etcd-2 is not Ready, and not because it was removed",
        ),
        (
            with_pod(cluster(), 0, words=LastWords(available=True)),
            UNKNOWN,
            "my-etcd-0 is not Ready, and not because it was removed",
        ),
    ],
)
def test_all_down_are_explained(facts, answer, seen):
    """A pod that is down for another reason is waited for."""
    assert ask("all_down_are_explained", facts) == (answer, seen)


def still_registered() -> EtcdFacts:
    """The pod that died is a member all the same."""
    return with_members(cluster(), member(0), member(1), member(2))


@pytest.mark.parametrize(
    ("facts", "answer", "seen"),
    [
        (cluster(), YES, SAID),
        (with_pod(cluster(), 0, words=UNREADABLE), UNKNOWN, "the log of my-etcd-0's last run cannot be read"),
        (
            with_pod(cluster(), 0, words=LastWords(True, line="listen failed")),
            UNKNOWN,
            "my-etcd-0 is not registered, and its last death did not say why: listen failed",
        ),
        (
            with_pod(still_registered(), 0, words=LastWords(True, line="listen failed")),
            NO,
            "my-etcd-0 said: listen failed",
        ),
        (with_pod(cluster(), 0, words=LastWords(True)), UNKNOWN, "the log of my-etcd-0's last run cannot be read"),
        (with_pod(cluster(), 0, death=None, words=UNREADABLE), NO, "no container that is down has died"),
        (cluster(3, ()), NO, "no container that is down has died"),
        (
            with_pod(cluster(5, (0, 1)), 1, words=LastWords(True, line="another tale")),
            UNKNOWN,
            "my-etcd-1 is not registered, and its last death did not say why: another tale",
        ),
    ],
)
def test_removal_in_log(facts, answer, seen):
    """All the dead must say so; an empty or unread log says nothing, and a second fault beside it is waited for."""
    assert ask("removal_in_log", facts) == (answer, seen)


@pytest.mark.parametrize(
    ("facts", "answer", "seen"),
    [
        (cluster(), YES, "my-etcd-0: told in 2 of 2 different deaths"),
        (with_pod(cluster(), 0, deaths_seen=1), UNKNOWN, "my-etcd-0: told in 1 of 2 different deaths"),
        (with_pod(cluster(), 0, deaths_seen=0), UNKNOWN, "my-etcd-0: told in 0 of 2 different deaths"),
        (
            with_pod(cluster(5, (0, 1)), 1, deaths_seen=1),
            UNKNOWN,
            "my-etcd-1: told in 1 of 2 different deaths",
        ),
        (with_pod(cluster(), 0, words=UNREADABLE), UNKNOWN, "the log of my-etcd-0's last run cannot be read"),
        (
            with_pod(cluster(), 0, words=LastWords(True, line="bye")),
            UNKNOWN,
            "my-etcd-0 is not registered, and its last death did not say why: bye",
        ),
        (
            with_pod(still_registered(), 0, words=LastWords(True, line="bye")),
            NO,
            "no pod's last words tell of a removal",
        ),
    ],
)
def test_removal_seen_twice(facts, answer, seen):
    """One death may have left an old log; the fewest sightings of any pod count."""
    assert ask("removal_seen_twice", facts) == (answer, seen)


def two_lists() -> EtcdFacts:
    return with_voice(cluster(), 2, own_view=MemberList(CLUSTER_ID, 0xA2, (member(2),)))


def two_clusters() -> EtcdFacts:
    return with_voice(cluster(), 2, own_view=MemberList(7, 0xA2, (member(1), member(2))))


@pytest.mark.parametrize(
    ("facts", "answer", "seen"),
    [
        (cluster(), YES, "cluster 9491c1ff1b697b36, one member list, told by my-etcd-1, my-etcd-2"),
        (two_clusters(), NO, "members of 2 different clusters answer: 7, 9491c1ff1b697b36"),
        (two_lists(), UNKNOWN, "2 different member lists are told by my-etcd-1, my-etcd-2"),
        (cluster(voices=()), UNKNOWN, "no member answers"),
        (cluster(voices=(silent(1), silent(2))), UNKNOWN, "no member answers"),
        (
            cluster(voices=(cluster().voices[0], silent(2))),
            UNKNOWN,
            "only my-etcd-1 answers, and it is not the only voter",
        ),
        (
            cluster(3, (0, 2)),
            YES,
            "cluster 9491c1ff1b697b36, one member list, told by my-etcd-1",
        ),
    ],
)
def test_one_cluster(facts, answer, seen):
    """Two clusters stop everything; two lists of one cluster may be a moment apart; one view needs one voter."""
    assert ask("one_cluster", facts) == (answer, seen)


def lost(*pods: int) -> EtcdFacts:
    """Five members of which those in `pods` are silent; pod 4 was removed."""
    facts = cluster(5, (4,))
    return replace(facts, voices=tuple(silent(v) if v in pods else facts.voices[v] for v in range(4)))


@pytest.mark.parametrize(
    ("facts", "quorum", "every"),
    [
        (cluster(), YES, YES),
        (lost(), YES, YES),
        (lost(3), YES, UNKNOWN),
        (lost(2, 3), UNKNOWN, UNKNOWN),
        (with_members(cluster(), member(1), member(2), member(0, name="")), YES, UNKNOWN),
        (cluster(voices=()), UNKNOWN, UNKNOWN),
    ],
)
def test_quorum_holds_and_every_voter_is_healthy(facts, quorum, every):
    """A silent voter is unknown: the list itself took a quorum to answer."""
    assert ask("quorum_holds", facts)[0] is quorum
    assert ask("every_voter_is_healthy", facts)[0] is every


def test_a_voter_that_is_away_is_named():
    """By its name, or by its id when it never started."""
    facts = with_members(cluster(), member(1), member(2), member(0, name=""), member(5))

    assert ask("every_voter_is_healthy", facts) == (
        UNKNOWN,
        "registered but not known to be healthy: a0, my-etcd-5",
    )


@pytest.mark.parametrize(
    ("facts", "answer", "seen"),
    [
        (cluster(), YES, "no longer a member: my-etcd-0 (was dead0)"),
        (
            with_members(cluster(), member(1), member(2), member(0, id=0xBEEF, name="")),
            YES,
            "no longer a member: my-etcd-0 (was dead0); registered anew and not started: my-etcd-0",
        ),
        (cluster(voices=()), UNKNOWN, "no member gave the linearizable member list"),
        (with_pod(cluster(), 0, words=UNREADABLE), UNKNOWN, "the log of my-etcd-0's last run cannot be read"),
        (
            with_pod(cluster(), 0, words=LastWords(True, line="bye")),
            UNKNOWN,
            "my-etcd-0 is not registered, and its last death did not say why: bye",
        ),
        (
            with_pod(still_registered(), 0, words=LastWords(True, line="bye")),
            NO,
            "no pod's last words tell of a removal",
        ),
        (
            with_pod(cluster(), 0, peer_url=""),
            UNKNOWN,
            "the peer address of my-etcd-0 cannot be read from its environment",
        ),
        (
            with_members(cluster(), member(0), member(1), member(2)),
            NO,
            (
                "my-etcd-0 says it was removed, yet its address "
                "http://my-etcd-0.my-etcd-headless.milvus.svc.cluster.local:2380 is registered"
            ),
        ),
    ],
)
def test_removed_members_proven(facts, answer, seen):
    """The others must agree; an address that is not known is not an address that is not registered."""
    assert ask("removed_members_proven", facts) == (answer, seen)


@pytest.mark.parametrize(
    ("facts", "answer", "seen"),
    [
        (cluster(), YES, "no alarm is raised"),
        (with_voice(cluster(), 1, alarms=("NOSPACE",)), NO, "alarm NOSPACE is raised"),
        (
            with_voice(with_voice(cluster(), 1, alarms=("NOSPACE",)), 2, alarms=("CORRUPT", "NOSPACE")),
            NO,
            "alarm CORRUPT, NOSPACE is raised",
        ),
        (with_voice(cluster(), 1, alarms=None), UNKNOWN, "not every running member told its alarms"),
        (cluster(voices=()), UNKNOWN, "not every running member told its alarms"),
    ],
)
def test_no_alarm(facts, answer, seen):
    """Silence is not the absence of an alarm."""
    assert ask("no_alarm", facts) == (answer, seen)


def test_undisturbed():
    """A rollout, a drain or a Helm job is waited for."""
    assert ask("undisturbed", cluster()) == (YES, "no rollout, drain or Helm job")
    assert ask("undisturbed", cluster(rollout="node n1 is cordoned")) == (UNKNOWN, "node n1 is cordoned")


# --- what must not be so -----------------------------------------------------------------------------------


def leaderless() -> EtcdFacts:
    facts = cluster(3, ())
    for n in range(3):
        facts = with_voice(facts, n, status_leader=0, status_errors=("etcdserver: no leader",), agreed_view=None)
    return facts


@pytest.mark.parametrize(
    ("facts", "answer", "seen"),
    [
        (cluster(), NO, "2 members have a leader"),
        (with_voice(cluster(), 1, status_leader=0), NO, "1 members have a leader"),
        (
            replace(leaderless(), leaderless_looks=1),
            UNKNOWN,
            "3 members answer and none has a leader (etcdserver: no leader), in 1 looks",
        ),
        (
            replace(leaderless(), leaderless_looks=2),
            YES,
            "3 members answer and none has a leader (etcdserver: no leader), in 2 looks",
        ),
        (cluster(voices=(silent(1), silent(2))), UNKNOWN, "no member answers"),
        (
            replace(cluster(), pods=tuple(removed_pod(n) for n in range(3)), voices=()),
            YES,
            "every etcd pod is crash-looping",
        ),
        (cluster(0, (), pods=(), voices=()), UNKNOWN, "no member answers"),
    ],
)
def test_quorum_lost(facts, answer, seen):
    """All pods running without a leader is another fault; no pods at all is no proof of it."""
    assert ask("quorum_lost", facts) == (answer, seen)


def healing(replicas: int, removed: tuple[int, ...]) -> EtcdFacts:
    facts = cluster(replicas, removed)
    return replace(facts, pods=tuple(replace(p, family=Family.BITNAMI_NEW) for p in facts.pods))


@pytest.mark.parametrize(
    ("facts", "answer", "seen"),
    [
        (cluster(), NO, "image family milvus"),
        (
            healing(3, (0,)),
            UNKNOWN,
            "2 healthy others are enough for the image; 2 of 3 deaths were watched",
        ),
        (
            with_pod(healing(3, (0,)), 0, deaths_seen=3),
            NO,
            "2 healthy others are enough for the image; 3 of 3 deaths were watched",
        ),
        (healing(3, (0, 1)), NO, "1 healthy others, and the image wants 2 to replace its own member"),
        (healing(5, (0, 1, 2)), NO, "2 healthy others, and the image wants 3 to replace its own member"),
        (
            healing(2, (0,)),
            UNKNOWN,
            "1 healthy others are enough for the image; 2 of 3 deaths were watched",
        ),
        (
            with_pod(healing(3, (0, 1)), 0, address=""),
            UNKNOWN,
            "1 healthy others are enough for the image; 2 of 3 deaths were watched",
        ),
    ],
)
def test_image_heals_itself(facts, answer, seen):
    """(pods with an address + 1) // 2 healthy others and the image does it alone: hands off."""
    assert ask("image_heals_itself", facts) == (answer, seen)


@pytest.mark.parametrize(
    ("death", "answer"),
    [
        (Death(0, "Completed", "", ""), NO),
        (Death(1, "Error", "", ""), NO),
        (Death(137, "OOMKilled", "", ""), YES),
        (Death(137, "Error", "", ""), YES),
        (Death(0, "OOMKilled", "", ""), YES),
        (None, NO),
    ],
)
def test_killed_for_memory(death, answer):
    """Also one whose log happens to hold the text."""
    assert ask("killed_for_memory", with_pod(cluster(), 0, death=death))[0] is answer


@pytest.mark.parametrize("fault", LOOKALIKES, ids=lambda fault: fault.name)
def test_a_fault_in_any_last_words_excludes_the_removal(fault):
    """Although the same log tells of the removal; and an unread log leaves it open."""
    told = LastWords(True, removed=True, dead_id=1, lookalikes=((fault.name, "the line"),))

    assert ask(fault.name, with_pod(cluster(), 0, words=told)) == (
        YES,
        f"{fault.meaning}: my-etcd-0 said the line",
    )
    assert diagnose(with_pod(cluster(), 0, words=told)).reason is Reason.LOOKALIKE
    assert ask(fault.name, cluster()) == (NO, "not in any last words")
    assert ask(fault.name, with_pod(cluster(), 0, words=UNREADABLE))[0] is UNKNOWN


def test_a_fault_of_one_pod_counts_although_another_log_cannot_be_read():
    """Certainty about something else needs no second look."""
    told = LastWords(True, lookalikes=(("disk_fault", "no space left on device"),))
    facts = with_pod(with_pod(cluster(5, (0, 1)), 0, words=UNREADABLE), 1, words=told)

    assert ask("disk_fault", facts)[0] is YES
    assert ask("data_corruption", facts)[0] is UNKNOWN


# --- as data -----------------------------------------------------------------------------------------------


def test_what_a_rule_may_ask_about_the_facts():
    """The numbers of the whole, counted by members where members count."""
    assert facts_json(cluster(5, (0, 3))) == {
        "replicas": 5,
        "pods": 5,
        "ready": 3,
        "voters": 3,
        "healthy": 3,
        "removed": ["my-etcd-0", "my-etcd-3"],
        "families": ["milvus"],
    }
    assert facts_json(cluster(voices=())) == {
        "replicas": 3,
        "pods": 3,
        "ready": 2,
        "voters": 0,
        "healthy": 0,
        "removed": [],
        "families": ["milvus"],
    }


def test_a_death_of_another_kind_is_not_this_fault():
    """A member that died and said something else excludes the removal; one that is no member may tell next time."""
    silent = LastWords(True, line="exiting")

    assert diagnose(with_pod(still_registered(), 0, death=DEATH, words=silent)).result is DiagnosisResult.EXCLUDED
    assert diagnose(with_pod(cluster(), 0, death=DEATH, words=silent)).result is DiagnosisResult.UNKNOWN
