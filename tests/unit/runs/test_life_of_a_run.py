"""From a filed alert to its outcome, through the worker's own door, on a toy system whose every mood is a switch."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from remediator.model.errors import AnswerLost, Conflict, Forbidden, Permanent, Temporary
from remediator.model.evidence import Answer
from remediator.model.objects import NAMESPACE, POD
from remediator.model.plans import Effect
from remediator.model.reports import GuardsAnswered, Planned
from remediator.model.rules import Condition, Limit, Mode, Verification
from remediator.model.runs import RunState, StepState
from remediator.model.seams import Facts
from remediator.model.systems import Failed, Found, NoDraft, Retry
from remediator.model.verdicts import Reason, Refuse, Verdict
from remediator.runs.asking import ask_all, binding, gather
from tests.fakes.run_world import Crash, RunWorld, condition


@pytest.fixture
async def world() -> RunWorld:
    world = RunWorld()
    await world.arm()
    return world


async def test_a_proven_fault_is_cured_with_one_write_and_verified(world: RunWorld) -> None:
    """An armed rule in mode auto turns the valve once and reports a verified cure."""
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")
    assert world.valve.turns == [(run_id, 0)]
    assert [(r.verb, r.state) for r in await world.store.steps(run_id)] == [
        ("valve.turn", StepState.DONE),
        ("valve.wait", StepState.DONE),
    ]


async def test_a_disarmed_rule_diagnoses_and_plans_and_writes_nothing(world: RunWorld) -> None:
    """A fresh install reports its plan and refuses to act."""
    await world.arm(on=False)
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.REFUSED, "disarmed")
    assert any(isinstance(r, Planned) for r in world.told)
    assert world.writes == 0


@pytest.mark.parametrize(
    ("mode", "state", "reason"),
    [(Mode.OBSERVE, RunState.REFUSED, "observe_only"), (Mode.APPROVE, RunState.ESCALATED, "approval_expired")],
)
async def test_a_mode_that_is_not_auto_never_writes(world: RunWorld, mode: Mode, state: RunState, reason: str) -> None:
    """observe reports, approve waits for a person, and without an answer tells one."""
    world.change_rule(mode=mode)
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (state, reason)
    assert world.writes == 0


async def test_a_lookalike_is_refused(world: RunWorld) -> None:
    """A look-alike that answers yes ends the run without a write."""
    world.valve.answers["leaks"] = Answer.YES
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.REFUSED, "lookalike")
    assert world.writes == 0


@pytest.mark.parametrize("probe", ["stuck", "leaks"])
async def test_unknown_evidence_is_looked_for_again_and_then_a_person_is_told(world: RunWorld, probe: str) -> None:
    """Unknown is never a yes: the run is held up to its patience and then escalated, with nothing written."""
    world.valve.answers[probe] = Answer.UNKNOWN
    run_id = await world.alert()

    await world.turn_the_crank()

    run = await world.run(run_id)
    assert (run.state, run.reason) == (RunState.ESCALATED, Reason.WAITED_TOO_LONG)
    assert world.clock.passed >= 15 * 60
    assert world.writes == 0


async def test_evidence_that_becomes_known_goes_on(world: RunWorld) -> None:
    """A held run acts as soon as its evidence is there."""
    world.valve.answers["stuck"] = Answer.UNKNOWN
    run_id = await world.alert()
    await world.turn_the_crank(once=True)
    assert (await world.run(run_id)).state is RunState.HELD

    world.valve.answers["stuck"] = Answer.YES
    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (Answer.NO, RunState.REFUSED, "condition_not_met"),
        (Answer.UNKNOWN, RunState.ESCALATED, "waited_too_long"),
        (Answer.YES, RunState.SUCCEEDED, "cured"),
    ],
)
async def test_the_rules_own_condition_is_evidence_too(
    world: RunWorld, answer: Answer, state: RunState, reason: str
) -> None:
    """A condition that cannot be evaluated is unknown, not true."""
    world.change_rule(conditions=(condition("facts.well", answer),))
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (state, reason)


async def test_a_target_that_is_well_already_is_watched_and_succeeds(world: RunWorld) -> None:
    """A watched recovery is a cure with zero writes."""
    world.valve.well = True
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "recovered_by_itself")
    assert world.writes == 0


async def test_a_missing_target_is_refused(world: RunWorld) -> None:
    """An alert about nothing is a recorded refusal."""
    run_id = await world.alert(pod="ghost")

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.REFUSED, "target_not_found")


async def test_a_target_made_anew_while_the_run_waited_is_refused(world: RunWorld) -> None:
    """The run is for one incarnation and never follows the name."""
    world.valve.answers["stuck"] = Answer.UNKNOWN
    run_id = await world.alert()
    await world.turn_the_crank(once=True)

    world.cluster.take(world.ref)
    world.cluster.put(POD, {"metadata": {"name": "v1", "namespace": "plant"}, "spec": {}})
    world.valve.answers["stuck"] = Answer.YES
    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.REFUSED, "target_changed")
    assert world.writes == 0


async def test_a_namespace_outside_the_rules_scope_is_refused_before_anything_is_read(world: RunWorld) -> None:
    """A label cannot widen the literal scope."""
    run_id = await world.alert(namespace="kube-system")

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.REFUSED, "outside_scope")


async def test_no_safe_plan_goes_to_a_person(world: RunWorld) -> None:
    """A proven fault without a safe way is escalated with the reason."""
    world.valve.no_draft = NoDraft(Reason.NO_SAFE_PLAN, "rusted")
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.ESCALATED, "no_safe_plan")


async def test_a_plan_that_asks_is_never_carried_out_by_itself(world: RunWorld) -> None:
    """A system may want a person whatever the rule's mode."""
    world.valve.ask = "it is the only valve"
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.ESCALATED, "approval_expired")
    assert world.writes == 0


