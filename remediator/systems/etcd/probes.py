"""
The questions asked of one look at etcd, each answered yes, no or unknown with what was seen.

The first group must be yes, the second (look-alikes) must be no. All are pure: the same facts give the same
answers, in a test, in a report and right before a step.
"""

from __future__ import annotations

from collections.abc import Callable

from remediator.model.evidence import Answer, Evidence, Weight
from remediator.model.systems import Probe
from remediator.model.verdicts import Reason
from remediator.systems.etcd.facts import EtcdFacts, PodFacts
from remediator.systems.etcd.images import Family
from remediator.systems.etcd.logs import LOOKALIKES, Lookalike
from remediator.systems.etcd.quorum import healthy_pods, quorum_of, removed_pods

LOOKS_WITHOUT_LEADER = 2
"""In a row: an election leaves a cluster without a leader for a second or two."""
DEATHS_TO_HEAL = 3
"""Deaths after which an image that heals itself has had its chances."""
SIGHTINGS = 2
"""Different deaths that must tell of the removal: one may be an old log."""

Judge = Callable[[EtcdFacts], tuple[Answer, str]]


def required(name: str, question: str, judge: Judge, reason: Reason = Reason.NOT_CONFIRMED) -> Probe[EtcdFacts]:
    return Probe(name, lambda facts: Evidence(name, question, *judge(facts), Weight.REQUIRED, reason))


def lookalike(name: str, question: str, judge: Judge, reason: Reason = Reason.LOOKALIKE) -> Probe[EtcdFacts]:
    return Probe(name, lambda facts: Evidence(name, question, *judge(facts), Weight.LOOKALIKE, reason))


# --- what must be so ---------------------------------------------------------------------------------------


def everything_was_read(facts: EtcdFacts) -> tuple[Answer, str]:
    if facts.unread:
        return Answer.UNKNOWN, f"could not read {facts.unread[0]}"
    if len(facts.pods) != facts.replicas:
        return Answer.UNKNOWN, f"{len(facts.pods)} of {facts.replicas} pods exist"
    return Answer.YES, f"{len(facts.pods)} pods, their claims, volumes, nodes and logs"


def crash_looping(facts: EtcdFacts) -> tuple[Answer, str]:
    looping = [p for p in facts.pods if p.is_crash_looping]
    if looping:
        return Answer.YES, ", ".join(f"{p.ref.name} ({p.restarts} restarts)" for p in looping)
    restarting = [p for p in facts.down if p.restarts > 0]
    if restarting:
        return Answer.UNKNOWN, f"{restarting[0].ref.name} is between two restarts"
    return Answer.NO, "no etcd container is crash-looping"


def all_down_are_explained(facts: EtcdFacts) -> tuple[Answer, str]:
    """Every pod that is not Ready must be a removed member; one that is merely starting is waited for."""
    removed = {p.ref.name for p in removed_pods(facts)}
    for pod in facts.down:
        if pod.ref.name not in removed:
            return Answer.UNKNOWN, f"{pod.ref.name} is not Ready, and not because it was removed"
    return Answer.YES, f"not Ready: {', '.join(sorted(p.ref.name for p in facts.down)) or 'none'}"


def unread_log(facts: EtcdFacts) -> str:
    """Whose last words are not known, in words; "" when all are."""
    unread = [p for p in facts.down if p.death is not None and not (p.words.available and p.words.line)]
    return f"the log of {unread[0].ref.name}'s last run cannot be read" if unread else ""


def may_still_tell(facts: EtcdFacts, pods: list[PodFacts]) -> str:
    """
    Who is no longer registered and did not say so in its last death, in words; "" when all are registered.

    A removed member is sometimes stopped before it has written why (seen on 3.4.23 on a busy machine): its next
    death will tell. A pod that is registered has another trouble, and there is nothing to wait for.
    """
    agreed = facts.agreed
    unregistered = [p for p in pods if agreed is not None and p.peer_url and agreed.at(p.peer_url) is None]
    if not pods or len(unregistered) < len(pods):
        return ""
    return f"{pods[0].ref.name} is not registered, and its last death did not say why: {pods[0].words.line[:160]}"


def removal_in_log(facts: EtcdFacts) -> tuple[Answer, str]:
    if unread := unread_log(facts):
        return Answer.UNKNOWN, unread
    died = [p for p in facts.down if p.death is not None]
    silent = [p for p in died if not p.words.removed]
    if silent:
        waiting = may_still_tell(facts, silent)
        said = waiting or f"{silent[0].ref.name} said: {silent[0].words.line[:160]}"
        return (Answer.UNKNOWN if waiting or len(silent) < len(died) else Answer.NO), said
    return (Answer.YES, died[0].words.line[:240]) if died else (Answer.NO, "no container that is down has died")


