"""An auditor of any `RunStore`: what its trail tells and its runs do not bear out, or the other way round."""

from __future__ import annotations

from remediator.model.ledger import History, RunFilter
from remediator.model.seams import RunStore
from remediator.store import reconciling
from remediator.store.account import Account
from remediator.store.verifying import Trail

ALL = 1_000_000


async def disagreements(store: RunStore) -> list[str]:
    trail, told = Trail(), Account()
    records = await store.audit(0, ALL)
    flaws = [*trail.hear(records), *(flaw for record in records for flaw in told.hear(record)), *trail.end()]
    runs = {run.id: run for run in await store.list(RunFilter(limit=ALL))}
    for run in runs.values():
        steps, traces, told_it = await store.steps(run.id), await store.traces(run.id), await store.signals(run.id)
        history = History(run, tuple(steps), tuple(traces), tuple(told_it))
        flaws += reconciling.of_run(told.runs.get(run.id), history)
    return flaws + list(reconciling.of_missing_runs(told, runs))
