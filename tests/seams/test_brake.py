"""What every Brake promises: the fake, the file, and the ConfigMap at a fake and at a served API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from remediator.brakes.config_map import ConfigMapBrake
from remediator.brakes.file import FileBrake
from remediator.brakes.words import LONGEST, one_line
from remediator.model.brakes import Engaged, Released, Unreadable
from remediator.model.errors import Temporary
from remediator.model.objects import CONFIG_MAP, NAMESPACE, ObjectRef
from remediator.model.seams import Brake
from remediator.practice.http import Fault
from tests.fakes.fake_brake import FakeBrake
from tests.fakes.fake_clock import FakeClock
from tests.fakes.fake_cluster import FakeCluster
from tests.fakes.served_cluster import Served, served

REF = ObjectRef(CONFIG_MAP, "freeze", "ops")


class Bench(Protocol):
    """A brake, and the people who use it."""

    brake: Brake

    def engage(self, why: str) -> None: ...
    def release(self) -> None: ...
    def hide(self) -> None:
        """The next look finds nobody to tell it anything."""

    def show(self) -> None: ...


@dataclass
class Faked:
    brake: FakeBrake

    def engage(self, why: str) -> None:
        self.brake.engage(one_line(why))

    def release(self) -> None:
        self.brake.release()

    def hide(self) -> None:
        self.before, self.brake.state = self.brake.state, Unreadable(self.brake.name, "it is dark")

    def show(self) -> None:
        self.brake.state = self.before


@dataclass
class OnDisk:
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.file = self.folder / "FREEZE"
        self.brake = FileBrake(self.file)

    def engage(self, why: str) -> None:
        self.file.write_bytes(why.encode("utf-8", "surrogateescape"))

    def release(self) -> None:
        self.file.unlink()

    def hide(self) -> None:
        self.folder.rename(self.folder.with_name("unmounted"))

    def show(self) -> None:
        self.folder.with_name("unmounted").rename(self.folder)


@dataclass
class InCluster:
    cluster: FakeCluster

    def __post_init__(self) -> None:
        self.brake = ConfigMapBrake(self.cluster.view(), REF)

    def engage(self, why: str) -> None:
        self.cluster.put(CONFIG_MAP, config_map(why))

    def release(self) -> None:
        self.cluster.take(REF)

    def hide(self) -> None:
        self.cluster.fail("get", Temporary("the API server is away"))

    def show(self) -> None:
        pass


@dataclass
class OverHttp:
    served: Served

    def __post_init__(self) -> None:
        self.brake = ConfigMapBrake(self.served.view(), REF)
        self.served.create(NAMESPACE, {"metadata": {"name": "ops"}})

    def engage(self, why: str) -> None:
        self.served.create(CONFIG_MAP, config_map(why))

    def release(self) -> None:
        self.served.take(REF)

    def hide(self) -> None:
        self.served.server.faults.append(Fault(lambda seen: seen.verb == "get", 503))

    def show(self) -> None:
        pass


def config_map(why: str) -> dict[str, object]:
    return {"metadata": {"name": REF.name, "namespace": REF.namespace}, "data": {"frozen": "true", "why": why}}


@pytest.fixture(params=["fake", "file", "config map at a fake", "config map served"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    clock = FakeClock()
    if request.param == "config map served":
        async with served(tmp_path, clock) as cluster:
            yield OverHttp(cluster)
    elif request.param == "file":
        yield OnDisk(tmp_path / "state")
    else:
        yield Faked(FakeBrake()) if request.param == "fake" else InCluster(FakeCluster(clock))


async def test_a_brake_that_nobody_touched_is_released(bench: Bench) -> None:
    """It says so under its own name, which says where to look."""
    assert await bench.brake.look() == Released(bench.brake.name)


async def test_an_engaged_brake_says_why_and_how_it_lets_go(bench: Bench) -> None:
    """From the very next look on."""
    await bench.brake.look()
    bench.engage("storage migration, call ada")

    state = await bench.brake.look()

    assert isinstance(state, Engaged)
    assert (state.by, state.why) == (bench.brake.name, "storage migration, call ada")
    assert state.let_go


async def test_a_look_says_what_is_so_now(bench: Bench) -> None:
    """Nothing is remembered from the look before."""
    said = []
    for _ in range(2):
        bench.engage("x")
        said.append(await bench.brake.look())
        bench.release()
        said.append(await bench.brake.look())

    assert [type(state) for state in said] == [Engaged, Released, Engaged, Released]


@pytest.mark.parametrize("engaged", [True, False])
async def test_what_cannot_be_read_is_neither_yes_nor_no(bench: Bench, engaged: bool) -> None:
    """Whatever it said before; and it is itself again afterwards."""
    if engaged:
        bench.engage("x")
    before = await bench.brake.look()
    bench.hide()

    state = await bench.brake.look()

    assert isinstance(state, Unreadable)
    assert (state.by, bool(state.why)) == (bench.brake.name, True)
    bench.show()
    assert await bench.brake.look() == before


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("", "no reason given"),
        (" \n\t\n", "no reason given"),
        ("\n  rack 7  \nand more\n", "rack 7"),
        ("a\x1b[31mred\x00", "a?[31mred?"),
        ("x" * 5000, "x" * (LONGEST - 1) + "…"),
    ],
)
async def test_a_reason_is_one_bounded_line_of_printable_text(bench: Bench, written: str, shown: str) -> None:
    """Whoever wrote it; and without one it is engaged all the same."""
    bench.engage(written)

    state = await bench.brake.look()

    assert isinstance(state, Engaged)
    assert state.why == shown