def _nobody_tells(facts: EtcdFacts) -> tuple[Answer, str]:
    waiting = may_still_tell(facts, [p for p in facts.down if p.death is not None])
    return (Answer.UNKNOWN, waiting) if waiting else (Answer.NO, "no pod's last words tell of a removal")


def removal_seen_twice(facts: EtcdFacts) -> tuple[Answer, str]:
    if unread := unread_log(facts):
        return Answer.UNKNOWN, unread
    told = [p for p in facts.down if p.words.removed]
    if not told:
        return _nobody_tells(facts)
    fewest = min(told, key=lambda p: p.deaths_seen)
    seen = f"{fewest.ref.name}: told in {fewest.deaths_seen} of {SIGHTINGS} different deaths"
    return (Answer.YES if fewest.deaths_seen >= SIGHTINGS else Answer.UNKNOWN), seen


def one_cluster(facts: EtcdFacts) -> tuple[Answer, str]:
    voices = [v for v in facts.steady_voices if v.own_view is not None]
    if not voices:
        return Answer.UNKNOWN, "no member answers"
    clusters = {v.own_view.cluster_id for v in voices if v.own_view}
    lists = {frozenset(m.id for m in v.own_view.members) for v in voices if v.own_view}
    if len(clusters) > 1:
        return Answer.NO, f"members of {len(clusters)} different clusters answer: {_hex(clusters)}"
    if len(lists) > 1:  # a follower applies a membership change a moment later than its leader
        return Answer.UNKNOWN, f"{len(lists)} different member lists are told by {', '.join(v.pod for v in voices)}"
    quorum = quorum_of(facts)
    if len(voices) == 1 and quorum is not None and len(quorum.voters) > 1:
        return Answer.UNKNOWN, f"only {voices[0].pod} answers, and it is not the only voter"
    return Answer.YES, f"cluster {_hex(clusters)}, one member list, told by {', '.join(v.pod for v in voices)}"


def _hex(ids: set[int]) -> str:
    return ", ".join(sorted(f"{i:x}" for i in ids))


def quorum_holds(facts: EtcdFacts) -> tuple[Answer, str]:
    quorum = quorum_of(facts)
    if quorum is None:
        return Answer.UNKNOWN, "no member gave the linearizable member list"
    # the list itself took a quorum to answer: voters that are missing here are silent, not proven dead
    return (Answer.YES if quorum.holds else Answer.UNKNOWN), str(quorum)


def every_voter_is_healthy(facts: EtcdFacts) -> tuple[Answer, str]:
    """A registered voter that is silent is unknown: etcd refuses membership changes while one is away."""
    quorum = quorum_of(facts)
    if quorum is None:
        return Answer.UNKNOWN, "no member gave the linearizable member list"
    if quorum.all_voters_are_healthy:
        return Answer.YES, f"all {len(quorum.voters)} registered voters are healthy"
    away = [m.name or m.hex_id for m in quorum.voters if m not in quorum.healthy]
    return Answer.UNKNOWN, f"registered but not known to be healthy: {', '.join(away)}"


def removed_members_proven(facts: EtcdFacts) -> tuple[Answer, str]:
    agreed = facts.agreed
    if agreed is None:
        return Answer.UNKNOWN, "no member gave the linearizable member list"
    if unread := unread_log(facts):
        return Answer.UNKNOWN, unread
    removed = removed_pods(facts)
    claimed = [p for p in facts.down if p.words.removed]
    if not claimed:
        return _nobody_tells(facts)
    if len(removed) < len(claimed):
        other = next(p for p in claimed if p not in removed)
        if not other.peer_url:
            return Answer.UNKNOWN, f"the peer address of {other.ref.name} cannot be read from its environment"
        return Answer.NO, f"{other.ref.name} says it was removed, yet its address {other.peer_url} is registered"
    told = [f"{p.ref.name} (was {p.words.dead_id:x})" for p in removed]
    again = [p.ref.name for p in removed if agreed.at(p.peer_url)]
    note = f"; registered anew and not started: {', '.join(again)}" if again else ""
    return Answer.YES, f"no longer a member: {', '.join(told)}{note}"


def no_alarm(facts: EtcdFacts) -> tuple[Answer, str]:
    said = [v.alarms for v in facts.steady_voices]
    if not said or any(a is None for a in said):
        return Answer.UNKNOWN, "not every running member told its alarms"
    raised = sorted({alarm for alarms in said if alarms for alarm in alarms})
    return (Answer.NO, f"alarm {', '.join(raised)} is raised") if raised else (Answer.YES, "no alarm is raised")


