"""What every `Witness` promises: the last mark it was given, also to whoever comes after it."""

# ruff: noqa: ASYNC240  what is on disk is looked at here between two calls, when nothing else runs

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remediator.kube.witness import ConfigMapWitness
from remediator.model.errors import Conflict, Forbidden, Permanent, StoreDamaged, StoreUnavailable, Temporary
from remediator.model.objects import CONFIG_MAP, NAMESPACE, ObjectRef
from remediator.model.seams import Witness
from remediator.model.witness import Mark
from remediator.practice.http import Fault
from remediator.store.witness_file import PLACE, FileWitness
from tests.fakes.fake_clock import FakeClock
from tests.fakes.fake_witness import FakeWitness
from tests.fakes.served_cluster import Served, served

NOON = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
REF = ObjectRef(CONFIG_MAP, "remediator-witness", "ops")
Again = Callable[[], Witness]
"""The same witness, as the next process sees it."""


def mark(seq: int) -> Mark:
    return Mark("1b0c" * 8, seq, f"{seq:064x}")


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, FakeClock(NOON)) as made:
        made.create(NAMESPACE, {"metadata": {"name": REF.namespace}})
        yield made


@pytest.fixture(params=["in memory", "file", "config map"])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Again:
    if request.param == "file":
        return lambda: FileWitness(tmp_path / "journal.witness")
    if request.param == "config map":
        cluster: Served = request.getfixturevalue("cluster")
        return lambda: ConfigMapWitness(cluster.client, REF)
    fake = FakeWitness()
    return lambda: fake


async def test_who_was_told_nothing_remembers_nothing(again: Again) -> None:
    """That is not an error: there is a first time."""
    assert await again().read() is None


async def test_the_last_mark_is_remembered_for_the_next_process(again: Again) -> None:
    """Each one takes the place of the one before."""
    for seq in range(1, 8):
        await again().write(mark(seq))
        assert await again().read() == mark(seq)


async def test_a_mark_may_be_of_another_journal_or_further_back(again: Again) -> None:
    """A witness remembers; whether the journal may be trusted is for others to say."""
    await again().write(mark(9))
    other = Mark("beef" * 8, 2, "0" * 64)
    await again().write(other)

    assert await again().read() == other


# --- the file ----------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.witness"


async def test_a_writing_that_breaks_off_leaves_the_mark_before(file: Path) -> None:
    """Whichever of the two places was being written, and however far: one of the last two marks, never another."""
    for seq in (1, 2, 3, 4):
        before = await FileWitness(file).read()
        await FileWitness(file).write(mark(seq))
        whole = file.read_bytes()
        changed = [place for place in (0, PLACE) if f'"seq":{seq},'.encode() in whole[place : place + PLACE]]
        for cut in range(0, PLACE, 16):
            torn = bytearray(whole)
            torn[changed[-1] + cut : changed[-1] + PLACE] = os.urandom(PLACE - cut)
            file.write_bytes(torn)
            assert await FileWitness(file).read() in {before, mark(seq)} if before else {mark(seq)}
        file.write_bytes(whole)


@pytest.mark.parametrize("content", [b"", b"\0" * 1024, b"{}", os.urandom(1024)])
async def test_a_file_that_says_nothing_is_not_taken_for_a_first_start(file: Path, content: bytes) -> None:
    """There was a witness, and nobody knows what it knew: an operator has to say."""
    file.write_bytes(content)

    with pytest.raises(StoreDamaged, match=r"the witness .*journal\.witness is damaged.*journal accept"):
        await FileWitness(file).read()
    with pytest.raises(StoreDamaged):
        await FileWitness(file).write(mark(1))
    assert file.read_bytes() == content


async def test_a_new_beginning_forgets_what_was(file: Path) -> None:
    """For an operator who answers for the journal, whatever the witness said."""
    file.write_bytes(b"noise")
    await FileWitness(file).begin(mark(3))

    assert await FileWitness(file).read() == mark(3)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["journal.witness"]


async def test_a_witness_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(StoreUnavailable, match=r"nowhere/journal\.witness cannot be written"):
        await FileWitness(tmp_path / "nowhere" / "journal.witness").write(mark(1))


# --- the ConfigMap -----------------------------------------------------------------------------------------


async def test_only_the_one_object_is_written_at_the_version_that_was_read(cluster: Served) -> None:
    """Made once, then changed with uid and resourceVersion."""
    witness = ConfigMapWitness(cluster.client, REF)
    await witness.write(mark(1))
    first = cluster.now(REF)
    await witness.write(mark(2))
    second = cluster.now(REF)

    assert first
    assert second
    assert first["metadata"]["uid"] == second["metadata"]["uid"]
    assert second["data"] == {"journal": mark(2).journal, "seq": "2", "hash": mark(2).hash}
    writes = [(seen.verb, seen.resource) for seen in cluster.server.requests if seen.verb != "get"]
    assert writes == [("create", "configmaps"), ("patch", "configmaps")]


async def test_what_it_does_not_understand_is_not_overwritten(cluster: Served) -> None:
    """Somebody else's data under that name."""
    metadata = {"name": REF.name, "namespace": REF.namespace}
    cluster.create(CONFIG_MAP, {"metadata": metadata, "data": {"seq": "many"}})

    with pytest.raises(Permanent, match="does not hold a mark"):
        await ConfigMapWitness(cluster.client, REF).read()


async def test_an_api_server_that_refuses_or_is_busy_is_told_apart(cluster: Served) -> None:
    """Missing permission is for the operator, the others pass."""
    witness = ConfigMapWitness(cluster.client, REF)
    for answer, error in ((403, Forbidden), (429, Temporary), (503, Temporary), (409, Conflict)):
        cluster.server.faults.append(Fault(lambda seen: seen.resource == "configmaps", answer))
        with pytest.raises(error):
            await witness.read()
        cluster.server.faults.clear()
