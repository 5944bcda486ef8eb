"""Mode, arming, freezing, pausing, and an alert that is over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from remediator.model.brakes import Engaged, Unreadable
from remediator.model.rules import Mode
from remediator.model.verdicts import Allow, Ask, Hold, Reason, Refuse
from tests.unit.guards.asked import ask
from tests.unit.model.made import NOW

# --- mode and arming ---------------------------------------------------------------------------------------


def test_an_armed_rule_in_auto_may_act():
    """Mode `auto` and an operator's arming together are the only way to a yes."""
    assert ask("mode") == Allow()


@pytest.mark.parametrize("armed", [True, False])
def test_a_rule_that_observes_never_acts(armed):
    """Mode `observe` refuses, armed or not."""
    assert ask("mode", mode=Mode.OBSERVE, usage_armed=armed) == Refuse(
        Reason.OBSERVE_ONLY, "rule etcd-member-removed observes: it reports its plan and writes nothing"
    )


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.APPROVE])
def test_a_disarmed_rule_never_acts_and_says_how_to_arm_it(mode):
    """A fresh install is disarmed, whatever the rule's mode is."""
    assert ask("mode", mode=mode, usage_armed=False) == Refuse(
        Reason.DISARMED, "rule etcd-member-removed is disarmed; `remediator arm etcd-member-removed` arms it"
    )


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.APPROVE])
@pytest.mark.parametrize(("armed", "shown"), [("0" * 64, "000000000000"), ("", "none")])
def test_a_rule_that_says_something_else_than_when_it_was_armed_is_not_armed(mode, armed, shown):
    """An edit is configuration, and configuration alone arms nothing; nor does a record that names no revision."""
    assert ask("mode", mode=mode, usage_armed_revision=armed) == Refuse(
        Reason.DISARMED,
        f"rule etcd-member-removed was armed at revision {shown} and is now r1; "
        "`remediator arm etcd-member-removed` arms it",
    )


def test_half_a_cure_waits_for_the_edited_rule_to_be_armed():
    """A person has the rule's patience to say yes to what it says now."""
    assert ask("mode", usage_armed_revision="r0", run_touched=True) == Hold(
        NOW + timedelta(seconds=30),
        Reason.DISARMED,
        "rule etcd-member-removed was armed at revision r0 and is now r1; `remediator arm etcd-member-removed` arms it",
    )


def test_mode_approve_asks_a_person_each_time():
    """Armed and `approve` is a question, never a yes."""
    assert ask("mode", mode=Mode.APPROVE) == Ask(
        Reason.APPROVAL_NEEDED, "rule etcd-member-removed wants a person's yes each time"
    )


# --- freeze ------------------------------------------------------------------------------------------------


def test_nothing_is_held_while_not_frozen():
    """Without a freeze this guard has nothing to say."""
    assert ask("freeze") == Allow()


@pytest.mark.parametrize("started_at", [None, NOW])
def test_a_freeze_holds_every_run_also_a_started_one(started_at):
    """A freeze stops writes of runs half-way through their steps too, and is looked at again in seconds."""
    assert ask("freeze", usage_frozen=True, run_started_at=started_at) == Hold(
        NOW + timedelta(seconds=5), Reason.FROZEN, "the service is frozen; `remediator unfreeze` ends it"
    )


FILE = Engaged("file FREEZE", "rack 7", "remove it")


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("started_at", [None, NOW])
def test_an_engaged_brake_holds_every_run_and_says_who_and_why(frozen, started_at):
    """Whatever the switch in the store says."""
    assert ask("freeze", brakes=FILE, usage_frozen=frozen, run_started_at=started_at) == Hold(
        NOW + timedelta(seconds=5), Reason.FROZEN, "frozen by file FREEZE: rack 7"
    )


def test_a_brake_that_cannot_be_read_holds_too():
    """Unknown is never yes: somebody may have frozen there."""
    assert ask("freeze", brakes=Unreadable("configmap ops/freeze", "no answer within 1 s")) == Hold(
        NOW + timedelta(seconds=5),
        Reason.EVIDENCE_UNKNOWN,
        "cannot tell whether configmap ops/freeze says freeze: no answer within 1 s",
    )


def test_a_freeze_that_is_known_is_told_before_one_that_is_not():
    """The switch says frozen, and that is what the run is held for."""
    assert ask("freeze", brakes=Unreadable("configmap ops/freeze", "no answer"), usage_frozen=True) == Hold(
        NOW + timedelta(seconds=5), Reason.FROZEN, "the service is frozen; `remediator unfreeze` ends it"
    )


# --- pause -------------------------------------------------------------------------------------------------


def test_what_nobody_paused_is_not_held():
    """Annotations read and none of them a pause."""
    assert ask("pause") == Allow()


def test_a_pause_is_honoured_and_names_every_paused_object():
    """Who reads the reason finds the annotations to remove."""
    assert ask("pause", pauses=("StatefulSet milvus/my-release-etcd", "Namespace milvus")) == Hold(
        NOW + timedelta(seconds=30),
        Reason.PAUSED,
        "a person has paused StatefulSet milvus/my-release-etcd, Namespace milvus",
    )


@pytest.mark.parametrize("pauses", [(), ("Namespace milvus",)])
def test_an_unreadable_annotation_is_not_the_absence_of_a_pause(pauses):
    """Unknown is never yes: nobody knows whether a person is at work there."""
    assert ask("pause", pauses_known=False, pauses=pauses) == Hold(
        NOW + timedelta(seconds=30),
        Reason.EVIDENCE_UNKNOWN,
        "cannot read whether the target or its namespace is paused",
    )


# --- episode -----------------------------------------------------------------------------------------------


def test_a_firing_alert_may_be_acted_on():
    """No resolution has arrived."""
    assert ask("episode") == Allow()


def test_nothing_is_begun_for_an_alert_that_is_over():
    """Alertmanager has said resolved, and nothing was written yet."""
    assert ask("episode", run_resolved_at=NOW) == Refuse(Reason.EPISODE_OVER, "the alert was resolved at 12:00:00")


def test_half_a_cure_is_finished_although_the_alert_is_over():
    """After the first write the run goes on."""
    assert ask("episode", run_resolved_at=NOW, run_touched=True) == Allow()


# --- freshness ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 9.999999, 10.0])
def test_evidence_within_its_age_is_good(seconds):
    """The limit itself is still fresh."""
    assert ask("freshness", evidence_age=timedelta(seconds=seconds)) == Allow()


@pytest.mark.parametrize(("seconds", "told"), [(10.000001, "10.0"), (3600.0, "3600.0")])
def test_older_evidence_is_looked_for_again_at_once(seconds, told):
    """The smallest step beyond the limit holds, and the hold is over right away: a new look is all it takes."""
    assert ask("freshness", evidence_age=timedelta(seconds=seconds)) == Hold(
        NOW, Reason.EVIDENCE_STALE, f"the evidence is {told} s old"
    )


def test_evidence_from_the_future_is_not_fresh():
    """A clock that was set back makes the age of evidence meaningless: it is looked for again."""
    assert ask("freshness", evidence_age=timedelta(seconds=-1)) == Hold(
        NOW, Reason.EVIDENCE_STALE, "the evidence is -1.0 s old"
    )
