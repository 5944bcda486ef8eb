"""
A run told as it happens: an Observer that prints what was seen, what each guard said, the plan, each step, the cure.

It reads as a page from top to bottom and repeats nothing: looks that find the same are told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import singledispatchmethod

from remediator.model.reports import (
    Admitted,
    Diagnosed,
    GuardsAnswered,
    HealthLooked,
    Located,
    Planned,
    Report,
    StepReported,
    Transitioned,
)
from remediator.model.runs import RunState, StepState
from remediator.model.verdicts import Allow
from remediator.terminal.page import STATES, evidence_lines, marked, plan_lines, wrap
from remediator.terminal.paint import Paint


class Story:
    """`say` receives one line at a time, without a newline."""

    def __init__(self, say: Callable[[str], None], paint: Paint, width: int) -> None:
        self._say, self._paint, self._width = say, paint, min(width, 100)
        self._told: dict[str, str] = {}
        self._answers: dict[str, str] = {}

    def _is_new(self, kind: str, text: str) -> bool:
        """Whether this differs from what was told last of its kind."""
        was, self._told[kind] = self._told.get(kind), text
        return was != text

    def __call__(self, report: Report) -> None:
        for line in self._tell(report):
            self._say(line)

    def _marked(self, mark: str, colour: str, text: str, indent: str = "  ") -> Iterator[str]:
        return marked(self._paint(mark, colour), text, self._width, indent)

    def head(self, title: str) -> None:
        self._say("")
        self._say(self._paint(title, "head"))

    @singledispatchmethod
    def _tell(self, report: Report) -> Iterator[str]:
        yield from ()

    @_tell.register
    def _(self, report: Admitted) -> Iterator[str]:
        run = report.run
        yield ""
        yield self._paint("Alert", "head")
        where = f"{run.labels.get('namespace', '')}/{run.labels.get('pod', '')}"
        yield from wrap(f"{run.labels.get('alertname', '')}  {where}", self._width, "  ", "    ")
        yield from wrap(f"admitted as {run.id} by rule {run.rule}", self._width, "  ", "    ")

    @_tell.register
    def _(self, report: Located) -> Iterator[str]:
        yield from wrap(f"target {report.run.target}", self._width, "  ", "    ")

    @_tell.register
    def _(self, report: Diagnosed) -> Iterator[str]:
        """The first look whole; a later one only where an answer has changed."""
        diagnosis = report.diagnosis
        if not self._is_new("diagnosis", f"{diagnosis.result} {diagnosis.summary}"):
            return
        changed = [e for e in diagnosis.evidence if self._answers.get(e.probe) != str(e.answer)]
        first = not self._answers
        self._answers |= {e.probe: str(e.answer) for e in diagnosis.evidence}
        yield ""
        yield self._paint("Evidence" if first else "Evidence, looked at again", "head")
        yield from evidence_lines([e.as_json() for e in changed], self._paint, self._width)
        yield from wrap(f"{diagnosis.result}: {diagnosis.summary}", self._width, "  → ", "    ")

    @_tell.register
    def _(self, report: Planned) -> Iterator[str]:
        yield ""
        yield self._paint("Plan", "head")
        plan = report.plan
        yield from plan_lines({**plan.as_json(), "digest": plan.digest}, self._paint, self._width)

    @_tell.register
    def _(self, report: GuardsAnswered) -> Iterator[str]:
        against = [a for a in report.answers if not isinstance(a.verdict, Allow)]
        about = f"step {report.step.seq + 1}" if report.step else "the plan"
        if not self._is_new("guards", f"{about} {[a.as_json() for a in against]}"):
            return
        if report.step is None:
            yield ""
            yield self._paint("Guards", "head")
        if not against:
            names = f": {', '.join(a.guard for a in report.answers)}" if report.step is None else ""
            yield from self._marked("✓", "good", f"{about}: all {len(report.answers)} guards allow it{names}")
        for answer in against:
            said = answer.as_json()
            line = f"{about}: {answer.guard} says {said['verdict']}: {said['reason']}: {said['detail']}"
            yield from self._marked("✗", "bad", line)

    @_tell.register
    def _(self, report: StepReported) -> Iterator[str]:
        step = report.step
        if report.state is StepState.INTENT:
            yield from self._marked("▸", "head", f"{step.seq + 1}. {step.verb}  {step.target}")
            return
        mark, colour = {StepState.DONE: ("✓", "good"), StepState.FAILED: ("✗", "bad")}.get(
            report.state, ("?", "unsure")
        )
        seen = " (seen by a probe)" if report.by_probe else ""
        yield from self._marked(mark, colour, f"{report.detail}{seen}  {report.seconds:.1f} s", "      ")

    @_tell.register
    def _(self, report: HealthLooked) -> Iterator[str]:
        if self._is_new("health", f"{report.met} {report.seen}"):
            yield from self._marked(*(("✓", "good") if report.met else ("…", "unsure")), report.seen)

    @_tell.register
    def _(self, report: Transitioned) -> Iterator[str]:
        run = report.run
        if run.state is RunState.RUNNING:
            yield ""
            yield self._paint("Steps", "head")
        elif run.state is RunState.VERIFYING:
            yield ""
            yield self._paint("Verification", "head")
        elif run.state is RunState.HELD:
            if self._is_new("held", f"{report.reason} {report.detail}"):
                yield from wrap(f"waits: {report.reason}: {report.detail}", self._width, "  ", "    ")
        elif run.state.is_final:
            yield ""
            state = str(run.state)
            lines = wrap(f"{state}: {report.reason}: {report.detail}", self._width, "", "  ")
            yield lines[0].replace(state, self._paint(state, STATES.get(state, "bold")), 1)
            yield from lines[1:]
