"""The file that freezes: whatever is under that name counts, and a signal can make it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from remediator.brakes.file import FileBrake
from remediator.model.brakes import Engaged, Released, Unreadable


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda path: path.touch(), "no reason given"),
        (lambda path: path.write_bytes(b"\xff\xfe rack 7"), "\ufffd\ufffd rack 7"),
        (lambda path: path.mkdir(), "its text cannot be read: Is a directory"),
        (lambda path: path.symlink_to("nowhere"), "its text cannot be read: No such file or directory"),
        (lambda path: path.symlink_to(path.name), "its text cannot be read: Too many levels of symbolic links"),
        (os.mkfifo, "no reason given"),
    ],
    ids=["empty", "not text", "a folder", "a dangling link", "a link to itself", "a pipe"],
)
async def test_whatever_has_that_name_freezes(tmp_path: Path, made: Callable[[Path], None], why: str) -> None:
    """And nothing that is there makes the look wait."""
    made(tmp_path / "FREEZE")
    brake = FileBrake(tmp_path / "FREEZE")

    assert await brake.look() == Engaged(brake.name, why, f"remove the file {tmp_path}/FREEZE")


@pytest.mark.parametrize("place", ["gone/FREEZE", "file/FREEZE", "F" * 300])
async def test_a_place_where_no_file_can_be_is_unreadable(tmp_path: Path, place: str) -> None:
    """A volume that is not mounted, a file for a folder, a name that no disk takes."""
    (tmp_path / "file").touch()

    assert isinstance(await FileBrake(tmp_path / place).look(), Unreadable)


async def test_the_file_is_made_with_its_reason(tmp_path: Path) -> None:
    """For everybody to read, and seen by the next look."""
    brake = FileBrake(tmp_path / "FREEZE")

    assert brake.make("signal SIGUSR1 at noon") == ""
    assert (tmp_path / "FREEZE").read_text() == "signal SIGUSR1 at noon\n"
    assert stat.S_IMODE((tmp_path / "FREEZE").stat().st_mode) & 0o444 == 0o444
    assert await brake.look() == brake.engaged("signal SIGUSR1 at noon")


def test_a_file_that_is_there_keeps_its_words(tmp_path: Path) -> None:
    """Who froze first said why."""
    (tmp_path / "FREEZE").write_text("ada\n")

    assert FileBrake(tmp_path / "FREEZE").make("bob") == ""
    assert (tmp_path / "FREEZE").read_text() == "ada\n"


def test_a_file_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """In the disk's own words."""
    assert FileBrake(tmp_path / "gone" / "FREEZE").make("x") == "No such file or directory"


async def test_each_replica_has_a_name_for_its_file(tmp_path: Path) -> None:
    """So that a person finds the one to remove."""
    brake = FileBrake(tmp_path / "FREEZE", on="remediator-1")

    assert await brake.look() == Released(f"file {tmp_path}/FREEZE on remediator-1")
