"""How a running service is: ready or not, what is live, and whether it must end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from remediator.app.ruleset import Rules
from remediator.app.standing import Standing
from remediator.brakes.watching import Brakes
from remediator.metrics import LiveState, Metrics
from remediator.model.ledger import FREEZE, RunFilter, arm_switch, is_armed
from remediator.model.runs import FINAL, RunState
from remediator.settings import Settings

LIVE = tuple(state for state in RunState if state not in FINAL)


@dataclass
class Service:
    """A running service."""

    settings: Settings
    store: Standing
    rules: Rules
    metrics: Metrics
    brakes: Brakes
    webhook_port: int = 0
    operations_port: int = 0
    stopping: bool = False
    reload_problems: Sequence[str] = field(default_factory=tuple)
    reloaded: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when other rules have come into force; whoever records them clears it."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the service must end: somebody asked for it, or a task of its own has died."""
    failure: BaseException | None = None

    def task_ended(self, task: asyncio.Task[None]) -> None:
        """A task of the service never ends by itself; one that does takes the service with it."""
        if not task.cancelled():
            self.failure = task.exception() or RuntimeError(f"the task {task.get_name()} ended")
            self.ended.set()

    def not_ready(self) -> str:
        return "the service is stopping" if self.stopping else self.store.trouble

    def reload(self) -> None:
        """Take the rules from the files again; bad ones are told and change nothing."""
        self.reload_problems = self.rules.reload()
        self.metrics.reload_ok.set(0 if self.reload_problems else 1)
        log = structlog.get_logger()
        for problem in self.reload_problems:
            log.error("rule", problem=problem)
        if not self.reload_problems:
            self.reloaded.set()
            log.info("rules loaded", rules=[rule.name for rule in self.rules.loaded])


async def live_state(running: Service) -> LiveState:
    if running.store.damage is not None:
        return LiveState(damaged=running.store.unreadable, history_only=True)
    active: dict[tuple[str, str], int] = {}
    for run in await running.store.list(RunFilter(LIVE, limit=100_000)):
        key = (run.rule, str(run.state))
        active[key] = active.get(key, 0) + 1
    thrown = {switch.name: switch for switch in await running.store.switches()}
    armed = {r.name: is_armed(thrown.get(arm_switch(r.name)), r.revision) for r in running.rules.loaded}
    frozen = FREEZE in thrown and thrown[FREEZE].on
    for run_id, why in running.store.damaged.items():
        structlog.get_logger().error("a run of the journal cannot be read", run=run_id, why=why)
    damaged = len(running.store.damaged)
    return LiveState(active, armed, frozen, damaged, lacks_room=running.store.lacks_room)