async def test_an_alert_that_resolves_before_the_first_write_cancels_the_run(world: RunWorld) -> None:
    """Nothing is begun for an episode that is over."""
    world.valve.answers["stuck"] = Answer.UNKNOWN
    run_id = await world.alert(starts_at="2026-11-20T11:30:00Z")
    await world.turn_the_crank(once=True)

    await world.resolve("2026-11-20T11:30:00Z")
    world.valve.answers["stuck"] = Answer.YES
    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.CANCELLED, "episode_over")
    assert world.writes == 0


async def test_a_frozen_service_holds_and_goes_on_after_the_unfreeze(world: RunWorld) -> None:
    """Frozen, nothing is written; unfrozen, the same run goes on."""
    await world.freeze()
    run_id = await world.alert()
    await world.turn_the_crank(once=True)
    assert (await world.run(run_id)).reason is Reason.FROZEN
    assert world.writes == 0

    await world.freeze(on=False)
    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")


@pytest.mark.parametrize("where", ["target", "namespace"])
async def test_a_persons_pause_is_honoured(world: RunWorld, where: str) -> None:
    """The annotation holds the run, on the target as on its namespace."""
    paused = {"annotations": {"remediator.dev/pause": "true"}}
    if where == "target":
        world.cluster.put(POD, {"metadata": {"name": "v1", "namespace": "plant", **paused}, "spec": {}})
    else:
        world.cluster.put(NAMESPACE, {"metadata": {"name": "plant", **paused}})
    run_id = await world.alert()

    await world.turn_the_crank()

    run = await world.run(run_id)
    assert (run.state, run.reason) == (RunState.ESCALATED, Reason.WAITED_TOO_LONG)
    assert run.detail.startswith("paused")
    assert world.writes == 0


async def test_a_second_alert_on_a_target_at_work_waits_and_then_finds_it_well(world: RunWorld) -> None:
    """One run for each target: the second never writes."""
    first, second = await world.alert(), await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(first) == (RunState.SUCCEEDED, "cured")
    assert await world.end_of(second) == (RunState.SUCCEEDED, "recovered_by_itself")
    assert world.valve.turns == [(first, 0)]


async def test_a_cured_target_that_breaks_again_cools_down_first(world: RunWorld) -> None:
    """Within the cooldown a person is told instead."""
    await world.alert()
    await world.turn_the_crank()

    world.valve.well = False
    world.valve.answers["stuck"] = Answer.YES
    world.cluster.put(POD, {"metadata": {"name": "v1", "namespace": "plant"}, "spec": {}})
    second = await world.alert()
    await world.turn_the_crank()

    run = await world.run(second)
    assert (run.state, run.reason) == (RunState.ESCALATED, Reason.WAITED_TOO_LONG)
    assert run.detail.startswith("cooling_down")
    assert world.writes == 1


async def test_the_limit_of_a_rule_is_strict(world: RunWorld) -> None:
    """With one start an hour, the second target is not touched within it."""
    world.change_rule(per_rule=Limit(1, timedelta(hours=1)))
    world.cluster.put(POD, {"metadata": {"name": "v2", "namespace": "plant"}, "spec": {}})
    await world.alert()
    await world.turn_the_crank()
    world.valve.well = False

    second = await world.alert(pod="v2")
    await world.turn_the_crank()

    assert (await world.run(second)).detail.startswith("rate_limited")
    assert world.writes == 1