def undisturbed(facts: EtcdFacts) -> tuple[Answer, str]:
    if facts.unread:
        return Answer.UNKNOWN, f"could not read {facts.unread[0]}"
    return (Answer.UNKNOWN, facts.rollout) if facts.rollout else (Answer.YES, "no rollout, drain or Helm job")


# --- what must not be so -----------------------------------------------------------------------------------


def quorum_is_lost(facts: EtcdFacts) -> tuple[Answer, str]:
    voices = [v for v in facts.voices if v.status is not None]
    if any(v.has_leader for v in voices):
        return Answer.NO, f"{sum(v.has_leader for v in voices)} members have a leader"
    if voices:
        errors = next((e for v in voices for e in (v.status.errors if v.status else ())), "no leader")
        seen = f"{len(voices)} members answer and none has a leader ({errors}), in {facts.leaderless_looks} looks"
        return (Answer.YES if facts.leaderless_looks >= LOOKS_WITHOUT_LEADER else Answer.UNKNOWN), seen
    if facts.pods and all(p.is_crash_looping for p in facts.pods):
        return Answer.YES, "every etcd pod is crash-looping"
    return Answer.UNKNOWN, "no member answers"


def image_heals_itself(facts: EtcdFacts) -> tuple[Answer, str]:
    """
    Bitnami's newer entrypoint wipes and re-adds a removed member while enough others are healthy.

    So it is watched: it recovers, or it dies again and again and a person is asked.
    """
    down = [p for p in facts.down if p.family is Family.BITNAMI_NEW]
    if not down:
        return Answer.NO, f"image family {', '.join(sorted({str(p.family) for p in facts.pods}))}"
    with_address = sum(bool(p.address) for p in facts.pods)
    gate = (with_address + 1) // 2
    healthy = len(healthy_pods(facts))
    if healthy < gate:
        return Answer.NO, f"{healthy} healthy others, and the image wants {gate} to replace its own member"
    tried = min(p.deaths_seen for p in down)
    seen = f"{healthy} healthy others are enough for the image; {tried} of {DEATHS_TO_HEAL} deaths were watched"
    return (Answer.NO if tried >= DEATHS_TO_HEAL else Answer.UNKNOWN), seen


def killed_for_memory(facts: EtcdFacts) -> tuple[Answer, str]:
    for pod in facts.down:
        if pod.death and (pod.death.reason == "OOMKilled" or pod.death.exit_code == 137):
            return Answer.YES, f"{pod.ref.name} ended with {pod.death.reason} ({pod.death.exit_code})"
    return Answer.NO, "no container was killed"


def in_last_words(fault: Lookalike) -> Judge:
    def judge(facts: EtcdFacts) -> tuple[Answer, str]:
        for pod in facts.down:
            line = _told(pod, fault.name)
            if line:
                return Answer.YES, f"{fault.meaning}: {pod.ref.name} said {line}"
        if unread := unread_log(facts):
            return Answer.UNKNOWN, unread
        return Answer.NO, "not in any last words"

    return judge


def _told(pod: PodFacts, fault: str) -> str:
    return next((line for name, line in pod.words.lookalikes if name == fault), "")


PROBES: tuple[Probe[EtcdFacts], ...] = (
    required("everything_was_read", "Could everything be read?", everything_was_read),
    required("crash_looping", "Is an etcd pod crash-looping?", crash_looping),
    required("removal_in_log", "Do its last words say that it was removed?", removal_in_log),
    required("removed_members_proven", "Do the others agree that it is no member?", removed_members_proven),
    required("removal_seen_twice", "Was that told in two different deaths?", removal_seen_twice),
    required("all_down_are_explained", "Is every pod that is not Ready explained?", all_down_are_explained),
    required("one_cluster", "Is there one cluster with one member list?", one_cluster, Reason.LOOKALIKE),
    required("quorum_holds", "Does a healthy quorum remain?", quorum_holds, Reason.QUORUM_LOST),
    required("every_voter_is_healthy", "Is every registered voter healthy?", every_voter_is_healthy),
    required("no_alarm", "Is no alarm raised?", no_alarm, Reason.LOOKALIKE),
    required("undisturbed", "Is nobody else at work on it?", undisturbed),
    lookalike("quorum_lost", "Has no member a leader?", quorum_is_lost, Reason.QUORUM_LOST),
    lookalike("image_heals_itself", "Will the image replace it by itself?", image_heals_itself),
    lookalike("killed_for_memory", "Was it killed for memory?", killed_for_memory),
    *(lookalike(fault.name, fault.question, in_last_words(fault)) for fault in LOOKALIKES),
)
