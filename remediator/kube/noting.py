"""
From a report to the words of an Event.

Pure. Most reports mean nothing to the target's reader and give none.
"""

from __future__ import annotations

from dataclasses import dataclass

from remediator.kube.answers import plain
from remediator.model.reports import Planned, Report, StepReported, Transitioned
from remediator.model.runs import RunEvent, RunState, StepState

NOTE_BYTES = 1024


@dataclass(frozen=True)
class Note:
    """`reason` is one of the eight that the service documents; `text` has at most 1 kB and no control characters."""

    reason: str
    action: str
    text: str
    is_warning: bool = False


def note_of(report: Report) -> Note | None:
    if isinstance(report, Planned):
        text = f"rule {report.plan.rule}, run {report.run.id}: {report.plan.summary}"
        return _note("RemediationPlanned", "Plan", text)
    if isinstance(report, StepReported) and report.state is StepState.DONE:
        text = f"run {report.run.id}: {report.step.verb} on {report.step.target}: {report.detail or 'done'}"
        return _note("RemediationStepDone", report.step.verb, text)
    if isinstance(report, Transitioned):
        return _moved(report)
    return None


def _moved(report: Transitioned) -> Note | None:
    run, reason = report.run, report.reason
    why = f"{reason or 'no reason given'}: {report.detail}" if report.detail else str(reason or report.event)
    text = f"rule {run.rule}, run {run.id}: {why}"
    if run.state is RunState.AWAITING_APPROVAL:
        return _note("RemediationAwaitingApproval", "Ask", text)
    if report.event is RunEvent.ALLOWED:
        return _note("RemediationStarted", "Remediate", f"rule {run.rule}, run {run.id}: started")
    if run.state is RunState.SUCCEEDED:
        return _note("RemediationSucceeded", "Verify", text)
    if run.state is RunState.REFUSED:
        return _note("RemediationRefused", "Refuse", text)
    if run.state is RunState.ESCALATED:
        return _escalated(report, text)
    return None


def _escalated(report: Transitioned, text: str) -> Note:
    if report.run.touched or report.before is RunState.VERIFYING:
        return _note("RemediationFailed", "Escalate", text, is_warning=True)
    return _note("RemediationEscalated", "Escalate", text, is_warning=True)


def _note(reason: str, action: str, text: str, *, is_warning: bool = False) -> Note:
    line = plain(text)
    cut = line.encode("utf-8", "replace")[:NOTE_BYTES].decode("utf-8", "ignore")
    return Note(reason, action[:128], cut, is_warning)
