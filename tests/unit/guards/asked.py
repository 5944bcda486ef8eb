"""Facts in which every guard allows, to be changed one at a time, and a way to ask one guard."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from remediator import guards
from remediator.model.brakes import Released
from remediator.model.ledger import Usage
from remediator.model.rules import Limit, Mode
from remediator.model.seams import Facts, Guard
from remediator.model.verdicts import Verdict
from tests.unit.model.made import NOW, TARGET, make_run

HOUR = timedelta(hours=1)
USAGE = Usage(NOW, (), (), (), (), (), None, frozen=False, armed=True, armed_revision="r1")
FACTS = Facts(
    now=NOW,
    run=make_run(),
    mode=Mode.AUTO,
    rule_is_loaded=True,
    rule_revision="r1",
    namespaces=("milvus",),
    cooldown=timedelta(minutes=30),
    per_rule=Limit(3, HOUR),
    per_target=Limit(1, 6 * HOUR),
    per_namespace=Limit(5, HOUR),
    per_service=Limit(10, HOUR),
    protected_namespaces=("kube-*", "remediator"),
    own=(),
    step=None,
    touches=(),
    pauses=(),
    pauses_known=True,
    target_uid=TARGET.uid,
    usage=USAGE,
    brakes=Released("file FREEZE"),
    evidence_age=timedelta(seconds=1),
    evidence_max_age=timedelta(seconds=10),
    cancelled="",
    asked_at=1000.0,
)


def facts(**changes: Any) -> Facts:
    """`usage_x` changes `x` of the usage; `run_x` changes `x` of the run."""
    usage = {k.removeprefix("usage_"): v for k, v in changes.items() if k.startswith("usage_")}
    run = {k.removeprefix("run_"): v for k, v in changes.items() if k.startswith("run_")}
    rest = {k: v for k, v in changes.items() if not k.startswith(("usage_", "run_"))}
    return replace(FACTS, usage=replace(USAGE, **usage), run=make_run(**run), **rest)


def guard(name: str) -> Guard:
    return next(g for g in guards.discover() if g.name == name)


def ask(name: str, **changes: Any) -> Verdict:
    """What the guard of that name answers to the allowing facts with these changes."""
    return guard(name)(facts(**changes))
