"""What is counted, under which names, and that no alert can put a label into it."""

from __future__ import annotations

import subprocess
from datetime import timedelta

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from remediator import __version__
from remediator.metrics import LiveState, Metrics
from remediator.model.brakes import Engaged, Released, Unreadable
from remediator.model.evidence import DiagnosisResult
from remediator.model.plans import Effect
from remediator.model.reports import (
    Admitted,
    Diagnosed,
    GuardsAnswered,
    HealthLooked,
    Located,
    Planned,
    StepReported,
    Transitioned,
)
from remediator.model.runs import FINAL, RunEvent, RunState, StepState
from remediator.model.verdicts import Allow, Ask, GuardAnswer, Hold, Reason, Refuse
from tests.unit.model.made import NOW, make_diagnosis, make_plan, make_run, make_step

RULE = "etcd-member-removed"
NAMES = {
    "remediator_alerts_received": "counter",
    "remediator_alerts_unmatched": "counter",
    "remediator_webhook_requests": "counter",
    "remediator_webhook_duration_seconds": "histogram",
    "remediator_runs": "counter",
    "remediator_runs_active": "gauge",
    "remediator_diagnosis": "counter",
    "remediator_guard_verdicts": "counter",
    "remediator_steps": "counter",
    "remediator_step_duration_seconds": "histogram",
    "remediator_run_duration_seconds": "histogram",
    "remediator_time_to_first_action_seconds": "histogram",
    "remediator_kube_requests": "counter",
    "remediator_store_commit_seconds": "histogram",
    "remediator_frozen": "gauge",
    "remediator_brakes_unreadable": "gauge",
    "remediator_store_damaged_runs": "gauge",
    "remediator_history_only": "gauge",
    "remediator_store_disk_full": "gauge",
    "remediator_audit_head": "gauge",
    "remediator_armed": "gauge",
    "remediator_config_last_reload_successful": "gauge",
    "remediator_last_notification_timestamp_seconds": "gauge",
    "remediator_build_info": "gauge",
}
LABELS = {
    "status", "code", "rule", "state", "result", "guard", "verdict", "verb", "resource", "outcome", "version", "le",
}  # fmt: skip
READ = make_step(0, verb="etcd.snapshot", effect=Effect.NONE)
WRITE = make_step(1)
RUN = make_run(plan=make_plan(READ, WRITE, make_step(2)))


