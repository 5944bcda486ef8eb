"""
From an admitted alert to a run that may act: locate, look, conclude, plan, ask, start.

Nothing is written here but the journal. Whatever is not certain ends in a hold, a refusal or a person.
"""

from __future__ import annotations

from dataclasses import replace

from remediator.model.errors import RemoteError, Temporary
from remediator.model.evidence import Diagnosis, DiagnosisResult
from remediator.model.plans import Plan
from remediator.model.reports import Diagnosed, Located, Planned
from remediator.model.rules import Rule
from remediator.model.runs import Run, RunEvent
from remediator.model.systems import AnySystem, NoDraft, NotLocated
from remediator.model.verdicts import Allow, Ask, Reason, Refuse, Verdict
from remediator.runs.asking import ask_guards, cancelled, is_approved, start
from remediator.runs.desk import Desk
from remediator.runs.looking import Look, diagnose, look
from remediator.runs.moving import advance, at_recheck, hold, obey, refuse, stop


async def begin(desk: Desk, run: Run) -> Run:
    """Move a pending run on. One that has started before goes on where it was; its guards are asked at its step."""
    rule = desk.rule(run.rule)
    system = desk.systems.get(rule.system) if rule else None
    if rule is None or system is None:
        return await refuse(desk, run, Refuse(Reason.RULE_GONE, f"rule {run.rule} is no longer loaded"))
    if run.started_at is not None and run.plan is not None:
        return await advance(desk, run, RunEvent.ALLOWED, None, f"goes on at step {run.cursor}")
    if run.resolved_at is not None:
        detail = f"the alert was resolved at {run.resolved_at:%H:%M:%S}"
        return await refuse(desk, run, Refuse(Reason.EPISODE_OVER, detail))
    if unwanted := await cancelled(desk, run):
        return await refuse(desk, run, Refuse(Reason.CANCELLED, unwanted))
    try:
        return await _begin_afresh(desk, run, rule, system)
    except Temporary as error:
        return await hold(desk, run, at_recheck(desk, Reason.EVIDENCE_UNKNOWN, str(error)))
    except RemoteError as error:
        return await stop(desk, run, Reason.EVIDENCE_UNKNOWN, str(error))


async def _begin_afresh(desk: Desk, run: Run, rule: Rule, system: AnySystem) -> Run:
    run = replace(run, rule_revision=rule.revision)
    located = await _locate(desk, run, rule, system)
    if isinstance(located, Refuse):
        return await refuse(desk, run, located)
    run = located
    seen = await look(desk, run, system)
    diagnosis = diagnose(seen, rule, system, run.labels)
    run = replace(run, diagnosis=diagnosis, notes={**run.notes, "survey": dict(seen.notes)})
    desk.tell(Diagnosed(run, diagnosis))
    if diagnosis.result is not DiagnosisResult.CONFIRMED:
        return await _not_confirmed(desk, run, diagnosis)
    return await _plan_and_start(desk, run, rule, system, seen)


async def _locate(desk: Desk, run: Run, rule: Rule, system: AnySystem) -> Run | Refuse:
    """The run with its target. Scope is checked before anything is read, and again on the live object."""
    if run.labels.get("namespace", "") not in rule.namespaces:
        return Refuse(Reason.OUTSIDE_SCOPE, f"namespace {run.labels.get('namespace', '')!r} is not in the rule's scope")
    if system.locate is None:
        return Refuse(Reason.TARGET_NOT_COVERED, f"system {system.name} has no targets of its own")
    found = await system.locate(desk.access.read(), run.labels)
    if isinstance(found, NotLocated):
        return Refuse(found.reason, found.detail)
    if found.target.namespace not in rule.namespaces:
        return Refuse(Reason.OUTSIDE_SCOPE, f"{found.target} is outside the rule's scope")
    if run.target is not None and run.target != found.target:
        return Refuse(Reason.TARGET_CHANGED, f"{run.target} was replaced while the run waited")
    located = replace(run, target=found.target)
    if run.target is None:
        desk.tell(Located(located))
    return located


async def _not_confirmed(desk: Desk, run: Run, diagnosis: Diagnosis) -> Run:
    if diagnosis.result is DiagnosisResult.HEALTHY:
        return await advance(desk, run, RunEvent.NOTHING_TO_DO, diagnosis.reason, diagnosis.summary)
    if diagnosis.result is DiagnosisResult.EXCLUDED:
        return await refuse(desk, run, Refuse(diagnosis.reason, diagnosis.summary))
    return await hold(desk, run, at_recheck(desk, diagnosis.reason, diagnosis.summary))


async def _plan_and_start(desk: Desk, run: Run, rule: Rule, system: AnySystem, seen: Look) -> Run:
    target = run.target
    if target is None:
        return await refuse(desk, run, Refuse(Reason.TARGET_NOT_FOUND, "the run has no target"))
    drafted = system.remedies[rule.remedy].plan(seen.facts, rule.parameters)
    if isinstance(drafted, NoDraft):
        return await stop(desk, replace(run, plan=None), drafted.reason, drafted.detail)
    plan = Plan(rule.name, rule.revision, target, drafted.summary, drafted.steps, drafted.ask, drafted.arithmetic)
    run = replace(run, plan=plan)
    desk.tell(Planned(run, plan))
    facts, verdict = await ask_guards(desk, run, None, seen.at)
    verdict = verdict if is_approved(run) else _with_questions(verdict, plan, run.diagnosis)
    if isinstance(verdict, Allow):
        run = await desk.store.save(run)
        verdict = await start(desk, run, replace(facts, run=run))
    return await _follow(desk, run, verdict)


def _with_questions(verdict: Verdict, plan: Plan, diagnosis: Diagnosis | None) -> Verdict:
    """A plan or a diagnosis may itself want a person, whatever the mode; refusals still come first."""
    if isinstance(verdict, Refuse | Ask):
        return verdict
    if plan.ask:
        return Ask(Reason.APPROVAL_NEEDED, plan.ask)
    if diagnosis is not None and diagnosis.needs_person:
        return Ask(Reason.APPROVAL_NEEDED, "optional evidence is unknown")
    return verdict


async def _follow(desk: Desk, run: Run, verdict: Verdict) -> Run:
    if not isinstance(verdict, Allow):
        return await obey(desk, run, verdict)
    started = {"started_at": run.started_at or desk.clock.now(), "held_since": None}
    return await advance(desk, run, RunEvent.ALLOWED, None, "all guards allow it", **started)
