"""
Whether the journal's write-ahead log is whole.

In: the log's bytes. Out: StoreDamaged, if it is not. SQLite reads a log up to the first frame that is not as it was
written and takes the rest for a power loss. Rightly so at the log's end; in its middle acknowledged facts would be
missing without a word. Also the log's pages over those of the file, in memory. The format is that of
https://www.sqlite.org/walformat.html. Never writes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from remediator.model.errors import StoreDamaged
from remediator.store.sqlite.faults import REMEDY

HEADER, FRAME_HEADER = 32, 24
_LITTLE, _BIG = 0x377F0682, 0x377F0683
"""The two magic numbers: in which order of bytes checksums were made."""
_WORD = 0xFFFFFFFF

Sum = tuple[int, int]


def refuse_broken_log(journal: Path) -> None:
    """
    Raises StoreDamaged where something that was committed and flushed is not there any more.

    A commit is flushed before the next begins. So where a frame is broken and a whole commit with another frame
    behind it follows, this is no power loss.
    """
    log = _log_of(journal)
    try:
        size = log.stat().st_size
        if size == 0:
            return
        with log.open("rb") as file:
            _check(file, size, journal)
    except FileNotFoundError:
        return


def laid_over(journal: Path) -> bytes:
    """
    The file as it is with all that its log has committed, for a place where SQLite cannot make the log's index.

    Marked as a file without a log, so that it can be read from memory. Raises OSError.
    """
    image = bytearray(journal.read_bytes())
    image[18:20] = b"\1\1"
    with _log_of(journal).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        begun = _begin(file.read(HEADER))
        if begun is None:
            return bytes(image)
        open_pages: dict[int, bytes] = {}
        for frame in _whole_frames(file, size, begun):
            number, pages = struct.unpack(">II", frame[:8])
            open_pages[number] = frame[FRAME_HEADER:]
            if pages:
                _put(image, begun.page, open_pages, pages)
    image[18:20] = b"\1\1"
    return bytes(image)


def _put(image: bytearray, page: int, changed: dict[int, bytes], pages: int) -> None:
    """One commit, which leaves the file `pages` pages long."""
    image.extend(bytes(max(0, pages * page - len(image))))
    for number, content in changed.items():
        image[(number - 1) * page : number * page] = content
    del image[pages * page :]
    changed.clear()


def _log_of(journal: Path) -> Path:
    return journal.with_name(journal.name + "-wal")


def _check(file: BinaryIO, size: int, journal: Path) -> None:
    header = file.read(HEADER)
    begun = _begin(header)
    if begun is None:
        if size <= HEADER and not header.strip(b"\0"):
            return  # made, and not yet written when the power went
        raise _damaged(journal, "its log does not begin as one")
    whole = sum(1 for _ in _whole_frames(file, size, begun))
    frames = (size - HEADER) // (FRAME_HEADER + begun.page)
    if _goes_on(file, range(whole, frames), begun):
        raise _damaged(journal, f"frame {whole + 1} of {frames} in its log is broken")


@dataclass(frozen=True)
class _Begun:
    """What a log's header says: the order of bytes in sums, the size of pages, every frame's salts, a first sum."""

    order: str
    page: int
    salts: bytes
    total: Sum


def _whole_frames(file: BinaryIO, size: int, begun: _Begun) -> Iterator[bytes]:
    """Every frame up to the first that is not as it was written; the file stands behind the header."""
    total = begun.total
    for _ in range((size - HEADER) // (FRAME_HEADER + begun.page)):
        frame = file.read(FRAME_HEADER + begun.page)
        total = _sum(begun.order, frame[:8] + frame[FRAME_HEADER:], total)
        if frame[8:16] != begun.salts or struct.unpack(">II", frame[16:24]) != total:
            return
        yield frame


def _begin(header: bytes) -> _Begun | None:
    """None if this is no log's header."""
    if len(header) < HEADER:
        return None
    magic, _, page = struct.unpack(">III", header[:12])
    order = {_LITTLE: "<", _BIG: ">"}.get(magic)
    if order is None or not 512 <= page <= 65536:
        return None
    total = _sum(order, header[:24], (0, 0))
    is_whole = struct.unpack(">II", header[24:32]) == total
    return _Begun(order, page, header[16:24], total) if is_whole else None


def _sum(order: str, data: bytes, total: Sum) -> Sum:
    first, second = total
    for x, y in struct.iter_unpack(order + "II", data):
        first = (first + x + second) & _WORD
        second = (second + y + first) & _WORD
    return first, second


def _goes_on(file: BinaryIO, rest: range, begun: _Begun) -> bool:
    """Whether, from the broken frame on, frames of the same log stand behind a commit."""
    has_commit = False
    for number in rest:
        file.seek(HEADER + number * (FRAME_HEADER + begun.page))
        frame_header = file.read(FRAME_HEADER)
        if frame_header[8:16] != begun.salts:
            continue
        if has_commit:
            return True
        has_commit = frame_header[4:8] != bytes(4)
    return False


def _damaged(journal: Path, what: str) -> StoreDamaged:
    return StoreDamaged(f"the journal {journal} is damaged: {what}. {REMEDY}")
