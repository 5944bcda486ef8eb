"""
Count what was told. The only module that knows prometheus_client.

In: reports, and what the receiver, the API client and the store say of themselves. Out: the series of the
reference page. No label value ever comes from an alert: only rules, closed sets and verbs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import singledispatchmethod
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.aiohttp import make_aiohttp_handler
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from remediator import __version__
from remediator.model.brakes import BrakeState, Engaged, Unreadable
from remediator.model.reports import (
    Diagnosed,
    GuardsAnswered,
    Report,
    StepReported,
    Transitioned,
)
from remediator.model.runs import Run, StepState

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
SLOW = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True)
class LiveState:
    """What is so just now, for gauges."""

    active: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Runs that have not ended, by rule and state."""
    armed: Mapping[str, bool] = field(default_factory=dict)
    frozen: bool = False
    """By the switch in the store."""
    damaged: int = 0
    """Runs of the journal that cannot be read."""
    history_only: bool = False
    """The journal cannot be trusted: nothing is taken and nothing is done."""
    lacks_room: bool = False


class _Live(Collector):
    def __init__(self, state: Callable[[], LiveState], brakes: Callable[[], Sequence[BrakeState]]) -> None:
        self._state, self._brakes = state, brakes

    def collect(self) -> Iterable[GaugeMetricFamily]:
        state, brakes = self._state(), self._brakes()
        frozen = state.frozen or any(isinstance(brake, Engaged) for brake in brakes)
        unreadable = sum(isinstance(brake, Unreadable) for brake in brakes)
        active = GaugeMetricFamily("remediator_runs_active", "Runs that have not ended.", labels=["rule", "state"])
        for (rule, name), count in sorted(state.active.items()):
            active.add_metric([rule, name], count)
        armed = GaugeMetricFamily("remediator_armed", "Whether an operator armed the rule.", labels=["rule"])
        for rule, is_armed in sorted(state.armed.items()):
            armed.add_metric([rule], float(is_armed))
        yield active
        yield armed
        yield GaugeMetricFamily("remediator_frozen", "Whether all writes are stopped.", value=float(frozen))
        yield GaugeMetricFamily(
            "remediator_brakes_unreadable",
            "Ways to freeze that cannot be read.",
            value=unreadable,
        )
        yield GaugeMetricFamily(
            "remediator_store_damaged_runs", "Runs of the journal that cannot be read.", value=state.damaged
        )
        yield GaugeMetricFamily(
            "remediator_history_only",
            "Whether the journal cannot be trusted, so that only history is shown.",
            value=float(state.history_only),
        )
        yield GaugeMetricFamily(
            "remediator_store_disk_full", "Whether the journal's disk is full.", value=float(state.lacks_room)
        )


