"""
Look at the target once and draw the conclusion: survey, probes, the rule's own conditions.

Read-only. Two looks of one run share its notes, so a survey can remember what it saw before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remediator.model.evidence import Answer, Diagnosis, DiagnosisResult, Evidence, Weight, conclude
from remediator.model.plans import Step
from remediator.model.rules import Condition, Rule
from remediator.model.runs import Run
from remediator.model.systems import AnySystem, Health
from remediator.model.verdicts import Reason
from remediator.runs.desk import Desk


@dataclass(frozen=True)
class Look:
    """One survey with what it proves; `at` is when it began, so its age is never understated."""

    at: datetime
    facts: Any
    evidence: tuple[Evidence, ...]
    health: Health
    notes: Mapping[str, Any]


async def look(desk: Desk, run: Run, system: AnySystem) -> Look:
    """Survey the run's target. Raises RemoteError when the target itself cannot be read."""
    if system.survey is None or system.health is None or run.target is None:
        raise RuntimeError(f"system {system.name} cannot be surveyed")
    began = desk.clock.now()
    surveyed = await system.survey(desk.access.read(), run.target, run.notes.get("survey", {}))
    evidence = tuple(probe.judge(surveyed.facts) for probe in system.probes)
    health = system.health(surveyed.facts, run.plan if run.touched else None)
    return Look(began, surveyed.facts, evidence, health, surveyed.notes)


def diagnose(seen: Look, rule: Rule, system: AnySystem, labels: Mapping[str, str]) -> Diagnosis:
    """What one look proves under one rule."""
    if seen.health.met:
        return Diagnosis(DiagnosisResult.HEALTHY, Reason.HEALTHY, seen.health.seen, seen.evidence)
    asked = (*seen.evidence, *(_ask(c, seen, system, labels) for c in rule.conditions))
    return conclude(asked, fault=system.fault)


def _ask(condition: Condition, seen: Look, system: AnySystem, labels: Mapping[str, str]) -> Evidence:
    answer = condition.evaluate(
        {
            "labels": dict(labels),
            "evidence": {e.probe: str(e.answer) for e in seen.evidence},
            "facts": dict(system.facts_json(seen.facts)) if system.facts_json else {},
        }
    )
    said = {Answer.YES: "true", Answer.NO: "false", Answer.UNKNOWN: "it could not be evaluated"}[answer]
    return Evidence(
        "when", condition.text, answer, f"{condition.text}: {said}", Weight.REQUIRED, Reason.CONDITION_NOT_MET
    )


def unmet(seen: Look, rule: Rule, system: AnySystem, labels: Mapping[str, str]) -> Evidence | None:
    """The first of the rule's own conditions that does not hold; None when all do."""
    asked = (_ask(condition, seen, system, labels) for condition in rule.conditions)
    return next((e for e in asked if not e.speaks_for_the_fault), None)


def still_required(step: Step, seen: Look) -> Evidence | None:
    """The first piece of evidence a step rests on that no longer speaks for the fault; None when all do."""
    told = {e.probe: e for e in seen.evidence}
    for name in step.requires:
        evidence = told.get(name)
        if evidence is None:
            return Evidence(name, "asked by the plan", Answer.NO, f"there is no probe called {name}")
        if not evidence.speaks_for_the_fault:
            return evidence
    return None
