"""The service's own part in the trail: the rules in force, and the head in the log."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import structlog

from remediator import logs
from remediator.app.trail import AT_LEAST, MINUTE, TrailKeeper
from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import AuditNote, Head, Switch, journal_of
from remediator.model.rules import Mode, Rule
from remediator.store.memory import MemoryStore
from remediator.terminal.heads import heads_in
from tests.fakes.fake_clock import FakeClock
from tests.fakes.run_world import RULE


@dataclass
class Post:
    """A keeper at its post, and what it leaves."""

    clock: FakeClock = field(default_factory=FakeClock)
    rules: list[Rule] = field(default_factory=lambda: [RULE])
    told: list[int] = field(default_factory=list)
    stream: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        logs.configure("json", "info", self.stream)
        self.store = MemoryStore(self.clock)
        self.keeper = self.relieved()

    def relieved(self) -> TrailKeeper:
        """As the next process begins."""
        return TrailKeeper(self.store, lambda: self.rules, self.clock, self.told.append)

    async def change(self) -> None:
        await self.store.throw(Switch("freeze", True, "ada", "drill", self.clock.now()))

    async def recorded(self) -> list[dict[str, Any]]:
        return [json.loads(r.body) for r in await self.store.audit(0, 100) if r.kind == "rules"]

    def heads(self) -> list[int]:
        return [head.seq for head in heads_in(self.stream.getvalue().splitlines())]


@pytest.fixture
def post() -> Iterator[Post]:
    yield Post()
    structlog.reset_defaults()


async def test_a_head_is_told_with_its_number_its_hash_and_its_journal(post: Post) -> None:
    """One line that is found again, and the gauge has the number."""
    await post.change()
    await post.change()

    await post.keeper.tell_head()

    first, last = await post.store.audit(0, 10)
    assert list(heads_in(post.stream.getvalue().splitlines())) == [Head(2, last.hash, journal_of(first))]
    assert post.told == [2]


async def test_a_head_is_told_when_it_has_changed_or_an_hour_has_passed(post: Post) -> None:
    """A quiet night is not a log full of the same line; a stop tells it in any case."""
    await post.keeper.tell_head()
    await post.change()
    for _ in range(3):
        await post.keeper.tell_head()
        post.clock.advance(MINUTE)
    await post.change()
    await post.keeper.tell_head()
    post.clock.advance(AT_LEAST)
    await post.keeper.tell_head()
    await post.keeper.tell_head(always=True)

    assert post.heads() == [1, 2, 2, 2]


async def test_the_rules_in_force_are_recorded_at_the_start(post: Post) -> None:
    """Each with its revision and its mode."""
    await post.keeper.note_rules()

    in_force = {"turn-it": {"revision": "r1", "mode": "auto"}}
    assert await post.recorded() == [{"who": "start", "rules": in_force}]


async def test_rules_are_recorded_again_only_where_they_differ(post: Post) -> None:
    """Also over restarts: a start with the rules that were recorded last leaves nothing."""
    await post.keeper.note_rules()
    await post.keeper.note_rules()
    await post.relieved().note_rules()
    assert len(await post.recorded()) == 1

    post.rules[:] = [replace(RULE, revision="r2", mode=Mode.OBSERVE)]
    await post.keeper.note_rules()
    post.rules[:] = []
    await post.relieved().note_rules()

    _, *later = await post.recorded()
    assert [(body["who"], body["rules"]) for body in later] == [
        ("reload", {"turn-it": {"revision": "r2", "mode": "observe"}}),
        ("start", {}),
    ]


async def test_what_the_store_could_not_take_is_recorded_later(post: Post) -> None:
    """A store that promises nothing is told, and the start is still a start a minute later."""

    class Full(MemoryStore):
        full = True

        async def note(self, note: AuditNote) -> None:
            if self.full:
                raise StoreUnavailable("the disk is full")
            await super().note(note)

    post.store = store = Full(post.clock)
    keeper = post.relieved()
    await keeper.note_rules()
    assert await post.recorded() == []
    store.full = False
    await keeper.note_rules()

    assert [body["who"] for body in await post.recorded()] == ["start"]
    assert "the rules in force could not be recorded" in post.stream.getvalue()


async def test_a_store_that_does_not_answer_ends_nothing(post: Post) -> None:
    """The line is missing, and the log says why."""
    await post.store.close()

    await post.keeper.note_rules()
    await post.keeper.tell_head(always=True)

    assert post.heads() == []
    assert "the head of the audit trail could not be told" in post.stream.getvalue()


async def test_a_reload_is_recorded_at_once_and_the_head_each_minute(post: Post) -> None:
    """Nobody waits for the minute to be up; and it goes on."""
    slow = asyncio.Event()

    class Standing(FakeClock):
        async def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)
            await slow.wait()
            slow.clear()
            self.passed += seconds

    post.clock = clock = Standing()
    reloaded = asyncio.Event()
    running = asyncio.create_task(post.relieved().run(reloaded))
    await settled(lambda: len(clock.slept) == 1)
    post.rules[:] = [replace(RULE, revision="r2")]
    reloaded.set()
    await settled(lambda: len(clock.slept) == 2)
    assert [body["who"] for body in await post.recorded()] == ["start", "reload"]

    await post.change()
    slow.set()
    await settled(lambda: len(clock.slept) == 3)
    running.cancel()
    await asyncio.wait({running})

    assert (post.heads(), clock.slept) == ([1, 2, 3], [MINUTE] * 3)


async def settled(is_so: Any) -> None:
    """Let the other task go on until it waits again."""
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0)
