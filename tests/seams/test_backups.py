"""What `Backups` promises: a whole file under its name, or none."""

# ruff: noqa: ASYNC240  what is on disk is looked at here between two calls, when nothing else runs

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remediator.model.calls import BackupRecord
from remediator.model.errors import ConfigError, Permanent, Temporary
from remediator.store.backups import FileBackups


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "backups"


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def cut_off(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    raise Temporary("the source went away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files_below(directory: Path) -> list[Path]:
    return [p for p in directory.rglob("*") if p.is_file()]


async def test_a_saved_file_is_found_with_its_hash(directory: Path) -> None:
    """What was streamed in is on disk under the run, and its record says what it hashes to."""
    parts = [bytes([n]) * 100_000 for n in range(7)]

    saved = await FileBackups(directory).save("run-1", "index.json", chunks(*parts))

    content = b"".join(parts)
    path = directory / "run-1" / "index.json"
    assert saved == BackupRecord(str(path), len(content), hashlib.sha256(content).hexdigest())
    assert path.read_bytes() == content
    assert await FileBackups(directory).find("run-1", "index.json") == saved


async def test_an_empty_backup_is_a_file_too(directory: Path) -> None:
    """No bytes are an empty file, not a missing one."""
    saved = await FileBackups(directory).save("run-1", "empty", chunks())

    assert (saved.size, await FileBackups(directory).find("run-1", "empty")) == (0, saved)


async def test_nobody_else_may_read_it(directory: Path) -> None:
    """Files are 0600 and directories 0700, whatever the umask."""
    before = os.umask(0)
    try:
        await FileBackups(directory).save("run-1", "a", chunks(b"secret"))
    finally:
        os.umask(before)

    assert [mode(p) for p in (directory, directory / "run-1", directory / "run-1" / "a")] == [0o700, 0o700, 0o600]


async def test_a_changed_file_no_longer_hashes_the_same(directory: Path) -> None:
    """`find` computes the hash now; it does not repeat what was once true."""
    backups = FileBackups(directory)
    saved = await backups.save("run-1", "a", chunks(b"before"))
    Path(saved.path).write_bytes(b"after")

    found = await backups.find("run-1", "a")

    assert found == BackupRecord(saved.path, 5, hashlib.sha256(b"after").hexdigest())


async def test_an_interrupted_save_leaves_nothing(directory: Path) -> None:
    """A source that breaks off leaves no file, under any name."""
    backups = FileBackups(directory)

    with pytest.raises(Temporary, match="went away"):
        await backups.save("run-1", "a", cut_off(b"x" * 1_000_000))

    assert await backups.find("run-1", "a") is None
    assert files_below(directory) == []


async def test_an_interrupted_save_leaves_the_file_that_was_there(directory: Path) -> None:
    """Only a whole file replaces a whole file."""
    backups = FileBackups(directory)
    saved = await backups.save("run-1", "a", chunks(b"whole"))

    with pytest.raises(Temporary):
        await backups.save("run-1", "a", cut_off(b"half"))

    assert await backups.find("run-1", "a") == saved


async def test_a_cancelled_save_leaves_nothing(directory: Path) -> None:
    """Cancellation in the middle of the stream passes through, and no part stays."""
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 1_000_000
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(FileBackups(directory).save("run-1", "a", endless()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert files_below(directory) == []


async def test_a_left_over_part_does_not_stop_the_next_save(directory: Path) -> None:
    """What a killed process left is neither found nor in the way."""
    (directory / "run-1").mkdir(parents=True)
    (directory / "run-1" / ".a.partial").write_bytes(b"half")
    backups = FileBackups(directory)

    before = await backups.find("run-1", "a")
    saved = await backups.save("run-1", "a", chunks(b"whole"))

    assert before is None
    assert files_below(directory) == [Path(saved.path)]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/x", ".a.partial", "a\0b", "a\n", "ä", "x" * 201])
async def test_a_name_that_is_no_plain_name_is_refused(directory: Path, name: str) -> None:
    """Neither the run nor the file may lead anywhere else."""
    backups = FileBackups(directory)

    for run_id, file_name in ((name, "a"), ("run-1", name)):
        with pytest.raises(Permanent):
            await backups.save(run_id, file_name, chunks(b"x"))
        with pytest.raises(Permanent):
            await backups.find(run_id, file_name)

    assert not directory.exists()


async def test_a_link_is_not_followed(directory: Path, tmp_path: Path) -> None:
    """A link under a backup's name is not a backup."""
    (directory / "run-1").mkdir(parents=True)
    (tmp_path / "outside").write_bytes(b"x")
    (directory / "run-1" / "a").symlink_to(tmp_path / "outside")

    with pytest.raises(Temporary):
        await FileBackups(directory).find("run-1", "a")


async def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    """An error of the operating system comes out as the house's own, chained."""
    (tmp_path / "file").write_bytes(b"not a directory")

    with pytest.raises(Temporary, match="run-1") as told:
        await FileBackups(tmp_path / "file").save("run-1", "a", chunks(b"x"))

    assert isinstance(told.value.__cause__, OSError)


async def test_without_a_directory_nothing_is_saved_or_found() -> None:
    """The error names the setting to set."""
    backups = FileBackups(None)

    assert not backups.is_configured
    assert await backups.find("run-1", "a") is None
    with pytest.raises(ConfigError, match="backup_directory"):
        await backups.save("run-1", "a", chunks(b"x"))


async def test_with_a_directory_it_is_configured(directory: Path) -> None:
    """Configured means that a directory was named; it is made when it is needed."""
    assert FileBackups(directory).is_configured
    assert not directory.exists()