def text(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def everything(metrics: Metrics, **run: object) -> None:
    """Tell one of each report and of each other thing that is counted."""
    told = make_run(plan=RUN.plan, **run)
    metrics.show(LiveState({(RULE, "held"): 2}, {RULE: True}, frozen=True))
    metrics.reload_ok.set(1)
    metrics.unmatched.inc(3)
    metrics.kube_asked("get", "pods", "200")
    metrics.request_answered(202, 0.004)
    metrics.alerts_accepted(2, 1, NOW)
    metrics.committed(0.002)
    for report in (Admitted(told), Located(told), Planned(told, make_plan()), HealthLooked(told, met=True, seen="")):
        metrics(report)
    metrics(Diagnosed(told, make_diagnosis()))
    metrics(
        GuardsAnswered(told, None, (GuardAnswer("freeze", Allow()), GuardAnswer("mode", Refuse(Reason.DISARMED, ""))))
    )
    metrics(StepReported(told, WRITE, 1, StepState.INTENT, "", NOW))
    metrics(StepReported(told, WRITE, 1, StepState.DONE, "", NOW, 3.0))
    ended = make_run(state=RunState.SUCCEEDED, finished_at=NOW, **run)
    metrics(Transitioned(ended, RunState.VERIFYING, RunEvent.CURED, Reason.CURED, "", NOW))


def test_every_name_of_the_reference_is_exposed():
    """All of them, of the right kind, and nothing else under our name."""
    metrics = Metrics()
    everything(metrics)

    families = {f.name: f.type for f in text_string_to_metric_families(text(metrics))}

    # the classic format tells each counter's and histogram's birth as a series of its own
    assert {name: kind for name, kind in families.items() if not name.endswith("_created")} == NAMES


def test_an_untouched_service_exposes_its_version_and_no_made_up_runs():
    """Nothing has happened yet."""
    metrics = Metrics()

    assert value(metrics, "remediator_build_info", version=__version__) == 1
    assert value(metrics, "remediator_frozen") == 0
    assert "rule=" not in text(metrics)


@pytest.mark.real("promtool")
def test_promtool_finds_nothing_to_say():
    """Prometheus' own linter reads the exposition."""
    metrics = Metrics()
    everything(metrics)

    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text(metrics), capture_output=True, text=True, timeout=20, check=False
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_no_value_of_an_alert_becomes_a_label():
    """Labels, annotations, the episode, the target and every detail are hostile; none of it is in the exposition."""
    hostile = 'evil"} 1\nforged_total{x="'
    metrics = Metrics()

    everything(
        metrics,
        id=f"run-{hostile}",
        labels={"alertname": hostile, "namespace": hostile, hostile: hostile},
        episode=hostile,
        starts_at=hostile,
        detail=hostile,
        target=None,
    )
    run = make_run(labels={"alertname": hostile}, episode=hostile)
    metrics(Diagnosed(run, make_diagnosis(DiagnosisResult.UNKNOWN)))
    metrics(GuardsAnswered(run, WRITE, (GuardAnswer("pause", Hold(NOW, Reason.PAUSED, hostile)),)))
    metrics(StepReported(run, WRITE, 1, StepState.FAILED, hostile, NOW, 1.0))

    exposed = text(metrics)
    assert "evil" not in exposed
    assert "forged" not in exposed
    families = list(text_string_to_metric_families(exposed))
    assert {label for f in families for s in f.samples for label in s.labels} == LABELS


def test_diagnoses_are_counted_by_their_result():
    """One for each look that drew one."""
    metrics = Metrics()
    for result in (DiagnosisResult.UNKNOWN, DiagnosisResult.UNKNOWN, DiagnosisResult.CONFIRMED):
        metrics(Diagnosed(RUN, make_diagnosis(result)))

    assert value(metrics, "remediator_diagnosis_total", rule=RULE, result="unknown") == 2
    assert value(metrics, "remediator_diagnosis_total", rule=RULE, result="confirmed") == 1


def test_every_guards_answer_is_counted():
    """By guard and kind of verdict; reasons and details are not labels."""
    metrics = Metrics()
    verdicts = (Allow(), Hold(NOW, Reason.FROZEN, "x"), Ask(Reason.APPROVAL_NEEDED, "y"), Refuse(Reason.PROTECTED, "z"))
    metrics(GuardsAnswered(RUN, None, tuple(GuardAnswer(f"g{i}", v) for i, v in enumerate(verdicts))))

    for i, name in enumerate(("allow", "hold", "ask", "refuse")):
        assert value(metrics, "remediator_guard_verdicts_total", rule=RULE, guard=f"g{i}", verdict=name) == 1


@pytest.mark.parametrize("state", [StepState.DONE, StepState.FAILED, StepState.NOT_APPLIED])
def test_an_outcome_of_a_step_is_counted_with_its_time(state):
    """An intent is not an outcome."""
    metrics = Metrics()
    metrics(StepReported(RUN, WRITE, 1, StepState.INTENT, "", NOW))
    metrics(StepReported(RUN, WRITE, 1, state, "", NOW, 2.5))

    labels = {"rule": RULE, "verb": WRITE.verb}
    assert value(metrics, "remediator_steps_total", result=str(state), **labels) == 1
    assert value(metrics, "remediator_steps_total", result="intent", **labels) is None
    assert value(metrics, "remediator_step_duration_seconds_sum", verb=WRITE.verb) == 2.5


def first_actions(*reports: StepReported) -> tuple[float | None, float | None]:
    metrics = Metrics()
    for report in reports:
        metrics(report)
    name = "remediator_time_to_first_action_seconds"
    return value(metrics, f"{name}_count", rule=RULE), value(metrics, f"{name}_sum", rule=RULE)


def test_the_time_to_the_first_action_is_that_of_the_first_write():
    """From admission to its intent: not a reading step's, not a later write's, not a second attempt's."""
    later = NOW + timedelta(minutes=5)

    assert first_actions(
        StepReported(RUN, READ, 1, StepState.INTENT, "", NOW - timedelta(minutes=5)),
        StepReported(RUN, WRITE, 1, StepState.INTENT, "", NOW),
        StepReported(RUN, WRITE, 1, StepState.DONE, "", NOW),
        StepReported(RUN, WRITE, 2, StepState.INTENT, "", later),
        StepReported(RUN, make_step(2), 1, StepState.INTENT, "", later),
    ) == (1, 3600.0)


def test_a_clock_that_was_set_back_observes_no_negative_time():
    """A histogram would carry it for ever."""
    early = RUN.created_at - timedelta(hours=2)
    metrics = Metrics()
    metrics(StepReported(RUN, WRITE, 1, StepState.INTENT, "", early))
    metrics(
        Transitioned(
            make_run(state=RunState.REFUSED, finished_at=early), RunState.PENDING, RunEvent.REFUSED, None, "", NOW
        )
    )

    assert value(metrics, "remediator_time_to_first_action_seconds_sum", rule=RULE) == 0
    assert value(metrics, "remediator_run_duration_seconds_sum", rule=RULE, outcome="refused") == 0


@pytest.mark.parametrize("state", sorted(RunState))
def test_only_an_end_is_counted_as_a_run(state):
    """With the time since its admission."""
    metrics = Metrics()
    metrics(Transitioned(make_run(state=state, finished_at=NOW), RunState.PENDING, RunEvent.DUE, None, "", NOW))

    expected = 1 if state in FINAL else None
    assert value(metrics, "remediator_runs_total", rule=RULE, outcome=str(state)) == expected
    assert value(metrics, "remediator_run_duration_seconds_sum", rule=RULE, outcome=str(state)) == (
        3600.0 if expected else None
    )


def test_live_state_is_what_was_shown_last():
    """A rule that is gone and a run that has ended leave no series behind."""
    metrics = Metrics()
    metrics.show(LiveState({("a", "held"): 2}, {"a": True, "b": False}, frozen=True))
    assert value(metrics, "remediator_runs_active", rule="a", state="held") == 2
    assert (value(metrics, "remediator_armed", rule="a"), value(metrics, "remediator_armed", rule="b")) == (1, 0)
    assert value(metrics, "remediator_frozen") == 1

    metrics.show(LiveState())
    assert value(metrics, "remediator_runs_active", rule="a", state="held") is None
    assert value(metrics, "remediator_armed", rule="a") is None
    assert value(metrics, "remediator_frozen") == 0


@pytest.mark.parametrize("switch", [True, False])
@pytest.mark.parametrize(
    ("brakes", "engaged", "unreadable"),
    [
        ((), False, 0),
        ((Released("file FREEZE"),), False, 0),
        ((Released("file FREEZE"), Engaged("configmap a/b", "x", "")), True, 0),
        ((Unreadable("file FREEZE", "x"), Unreadable("configmap a/b", "x")), False, 2),
        ((Unreadable("file FREEZE", "x"), Engaged("configmap a/b", "x", "")), True, 1),
    ],
)
def test_frozen_by_any_way_is_frozen(switch, brakes, engaged, unreadable):
    """By the switch in the store or at a brake; a brake that cannot be read is counted by itself."""
    metrics = Metrics()
    metrics.show(LiveState(frozen=switch))
    metrics.show_brakes(brakes)

    assert value(metrics, "remediator_frozen") == float(switch or engaged)
    assert value(metrics, "remediator_brakes_unreadable") == unreadable


def test_what_other_rooms_say_of_themselves():
    """Requests, alerts, commits, and when the last notification came."""
    metrics = Metrics()
    everything(metrics)

    assert value(metrics, "remediator_kube_requests_total", verb="get", resource="pods", code="200") == 1
    assert value(metrics, "remediator_webhook_requests_total", code="202") == 1
    assert value(metrics, "remediator_webhook_duration_seconds_sum") == 0.004
    assert value(metrics, "remediator_alerts_received_total", status="firing") == 2
    assert value(metrics, "remediator_alerts_received_total", status="resolved") == 1
    assert value(metrics, "remediator_alerts_unmatched_total") == 3
    assert value(metrics, "remediator_store_commit_seconds_count") == 1
    assert value(metrics, "remediator_last_notification_timestamp_seconds") == NOW.timestamp()


def test_two_services_in_one_process_do_not_share_their_counts():
    """Each has a registry of its own."""
    one, other = Metrics(), Metrics()
    one.committed(1.0)

    assert value(other, "remediator_store_commit_seconds_count") == 0
