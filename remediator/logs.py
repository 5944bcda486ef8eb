"""
Structured logs: one JSON object a line on standard error, and every report as one of them.

Text from outside (labels, log lines, replies) is capped and kept on one line by the encoding; secrets never
reach here. On a terminal a person may choose the console form.
"""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

import structlog

from remediator.model.plans import Step
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
from remediator.model.runs import Run
from remediator.model.verdicts import Allow

LONGEST = 2000
"""Characters of one value."""


def configure(form: str, level: str, stream: TextIO = sys.stderr) -> None:
    """Once, at start. `form` is json or console."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    render: Any = (
        structlog.dev.ConsoleRenderer(repr_native_str=True)
        if form == "console"
        else structlog.processors.JSONRenderer(ensure_ascii=True)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *_shape(form),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def _shape(form: str) -> tuple[structlog.typing.Processor, ...]:
    """Errors without the values that were in memory, and every value bounded."""
    if form == "console":
        return _raised_at, _cap
    return structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    ), _cap


def _raised_at(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """On a console an error is told in its line: the renderer there takes no exception as data."""
    error = line.pop("exc_info", None)
    frames = traceback.extract_tb(error.__traceback__) if isinstance(error, BaseException) else []
    if frames:
        line["raised_at"] = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    return line


def _cap(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: _capped(value) for key, value in line.items()}


def _capped(value: Any) -> Any:
    match value:
        case str():
            return value[:LONGEST] + "…" if len(value) > LONGEST else value
        case dict():
            return {key: _capped(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_capped(inner) for inner in value]
        case _:
            return value


def complain(what: str, error: Exception) -> None:
    """Something of ours or near us failed and was survived."""
    structlog.get_logger().error("survived", what=what, error=f"{type(error).__name__}: {error}", exc_info=error)


class LogObserver:
    """An Observer that writes each report as one line, with the run's and the alert's ids."""

    def __call__(self, report: Report) -> None:
        log = structlog.get_logger().bind(**_who(report.run))
        log.info(_event(report), **_what(report))


def _who(run: Run) -> dict[str, str]:
    target = {"target": str(run.target)} if run.target else {}
    return {"run": run.id, "rule": run.rule, "alert": run.episode, **target}


def _event(report: Report) -> str:
    names: dict[type[Report], str] = {
        Admitted: "admitted",
        Located: "located",
        Diagnosed: "diagnosed",
        Planned: "planned",
        GuardsAnswered: "guards",
        StepReported: "step",
        HealthLooked: "health",
        Transitioned: "moved",
    }
    return names[type(report)]


def _what(report: Report) -> dict[str, Any]:
    match report:
        case Diagnosed(_, diagnosis):
            evidence = {e.probe: str(e.answer) for e in diagnosis.evidence}
            return {"result": str(diagnosis.result), "summary": diagnosis.summary, "evidence": evidence}
        case Planned(_, plan):
            return {"digest": plan.digest, "summary": plan.summary, "steps": [s.verb for s in plan.steps]}
        case GuardsAnswered(_, step, answers):
            against = [a.as_json() for a in answers if not isinstance(a.verdict, Allow)]
            return {"about": _step(step), "asked": len(answers), "against": against}
        case StepReported(_, step, attempt, state, detail, _, seconds, by_probe):
            shown = {"step": _step(step), "attempt": attempt, "state": str(state), "detail": detail}
            return {**shown, "seconds": round(seconds, 3), "by_probe": by_probe}
        case HealthLooked(_, met, seen):
            return {"met": met, "seen": seen}
        case Transitioned(run, before, event, reason, detail, _):
            moved = {"before": str(before), "event_name": str(event), "after": str(run.state)}
            return {**moved, "reason": str(reason or ""), "detail": detail}
        case _:
            return {}


def _step(step: Step | None) -> str:
    return f"{step.seq} {step.verb}" if step else "plan"