class Metrics:
    """An Observer, with a door for each of the other things that are counted."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._of_the_service()
        self._of_ingest()
        self._of_runs()
        self._live = LiveState()
        self._brakes: Sequence[BrakeState] = ()
        self.registry.register(_Live(lambda: self._live, lambda: self._brakes))

    def _of_the_service(self) -> None:
        r = self.registry
        build = Gauge("remediator_build_info", "The version that runs; always 1.", ["version"], registry=r)
        build.labels(__version__).set(1)
        self.reload_ok = Gauge(
            "remediator_config_last_reload_successful", "Whether the rules in force are those on disk.", registry=r
        )
        self.commit_seconds = Histogram(
            "remediator_store_commit_seconds", "One durable commit of the store.", buckets=FAST, registry=r
        )
        self.audit_head = Gauge(
            "remediator_audit_head", "The number of the audit trail's newest record, as told to the log.", registry=r
        )
        self.kube_requests = Counter(
            "remediator_kube_requests_total",
            "Requests to the API server.",
            ["verb", "resource", "code"],
            registry=r,
        )

    def _of_ingest(self) -> None:
        r = self.registry
        self.alerts = Counter(
            "remediator_alerts_received_total", "Alerts in accepted notifications.", ["status"], registry=r
        )
        self.unmatched = Counter("remediator_alerts_unmatched_total", "Alerts that no rule matches.", registry=r)
        self.requests = Counter(
            "remediator_webhook_requests_total", "Webhook requests by answer.", ["code"], registry=r
        )
        self.request_seconds = Histogram(
            "remediator_webhook_duration_seconds", "Time to answer a webhook request.", buckets=FAST, registry=r
        )
        self.last_notification = Gauge(
            "remediator_last_notification_timestamp_seconds", "When the last notification was accepted.", registry=r
        )

    def _of_runs(self) -> None:
        r = self.registry
        self.runs = Counter("remediator_runs_total", "Runs that ended.", ["rule", "outcome"], registry=r)
        self.diagnoses = Counter("remediator_diagnosis_total", "Diagnoses drawn.", ["rule", "result"], registry=r)
        self.verdicts = Counter(
            "remediator_guard_verdicts_total", "Answers of guards.", ["rule", "guard", "verdict"], registry=r
        )
        self.steps = Counter(
            "remediator_steps_total", "Attempts of steps by outcome.", ["rule", "verb", "result"], registry=r
        )
        self.step_seconds = Histogram(
            "remediator_step_duration_seconds",
            "From a step's intent to its outcome.",
            ["verb"],
            buckets=SLOW,
            registry=r,
        )
        self.run_seconds = Histogram(
            "remediator_run_duration_seconds",
            "From admission to the end.",
            ["rule", "outcome"],
            buckets=SLOW,
            registry=r,
        )
        self.first_action = Histogram(
            "remediator_time_to_first_action_seconds",
            "From admission to the first write.",
            ["rule"],
            buckets=(*FAST, *SLOW[3:]),
            registry=r,
        )

    def show(self, state: LiveState) -> None:
        """What the gauges of live state say from now on."""
        self._live = state

    def show_brakes(self, brakes: Sequence[BrakeState]) -> None:
        """What the brakes say from now on, whatever becomes of the store."""
        self._brakes = brakes

    @property
    def handler(self) -> Callable[[Any], Awaitable[Any]]:
        """An aiohttp handler of the exposition, from prometheus_client itself."""
        handler: Callable[[Any], Awaitable[Any]] = make_aiohttp_handler(self.registry)
        return handler

    # --- what other rooms say of themselves -----------------------------------------------------------------

    def kube_asked(self, verb: str, resource: str, code: str) -> None:
        self.kube_requests.labels(verb, resource, code).inc()

    def request_answered(self, code: int, seconds: float) -> None:
        self.requests.labels(str(code)).inc()
        self.request_seconds.observe(seconds)

    def alerts_accepted(self, firing: int, resolved: int, at: datetime) -> None:
        self.alerts.labels("firing").inc(firing)
        self.alerts.labels("resolved").inc(resolved)
        self.last_notification.set(at.timestamp())

    def committed(self, seconds: float) -> None:
        self.commit_seconds.observe(seconds)

    # --- an observer ---------------------------------------------------------------------------------------

    @singledispatchmethod
    def __call__(self, report: Report) -> None:
        """Reports that are not counted."""

    @__call__.register
    def _(self, report: Diagnosed) -> None:
        self.diagnoses.labels(report.run.rule, str(report.diagnosis.result)).inc()

    @__call__.register
    def _(self, report: GuardsAnswered) -> None:
        for answer in report.answers:
            verdict = type(answer.verdict).__name__.lower()
            self.verdicts.labels(report.run.rule, answer.guard, verdict).inc()

    @__call__.register
    def _(self, report: StepReported) -> None:
        run, step = report.run, report.step
        if report.state is StepState.INTENT:
            if step.seq == _first_write(run) and report.attempt == 1:
                self.first_action.labels(run.rule).observe(max(0.0, (report.at - run.created_at).total_seconds()))
            return
        self.steps.labels(run.rule, step.verb, str(report.state)).inc()
        self.step_seconds.labels(step.verb).observe(report.seconds)

    @__call__.register
    def _(self, report: Transitioned) -> None:
        run = report.run
        if not run.state.is_final:
            return
        self.runs.labels(run.rule, str(run.state)).inc()
        took = ((run.finished_at or report.at) - run.created_at).total_seconds()
        self.run_seconds.labels(run.rule, str(run.state)).observe(max(0.0, took))


def _first_write(run: Run) -> int:
    steps = run.plan.steps if run.plan else ()
    return next((s.seq for s in steps if s.is_write), -1)
