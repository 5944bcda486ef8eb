"""From what a brake says to the durable switch, in virtual time: once for each engagement, and never back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from remediator.brakes.file import FileBrake
from remediator.brakes.latching import Latch
from remediator.brakes.watching import SIGNAL, Brakes, Noticed
from remediator.model.brakes import Engaged, Released, Unreadable
from remediator.model.errors import StoreUnavailable
from remediator.model.ledger import FREEZE, Switch
from remediator.store.memory import MemoryStore
from tests.fakes.fake_brake import FakeBrake
from tests.simulation.loop import VirtualClock, VirtualLoop, run_in


@dataclass
class Store:
    """The switches of a store in memory, which may be away."""

    memory: MemoryStore
    is_away: bool = False

    async def switch(self, name: str) -> Switch | None:
        self._ask()
        return await self.memory.switch(name)

    async def throw(self, switch: Switch) -> None:
        self._ask()
        await self.memory.throw(switch)

    def _ask(self) -> None:
        if self.is_away:
            raise StoreUnavailable("the disk is full")


@dataclass
class Post:
    """One replica's brakes on a shared store: a fake brake, and a file that a signal makes."""

    loop: VirtualLoop
    folder: Path
    brake: FakeBrake = field(default_factory=FakeBrake)
    store: Store = None  # type: ignore[assignment]
    told: list[Noticed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = VirtualClock(self.loop)
        self.store = self.store or Store(MemoryStore(self.clock))
        self.start()

    def start(self, *others: FakeBrake) -> None:
        """As the next process begins."""
        self.file = FileBrake(self.folder / "FREEZE")
        self.brakes = Brakes(
            [self.brake, self.file, *others], self.file, Latch(self.store, self.clock), self.clock, self.told.append
        )

    async def running(self, during: Callable[[], Awaitable[None]]) -> None:
        """`during`, beside the watch."""
        task = asyncio.ensure_future(self.brakes.run())
        try:
            await during()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def unfreeze(self) -> None:
        await self.store.memory.throw(Switch(FREEZE, False, "ada", "done", self.clock.now()))

    async def passes(self, seconds: float = 10.0) -> None:
        await asyncio.sleep(seconds)

    @property
    def records(self) -> list[tuple[bool, str, str]]:
        return [(s.on, s.by, s.why) for s in self.store.memory._ledger.switches]

    @property
    def problems(self) -> list[tuple[str, str]]:
        return [(n.what, n.by) for n in self.told if n.what in ("not recorded", "in memory only")]


Play = Callable[[Callable[[], Awaitable[None]]], Any]
BRAKE = "brake of the test"
BY_BRAKE = (True, BRAKE, "storage migration")
BY_ADA = (False, "ada", "done")


@pytest.fixture
def loop() -> VirtualLoop:
    return VirtualLoop(0)


@pytest.fixture
def post(loop: VirtualLoop, tmp_path: Path) -> Iterator[Post]:
    yield Post(loop, tmp_path)
    loop.close()


@pytest.fixture
def play(loop: VirtualLoop, post: Post) -> Play:
    """Beside the watch, in virtual time."""
    return lambda during: run_in(loop, post.running(during))


def test_an_engaged_brake_is_recorded_once_for_as_long_as_it_lasts(post: Post, play: Play) -> None:
    """By the brake, for its reason; a minute of watching adds nothing."""

    async def story() -> None:
        await post.passes()
        post.brake.engage()
        await post.passes(60.0)

    play(story)
    assert post.records == [BY_BRAKE]
    assert [n.what for n in post.told] == ["engaged", "recorded"]


def test_a_look_before_a_write_is_recorded_without_waiting_for_the_watch(post: Post, play: Play) -> None:
    """Who asks first tells the store."""

    async def story() -> None:
        await post.passes(0.1)
        post.brake.engage()
        await post.brakes.look()
        await post.passes(0.0)
        await post.passes(0.0)
        assert post.records == [BY_BRAKE]

    play(story)


def test_letting_go_of_the_brake_does_not_let_go_of_the_freeze(post: Post, play: Play) -> None:
    """The switch stays as it is; only a person throws it back."""

    async def story() -> None:
        post.brake.engage()
        await post.passes()
        post.brake.release()
        await post.passes()
        assert await post.brakes.look() == Released(BRAKE)

    play(story)
    assert post.records == [BY_BRAKE]


def test_a_brake_engaged_anew_after_an_unfreeze_freezes_anew(post: Post, play: Play) -> None:
    """Each engagement has a record of its own."""

    async def story() -> None:
        for _ in range(2):
            post.brake.engage()
            await post.passes()
            post.brake.release()
            await post.passes()
            await post.unfreeze()

    play(story)
    assert post.records == [BY_BRAKE, BY_ADA, BY_BRAKE, BY_ADA]


def test_an_unfreeze_that_crosses_an_engagement_does_not_win(post: Post, play: Play) -> None:
    """A replica that cannot see this brake may take an unfreeze; the brake throws the switch again within a second."""

    async def story() -> None:
        post.brake.engage()
        await post.passes()
        await post.unfreeze()
        await post.passes(1.1)

    play(story)
    assert post.records == [BY_BRAKE, BY_ADA, BY_BRAKE]


def test_while_the_store_is_away_what_was_seen_stays_engaged(post: Post, play: Play) -> None:
    """Also when the brake is let go meanwhile: it is recorded as soon as the store answers, and complained of once."""

    async def story() -> None:
        post.store.is_away = True
        post.brake.engage()
        await post.passes()
        post.brake.release()
        await post.passes()
        state = await post.brakes.look()
        assert isinstance(state, Engaged)
        assert (state.by, state.why) == (BRAKE, "storage migration")
        post.store.is_away = False
        await post.passes(1.1)
        assert await post.brakes.look() == Released(BRAKE)

    play(story)
    assert post.records == [BY_BRAKE]
    assert post.problems == [("not recorded", BRAKE)]


def test_the_next_process_takes_the_record_for_its_own(post: Post, loop: VirtualLoop) -> None:
    """A restart while the brake is engaged adds no record."""

    async def story() -> None:
        post.brake.engage()
        await post.running(post.passes)
        post.start()
        await post.running(post.passes)

    run_in(loop, story())
    assert post.records == [BY_BRAKE]


def test_two_brakes_are_recorded_once_each(post: Post, play: Play) -> None:
    """They do not take the record from each other again and again."""

    async def story() -> None:
        post.brake.engage()
        await post.passes()
        (post.folder / "FREEZE").write_text("rack 7")
        await post.passes(60.0)

    play(story)
    assert post.records == [BY_BRAKE, (True, post.file.name, "rack 7")]


def test_two_replicas_that_see_the_same_brake_record_it_harmlessly(post: Post, loop: VirtualLoop) -> None:
    """At most once each, and nobody is let go by it."""
    other = Post(loop, post.folder, post.brake, post.store)

    async def both() -> None:
        post.brake.engage()
        await asyncio.gather(post.running(post.passes), other.running(other.passes))

    run_in(loop, both())
    assert set(post.records) == {BY_BRAKE}
    assert len(post.records) <= 2


def test_an_unreadable_brake_binds_unless_another_is_engaged(post: Post, play: Play) -> None:
    """What is known to be frozen is said to be; what is not known is not taken for a no, and recorded as nothing."""

    async def story() -> None:
        post.brake.hide()
        await post.passes()
        assert await post.brakes.look() == Unreadable(BRAKE, "it is dark")
        (post.folder / "FREEZE").write_text("rack 7")
        assert await post.brakes.look() == post.file.engaged("rack 7")

    play(story)
    assert [n.what for n in post.told][:1] == ["unreadable"]


def test_every_change_is_told_once(post: Post, play: Play) -> None:
    """What a brake says now, and what that means for the freeze; nothing while nothing changes."""

    async def story() -> None:
        for change in (post.brake.engage, post.brake.release, post.brake.hide, post.brake.release):
            change()
            await post.passes(60.0)

    play(story)
    assert post.told == [
        Noticed("engaged", BRAKE, "storage migration"),
        Noticed("recorded", BRAKE, "storage migration"),
        Noticed("released", BRAKE, "what it froze stays frozen until `remediator unfreeze`"),
        Noticed("unreadable", BRAKE, "it is dark"),
        Noticed("released", BRAKE, "it can be read again"),
    ]


# --- the signal --------------------------------------------------------------------------------------------

AT = "signal SIGUSR1 at 2026-11-20 12:00:10 UTC"


def test_a_signal_makes_the_file_and_freezes_at_once(post: Post, play: Play) -> None:
    """The file says who and when, and so does the record."""

    async def story() -> None:
        await post.passes()
        post.brakes.signalled()
        assert await post.brakes.look() == post.file.engaged(AT)
        await post.passes()

    play(story)
    assert (post.folder / "FREEZE").read_text() == f"{AT}\n"
    assert post.records == [(True, post.file.name, AT)]
    assert post.problems == []


def test_a_file_that_vanishes_before_anybody_looks_was_there_all_the_same(post: Post, play: Play) -> None:
    """What the signal asked for is recorded."""

    async def story() -> None:
        await post.passes()
        post.brakes.signalled()
        (post.folder / "FREEZE").unlink()
        assert isinstance(await post.brakes.look(), Engaged)
        await post.passes()

    play(story)
    assert post.records == [(True, post.file.name, AT)]


def test_a_signal_without_a_disk_is_held_by_the_store(post: Post, play: Play) -> None:
    """It is told that the file could not be made, recorded under the signal's own name, and then let be."""
    (post.folder / "gone").mkdir()
    post.folder = post.folder / "gone"
    post.start()
    post.folder.rmdir()

    async def story() -> None:
        await post.passes()
        post.brakes.signalled()
        await post.passes()
        post.folder.mkdir()
        await post.passes()

    play(story)
    assert post.records == [(True, SIGNAL, AT)]
    assert [n for n in post.told if n.what == "in memory only"] == [
        Noticed("in memory only", SIGNAL, "will not survive a restart: No such file or directory")
    ]
    assert not (post.folder / "FREEZE").exists()


def test_a_signal_without_disk_and_store_holds_in_memory_and_tries_again(post: Post, play: Play) -> None:
    """Whichever comes back first takes it over."""
    post.folder = post.folder / "gone"
    post.start()
    post.store.is_away = True

    async def story() -> None:
        await post.passes()
        post.brakes.signalled()
        await post.passes(60.0)
        state = await post.brakes.look()
        assert isinstance(state, Engaged)
        assert (state.by, state.why) == (SIGNAL, AT)
        post.folder.mkdir()
        await post.passes(1.1)
        assert (post.folder / "FREEZE").read_text() == f"{AT}\n"
        post.store.is_away = False
        await post.passes(1.1)

    play(story)
    assert post.records == [(True, post.file.name, AT)]


def test_a_second_signal_after_an_unfreeze_freezes_again(post: Post, play: Play) -> None:
    """Also where no file can be made."""
    post.folder = post.folder / "gone"
    post.start()

    async def story() -> None:
        for _ in range(2):
            post.brakes.signalled()
            await post.passes()
            await post.unfreeze()
            await post.passes()

    play(story)
    assert [(on, by) for on, by, _ in post.records] == [(True, SIGNAL), (False, "ada")] * 2
