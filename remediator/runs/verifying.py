"""
Watch a target until it has been well without a break for as long as its rule says, or time is up.

Writes nothing. A run that ends here well without having written was watched to recover, which is a cure too.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from remediator.model.errors import RemoteError
from remediator.model.reports import HealthLooked
from remediator.model.rules import Verification
from remediator.model.runs import Run, RunEvent
from remediator.model.systems import AnySystem, Health
from remediator.model.verdicts import Reason
from remediator.runs.desk import Desk
from remediator.runs.looking import look
from remediator.runs.moving import advance, stop

UNTIL = "verify_until"
"""Note of the deadline, so that a restart does not start the time anew."""


async def verify(desk: Desk, run: Run) -> Run:
    rule = desk.rule(run.rule)
    system = desk.systems.get(rule.system) if rule else None
    if rule is None or system is None:
        return await stop(desk, run, Reason.RULE_GONE, f"rule {run.rule} is no longer loaded; nobody verified the cure")
    if UNTIL not in run.notes:
        until = desk.clock.now() + rule.verification.within
        run = await desk.store.save(replace(run, notes={**run.notes, UNTIL: until.isoformat()}))
    seen = await _watch(desk, run, system, rule.verification)
    if desk.tenure.is_cancelled(run.id):
        return await stop(desk, run, Reason.CANCELLED, f"a person ended the watch; {seen.seen}")
    if not seen.met:
        return await stop(desk, run, Reason.NOT_CURED, f"not well within {rule.verification.within}: {seen.seen}")
    reason = Reason.CURED if run.touched else Reason.RECOVERED_BY_ITSELF
    return await advance(desk, run, RunEvent.CURED, reason, seen.seen)


async def _watch(desk: Desk, run: Run, system: AnySystem, wanted: Verification) -> Health:
    """
    The look that decided it: well for long enough, or the last one before time was up.

    Counted by the clock that only goes forward: a clock set ahead must not make a moment of health look steady.
    """
    ends = desk.clock.monotonic() + (datetime.fromisoformat(run.notes[UNTIL]) - desk.clock.now()).total_seconds()
    well_since: float | None = None
    while True:
        seen = await _look(desk, run, system)
        now = desk.clock.monotonic()
        desk.tell(HealthLooked(run, seen.met, seen.seen))
        well_since = (now if well_since is None else well_since) if seen.met else None
        if well_since is not None and now - well_since >= wanted.steady_for.total_seconds():
            return seen
        if desk.tenure.is_cancelled(run.id) or (now >= ends and not seen.met):
            return Health(False, seen.seen)  # a target that is well when time is up may prove that it stays so
        await desk.clock.sleep(wanted.every.total_seconds())


async def _look(desk: Desk, run: Run, system: AnySystem) -> Health:
    try:
        return (await look(desk, run, system)).health
    except RemoteError as error:
        return Health(False, str(error))
