"""
Gather the facts and ask every guard; the strictest answer binds.

Facts are read just before the question, from the live cluster and the store. A guard that raises refuses, and
no answer at all refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from remediator.model.errors import Conflict, Forbidden, NotFound
from remediator.model.ledger import SignalName, StartRequest, Usage
from remediator.model.objects import NAMESPACE, ObjectRef
from remediator.model.plans import Step
from remediator.model.reports import GuardsAnswered
from remediator.model.rules import Limit, Mode, Rule
from remediator.model.runs import Run
from remediator.model.seams import Facts, Guard
from remediator.model.verdicts import Allow, Ask, GuardAnswer, Hold, Reason, Refuse, Verdict, strictest
from remediator.runs.desk import Desk

PAUSE = "remediator.dev/pause"
NOTHING = Limit(0, timedelta(0))


def ask_all(guards: Sequence[Guard], facts: Facts) -> tuple[GuardAnswer, ...]:
    """Every guard's answer."""
    return tuple(GuardAnswer(guard.name, _ask(guard, facts)) for guard in guards)


def _ask(guard: Guard, facts: Facts) -> Verdict:
    try:
        verdict: object = guard(facts)
    except Exception as error:  # noqa: BLE001 - a guard that raises refuses
        return Refuse(Reason.GUARD_FAILED, f"guard {guard.name} failed: {type(error).__name__}: {error}")
    if isinstance(verdict, Allow | Hold | Ask | Refuse):
        return verdict
    return Refuse(Reason.GUARD_FAILED, f"guard {guard.name} answered {verdict!r}, which is no verdict")


def binding(answers: Sequence[GuardAnswer], *, approved: bool = False) -> Verdict:
    """The verdict that counts. A question that a person has answered with yes is none any more."""
    return strictest({a.guard: Allow() if approved and is_answered(a.verdict) else a.verdict for a in answers})


def is_answered(verdict: Verdict) -> bool:
    """Whether a person's yes to the plan answers this."""
    return isinstance(verdict, Ask) and verdict.reason is Reason.APPROVAL_NEEDED


def is_approved(run: Run) -> bool:
    """Whether a person has said yes to exactly the plan that the run has."""
    return run.plan is not None and run.approved == run.plan.digest


async def ask_guards(desk: Desk, run: Run, step: Step | None, evidence_at: datetime) -> tuple[Facts, Verdict]:
    """Ask about the plan (`step` None) or about one step right now. Raises Temporary when facts cannot be read."""
    facts = await gather(desk, run, step, evidence_at)
    answers = ask_all(desk.guards, facts)
    desk.tell(GuardsAnswered(run, step, answers))
    return facts, binding(answers, approved=is_approved(run))


async def start(desk: Desk, run: Run, facts: Facts) -> Verdict:
    """
    Ask every guard once more, inside the transaction that takes the target's lock and spends the budget.

    Guards are pure, so they can be asked there with what the transaction itself sees.
    """

    def judge(usage: Usage) -> Verdict:
        return binding(ask_all(desk.guards, replace(facts, usage=usage)), approved=is_approved(run))

    return await desk.store.start(start_request(desk, run), judge)


def start_request(desk: Desk, run: Run) -> StartRequest:
    rule = desk.rule(run.rule)
    return StartRequest(
        run=run,
        target_key=run.target.key if run.target else "",
        namespace=run.target.namespace if run.target else "",
        per_rule=rule.per_rule if rule else NOTHING,
        per_target=rule.per_target if rule else NOTHING,
        per_namespace=desk.bounds.per_namespace,
        per_service=desk.bounds.per_service,
    )


async def gather(desk: Desk, run: Run, step: Step | None, evidence_at: datetime) -> Facts:
    """Read what guards may look at. Raises Temporary or Permanent from the cluster."""
    asked_at = desk.clock.monotonic()
    rule = desk.rule(run.rule)
    uid, paused, known = await _live(desk, run)
    stored = await desk.store.get(run.id)
    run = replace(run, resolved_at=stored.resolved_at if stored else None)  # a resolution may have arrived since
    request = start_request(desk, run)
    brakes = await desk.brakes.look()
    usage = await desk.store.usage(request)
    now = desk.clock.now()
    return Facts(
        now=now,
        run=run,
        mode=rule.mode if rule else Mode.OBSERVE,
        rule_is_loaded=rule is not None,
        rule_revision=rule.revision if rule else "",
        namespaces=rule.namespaces if rule else (),
        cooldown=_cooldown(rule),
        per_rule=request.per_rule,
        per_target=request.per_target,
        per_namespace=request.per_namespace,
        per_service=request.per_service,
        protected_namespaces=desk.bounds.protected_namespaces,
        own=desk.bounds.own,
        step=step,
        touches=_touches(run, step),
        pauses=paused,
        pauses_known=known,
        target_uid=uid,
        usage=usage,
        brakes=brakes,
        evidence_age=now - evidence_at,
        evidence_max_age=desk.bounds.evidence_max_age,
        cancelled=await cancelled(desk, run),
        asked_at=asked_at,
    )


async def cancelled(desk: Desk, run: Run) -> str:
    """Who wants the run to end and why; "" while nobody does."""
    told = await desk.store.signals(run.id)
    return next((f"{s.by} cancelled it: {s.why}" for s in told if s.name is SignalName.CANCEL), "")


def _cooldown(rule: Rule | None) -> timedelta:
    return rule.cooldown if rule else timedelta(0)


def _touches(run: Run, step: Step | None) -> tuple[ObjectRef, ...]:
    """What is about to be written: by one step, or by the whole plan while planning."""
    steps = (step,) if step else (run.plan.steps if run.plan else ())
    return tuple(ref for s in steps for ref in s.may_touch)


async def _live(desk: Desk, run: Run) -> tuple[str, tuple[str, ...], bool]:
    """The target's uid now ("" when gone), which of target and namespace a person paused, and whether that is known."""
    if run.target is None:
        return "", (), False
    view = desk.access.read().cluster
    try:
        target = await view.get(run.target.any_incarnation())
    except (NotFound, Conflict):
        return "", (), True
    namespace_ref = ObjectRef(NAMESPACE, run.target.namespace)
    paused = [str(run.target)] if _is_paused(target["metadata"]) else []
    try:
        namespace = await view.get(namespace_ref)
    except (Forbidden, NotFound):
        return str(target["metadata"]["uid"]), tuple(paused), False
    if _is_paused(namespace["metadata"]):
        paused.append(str(namespace_ref))
    return str(target["metadata"]["uid"]), tuple(paused), True


def _is_paused(metadata: object) -> bool:
    annotations = metadata.get("annotations") or {} if isinstance(metadata, dict) else {}
    return str(annotations.get(PAUSE, "")).lower() not in {"", "false"}
