"""Limits, cooldown and the one run for each target."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.rules import Limit
from remediator.model.verdicts import Allow, Hold, Reason, Refuse
from remediator.store.rulings import in_window
from tests.unit.guards.asked import HOUR, ask
from tests.unit.model.made import NOW


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


# --- limits ------------------------------------------------------------------------------------------------


def test_an_unused_budget_allows():
    """No starts anywhere."""
    assert ask("limits") == Allow()


def test_the_last_of_a_budget_may_be_used_and_no_more():
    """Two of three leave one; three of three leave none."""
    assert ask("limits", usage_rule_starts=(ago(50), ago(20))) == Allow()
    assert ask("limits", usage_rule_starts=(ago(50), ago(20), ago(10))) == Hold(
        ago(50) + HOUR, Reason.RATE_LIMITED, "this rule has started 3 runs in 1:00:00, of 3"
    )


def test_a_lowered_limit_waits_until_enough_starts_have_left():
    """With five starts and a limit of two, four must leave: the hold ends when the fourth oldest does."""
    starts = tuple(ago(m) for m in (50, 40, 30, 20, 10))

    verdict = ask("limits", usage_rule_starts=starts, per_rule=Limit(2, HOUR))

    assert verdict == Hold(ago(20) + HOUR, Reason.RATE_LIMITED, "this rule has started 5 runs in 1:00:00, of 2")


def test_the_longest_wait_of_all_scopes_binds():
    """Rule, target, namespace and service each hold; the one that ends last is the verdict."""
    verdict = ask(
        "limits",
        usage_rule_starts=(ago(59), ago(58), ago(57)),
        usage_target_starts=(ago(30),),
        usage_global_starts=(ago(5),),
        per_service=Limit(1, HOUR),
    )

    assert verdict == Hold(ago(30) + 6 * HOUR, Reason.RATE_LIMITED, "this target has started 1 runs in 6:00:00, of 1")


@pytest.mark.parametrize(
    ("scope", "what"),
    [("rule", "this rule"), ("target", "this target"), ("namespace", "this namespace"), ("global", "the service")],
)
def test_each_scope_is_counted_by_itself(scope, what):
    """A full scope holds although the others are empty."""
    one = Limit(1, HOUR)

    limits = {"per_rule": one, "per_target": one, "per_namespace": one, "per_service": one}
    verdict = ask("limits", **limits, **{f"usage_{scope}_starts": (ago(1),)})

    assert verdict == Hold(ago(1) + HOUR, Reason.RATE_LIMITED, f"{what} has started 1 runs in 1:00:00, of 1")


def test_a_run_that_has_started_has_paid_already():
    """Its own start fills the budget, and must not stop its later steps."""
    assert ask("limits", usage_target_starts=(ago(1),), run_started_at=ago(1)) == Allow()


@pytest.mark.parametrize("scope", ["per_rule", "per_target", "per_namespace", "per_service"])
def test_a_limit_of_none_is_a_refusal(scope):
    """No start will ever leave room: waiting would be for ever."""
    verdict = ask("limits", **{scope: Limit(0, HOUR)})

    assert isinstance(verdict, Refuse)
    assert verdict.reason is Reason.RATE_LIMITED


def test_the_window_is_half_open_to_the_microsecond():
    """A start exactly one window old has left; one that is a microsecond younger still counts."""
    limit, exactly = Limit(1, HOUR), NOW - HOUR
    just_inside = exactly + timedelta(microseconds=1)

    assert ask("limits", per_rule=limit, usage_rule_starts=in_window([exactly], limit, NOW)) == Allow()
    assert ask("limits", per_rule=limit, usage_rule_starts=in_window([just_inside], limit, NOW)) == Hold(
        NOW + timedelta(microseconds=1), Reason.RATE_LIMITED, "this rule has started 1 runs in 1:00:00, of 1"
    )


@given(
    st.lists(st.integers(0, 400), max_size=60),
    st.integers(1, 4),
    st.integers(1, 60),
)
def test_no_window_ever_holds_more_starts_than_its_limit(asked_at, count, window):
    """Whenever runs ask, and whatever the limit is: in any window of that length at most `count` have started."""
    limit = Limit(count, timedelta(minutes=window))
    started: list[datetime] = []
    for minute in sorted(asked_at):
        now = NOW + timedelta(minutes=minute)
        counted = in_window(started, limit, now)
        if ask("limits", per_rule=limit, now=now, usage_now=now, usage_rule_starts=counted) == Allow():
            started.append(now)

    for first in started:
        assert sum(first <= at < first + limit.window for at in started) <= count


@given(st.lists(st.integers(1, 59), min_size=1, max_size=12), st.integers(1, 12))
def test_a_hold_ends_exactly_when_there_is_room(minutes, count):
    """At `until` the same question is allowed, and a microsecond earlier it is not."""
    limit = Limit(count, HOUR)
    starts = tuple(sorted(ago(m) for m in minutes))
    verdict = ask("limits", per_rule=limit, usage_rule_starts=starts)
    if isinstance(verdict, Allow):
        assert len(starts) < count
        return

    def at(moment: datetime) -> object:
        return ask("limits", per_rule=limit, usage_now=moment, usage_rule_starts=in_window(starts, limit, moment))

    assert isinstance(verdict, Hold)
    assert at(verdict.until) == Allow()
    assert at(verdict.until - timedelta(microseconds=1)) != Allow()


# --- cooldown ----------------------------------------------------------------------------------------------


def test_a_target_that_was_never_remediated_is_not_cooling_down():
    """There is no earlier run."""
    assert ask("cooldown") == Allow()


@pytest.mark.parametrize("minutes", [30, 30.5, 6000])
def test_a_cooldown_is_over_at_its_last_moment(minutes):
    """Exactly the cooldown later is late enough."""
    assert ask("cooldown", usage_finishes=(ago(minutes),)) == Allow()


def test_a_cooldown_holds_until_it_is_over():
    """One microsecond before its end still waits."""
    last = NOW - timedelta(minutes=30) + timedelta(microseconds=1)

    assert ask("cooldown", usage_finishes=(last,)) == Hold(
        last + timedelta(minutes=30),
        Reason.COOLING_DOWN,
        "StatefulSet milvus/my-release-etcd was remediated at 11:30:00",
    )


def test_a_finish_in_the_future_holds():
    """A clock that was set back does not end a cooldown early."""
    assert isinstance(ask("cooldown", usage_finishes=(ago(-10),)), Hold)


def test_a_started_run_is_not_held_by_a_cooldown():
    """A run that is at work was let in; holding it half-way would leave half a cure."""
    assert ask("cooldown", usage_finishes=(ago(1),), run_started_at=ago(2)) == Allow()


def test_no_cooldown_is_no_wait():
    """A rule may choose zero."""
    assert ask("cooldown", usage_finishes=(NOW,), cooldown=timedelta(0)) == Allow()


# --- exclusive ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", [None, "run-1"])
def test_a_free_target_or_its_own_lock_does_not_hold_a_run(holder):
    """Nobody has the target, or the asking run itself has."""
    assert ask("exclusive", usage_holder=holder) == Allow()


@pytest.mark.parametrize("started_at", [None, NOW])
def test_another_run_on_the_target_is_waited_for(started_at):
    """One run for each target, whatever this run has done so far."""
    assert ask("exclusive", usage_holder="run-2", run_started_at=started_at) == Hold(
        NOW + timedelta(seconds=15), Reason.TARGET_BUSY, "run-2 is at work on StatefulSet milvus/my-release-etcd"
    )


@pytest.mark.parametrize(("times", "minutes"), [(1, 30), (2, 60), (3, 120), (4, 240), (6, 960), (7, 1440), (40, 1440)])
def test_each_remediation_within_a_day_doubles_the_cooldown(times, minutes):
    """Half an hour grows to a day and no further; the last moment still holds, the next one does not."""
    finishes = tuple(ago(n / 1000) for n in reversed(range(times)))

    held = ask("cooldown", usage_finishes=finishes, usage_now=NOW + timedelta(minutes=minutes, microseconds=-1))

    assert isinstance(held, Hold)
    assert held.until == NOW + timedelta(minutes=minutes)
    assert ask("cooldown", usage_finishes=finishes, usage_now=held.until) == Allow()


def test_a_cooldown_longer_than_a_day_is_kept():
    """What a rule itself asks for is never shortened."""
    verdict = ask("cooldown", usage_finishes=(ago(1), NOW), cooldown=timedelta(days=3))

    assert isinstance(verdict, Hold)
    assert verdict.until == NOW + timedelta(days=3)


def test_a_cancelled_run_is_refused():
    """Whatever the other guards say, and with the name of who wanted it."""
    assert ask("cancelled", cancelled="alice cancelled it: drill") == Refuse(
        Reason.CANCELLED, "alice cancelled it: drill"
    )
    assert ask("cancelled") == Allow()