async def test_a_rule_disarmed_half_way_stops_at_the_next_step(world: RunWorld) -> None:
    """What was written stays journalled, nothing more is sent, and a person is told."""
    world.valve.steps = 2
    world.valve.after_turn = [lambda: world.arm(on=False)]
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.ESCALATED, "disarmed")
    assert world.valve.turns == [(run_id, 0)]


async def test_a_fix_that_does_not_help_is_a_failed_fix(world: RunWorld) -> None:
    """Not well in time: escalated, never called a success."""
    world.valve.heals_on_turn = False
    run_id = await world.alert()

    await world.turn_the_crank()

    state, reason = await world.end_of(run_id)
    assert (state, reason) == (RunState.ESCALATED, "step_failed")


async def test_a_failed_step_ends_the_steps(world: RunWorld) -> None:
    """The step after a failed one is never begun."""
    world.valve.fail_next = [Failed(Reason.STEP_FAILED, "rusted")]
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.ESCALATED, "step_failed")
    assert [r.state for r in await world.store.steps(run_id)] == [StepState.FAILED]


async def test_a_step_that_is_forbidden_says_so(world: RunWorld) -> None:
    """RBAC that changed ends the run with its own reason."""
    world.valve.fail_next = [Forbidden("403")]
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.ESCALATED, "forbidden")


async def test_a_conflict_is_prepared_again_and_succeeds(world: RunWorld) -> None:
    """A newer version of the object is read again, with every guard asked again."""
    world.valve.fail_next = [Conflict("409"), Conflict("409")]
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")
    states = [r.state for r in await world.store.steps(run_id) if r.verb == "valve.turn"]
    assert states == [StepState.NOT_APPLIED, StepState.NOT_APPLIED, StepState.DONE]


async def test_conflicts_without_end_are_given_up(world: RunWorld) -> None:
    """Somebody else keeps writing: after four tries a person is told."""
    world.valve.fail_next = [Conflict("409")] * 10
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.ESCALATED, "step_failed")
    assert world.valve.calls == 4


@pytest.mark.parametrize("applied", [True, False])
async def test_a_lost_answer_is_settled_by_looking_and_the_valve_turns_once(world: RunWorld, applied: bool) -> None:
    """Whether or not the write took effect, it takes effect exactly once."""
    world.valve.fail_next = [AnswerLost("connection reset")]
    world.valve.applies_before_failing = applied
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")
    assert world.valve.turns == [(run_id, 0)]
    first = (await world.store.steps(run_id))[0]
    assert first.by_probe
    assert first.state is (StepState.DONE if applied else StepState.NOT_APPLIED)


async def test_a_verb_that_breaks_inside_is_settled_by_looking(world: RunWorld) -> None:
    """Our own mistake in a verb leaves no intent without an outcome."""
    world.valve.fail_next = [KeyError("oops")]
    world.valve.applies_before_failing = True
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")
    assert world.valve.turns == [(run_id, 0)]


async def test_an_outcome_that_cannot_be_told_waits_and_then_a_person_is_asked(world: RunWorld) -> None:
    """Unknown is never tried again blindly."""
    world.valve.fail_next = [AnswerLost("504")]
    world.valve.found = Found.UNKNOWN
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.ESCALATED, "outcome_unknown")
    assert world.valve.calls == 1


async def test_a_throttled_write_was_not_applied_and_is_tried_again(world: RunWorld) -> None:
    """429 to a write waits as long as it was told to."""
    world.valve.fail_next = [Temporary("429", after=7.0)]
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")
    assert 7.0 in world.clock.slept


async def test_waiting_is_bounded_by_the_steps_own_time(world: RunWorld) -> None:
    """A wait that never ends is a failed step."""
    world.valve.waits = 1000
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.ESCALATED, "step_timed_out")


async def test_a_step_that_somebody_else_did_is_not_done_again(world: RunWorld) -> None:
    """Found done, it is journalled as such and nothing is sent."""
    world.cluster.put(POD, {"metadata": {"name": "v1", "namespace": "plant"}, "spec": {"turned": 0}})
    world.valve.effect = Effect.DESTRUCTIVE
    run_id = await world.alert()
    world.valve.waits = 0

    await world.turn_the_crank()

    assert world.writes == 0
    assert (await world.store.steps(run_id))[0].state is StepState.DONE
    assert not (await world.run(run_id)).touched


async def test_evidence_that_turns_against_the_plan_stops_it_before_the_write(world: RunWorld) -> None:
    """The probes a step rests on are asked again right before it."""
    world.valve.later_looks = [{"stuck": Answer.NO}]
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.REFUSED, "not_confirmed")
    assert world.writes == 0


async def test_every_write_was_asked_about_twice(world: RunWorld) -> None:
    """Guards answer about the plan, and again about the step right before it."""
    await world.alert()

    await world.turn_the_crank()

    asked = [r.step.verb if r.step else "plan" for r in world.told if isinstance(r, GuardsAnswered)]
    assert asked == ["plan", "valve.turn"]


async def test_a_cluster_that_cannot_be_read_holds_the_run(world: RunWorld) -> None:
    """Temporary trouble is waited out; nothing is decided on it."""
    world.valve.survey_fails = [Temporary("apiserver away")] * 3
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")


async def test_a_removed_rule_ends_its_runs(world: RunWorld) -> None:
    """A run whose rule is gone begins nothing."""
    run_id = await world.alert()
    world.rules.clear()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.REFUSED, "rule_gone")


async def test_retry_of_a_write_counts_as_not_applied(world: RunWorld) -> None:
    """A verb that says "not yet" has written nothing, and is prepared afresh."""
    world.valve.fail_next = [Retry(2.0, "not in sync")]
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")
    assert [r.state for r in await world.store.steps(run_id)][:2] == [StepState.NOT_APPLIED, StepState.DONE]


async def test_a_write_that_is_refused_for_good_fails_with_the_servers_words(world: RunWorld) -> None:
    """An admission that says no is not asked again, and its words reach the person."""
    world.valve.fail_next = [Permanent("422: denied by policy no-turning")]
    run_id = await world.alert()

    await world.turn_the_crank()

    run = await world.run(run_id)
    assert (run.state, run.reason) == (RunState.ESCALATED, Reason.STEP_FAILED)
    assert "denied by policy no-turning" in run.detail
    assert world.valve.calls == 1


async def test_patience_is_for_one_place_in_the_plan(world: RunWorld) -> None:
    """Two short holds far apart are not one long one: a step that was done between them begins it anew."""
    world.change_rule(patience=timedelta(seconds=40))
    world.valve.steps = 2
    world.valve.later_looks = [{"stuck": Answer.UNKNOWN}, {"stuck": Answer.YES}]

    async def a_long_while_then_unknown_again() -> None:
        world.clock.advance(120)
        world.valve.later_looks = [{"stuck": Answer.UNKNOWN}, {"stuck": Answer.YES}]

    world.valve.after_turn = [a_long_while_then_unknown_again]
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")


async def test_after_a_long_outage_a_wait_is_asked_once_before_its_time_is_up(world: RunWorld) -> None:
    """What it waited for may long be there."""
    world.valve.waits = 1
    run_id = await world.alert()
    world.store.dies_at = 6
    with pytest.raises(Crash):
        await world.turn_the_crank()
    assert [r.verb for r in await world.store.steps(run_id)][-1] == "valve.wait"

    world.clock.advance(3600)
    world.restart()
    world.valve.waits = 0
    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")


async def test_a_target_that_is_well_when_time_is_up_may_prove_that_it_stays_so(world: RunWorld) -> None:
    """Verification ends on what is seen, not on when the service was away."""
    world.change_rule(verification=Verification(timedelta(seconds=10), timedelta(seconds=20), timedelta(seconds=5)))
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.SUCCEEDED, "cured")


async def test_the_rules_condition_is_asked_again_before_the_first_write(world: RunWorld) -> None:
    """What held while planning must hold when it matters."""
    answers = iter([Answer.YES, Answer.NO])
    world.change_rule(conditions=(Condition("facts.well == false", lambda _: next(answers)),))
    run_id = await world.alert()

    await world.turn_the_crank()

    assert await world.end_of(run_id) == (RunState.REFUSED, "condition_not_met")
    assert world.writes == 0


async def test_a_guard_that_forgets_to_answer_refuses(world: RunWorld) -> None:
    """No verdict is not a yes."""
    facts = await gather(
        world.desk, replace(await world.run(await world.alert()), target=world.ref), None, world.clock.now()
    )

    class Forgetful:
        name = "forgetful"

        def __call__(self, facts: Facts) -> Verdict:
            return None  # type: ignore[return-value]

    answers = ask_all([Forgetful()], facts)

    assert binding(answers) == Refuse(Reason.GUARD_FAILED, "guard forgetful answered None, which is no verdict")
