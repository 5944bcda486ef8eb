"""
What a crash-looping etcd's last words mean: the removal, or another fault that looks like it.

Texts are matched on their messages, never on `caller`, whose line numbers change with each release. A log that
could not be read says nothing: not "no such line". A pod writes what it likes, so no pattern has a gap without bound.
Everything is matched in lower case: a search that must try both cases at each letter takes many times as long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ANSI = re.compile(r"\x1b\[[0-9;]*m")
REMOVED = "the member has been permanently removed from the cluster"
REMOVE_DATA = "data-dir used by this member must be removed"
LOCAL_ID = re.compile(r'"local-member-id":"([0-9a-f]{1,16})"')
NEARBY = 5
"""The two sentences stand within so many lines of each other."""


@dataclass(frozen=True)
class Lookalike:
    """Another fault: how it speaks (in lower case), and what it is for the person who reads the refusal."""

    name: str
    question: str
    pattern: re.Pattern[str]
    meaning: str


def _lookalike(name: str, question: str, pattern: str, meaning: str) -> Lookalike:
    return Lookalike(name, question, re.compile(pattern, re.MULTILINE), meaning)


LOOKALIKES = (
    _lookalike(
        "already_bootstrapped",
        "Was a registered member started on a fresh disk?",
        r"member [0-9a-f]{1,16} has already been bootstrapped",
        "a registered member lost its data; it must be removed and added again, not merely wiped",
    ),
    _lookalike(
        "registration_missing",
        "Was a member started that is not registered?",
        r"member count is unequal|couldn't find local name",
        "a registration problem: the disk is not at fault",
    ),
    _lookalike(
        "stale_peer_identity",
        "Do peers reject it for a stale identity?",
        r"ignored streaming request; id mismatch|failed to find remote peer in cluster",
        "stale DNS or a half-done replacement",
    ),
    _lookalike(
        "cluster_id_mismatch",
        "Does it belong to another cluster?",
        r"cluster id mismatch",
        "two clusters, or a restored backup beside an old member: a person must decide which one is true",
    ),
    _lookalike(
        "data_corruption",
        "Is its data corrupt?",
        r"of the backend is missing|failed to recover v3 backend from snapshot|checksum mismatch|crc mismatch|"
        r"database file .{0,120} is corrupt|^panic: |\"level\":\"panic\"",
        "corruption of the data directory",
    ),
    _lookalike(
        "quota_exceeded",
        "Is its quota used up?",
        r"mvcc: database space exceeded|alarm.{0,60}nospace",
        "the database quota; it needs compaction and defragmentation",
    ),
    _lookalike(
        "database_locked",
        "Does another process hold its database?",
        r"is flocked by another process",
        "a second pod on the volume, or a hung file system",
    ),
    _lookalike(
        "disk_fault",
        "Does its disk fail?",
        r"input/output error|no space left on device|read-only file system",
        "a disk that is full or broken",
    ),
    _lookalike(
        "bootstrap_dns",
        "Does it wait for names that do not resolve?",
        r"headless service domain does not have an ip per initial member",
        "DNS while bootstrapping",
    ),
    _lookalike(
        "configuration_error",
        "Is it wrongly configured?",
        r"flag provided but not defined|error verifying flags|x509: |tls: |bad certificate|"
        r"failed to (?:load|parse) .{0,120}certificate|conflicting environment variable",
        "wrong flags or certificates",
    ),
)

FOLLOWS_REMOVAL = frozenset({"stale_peer_identity"})
"""Faults whose words a removed member says too, while its peers turn it away."""


@dataclass(frozen=True)
class LastWords:
    """A dead container's log, read for what matters here."""

    available: bool
    removed: bool = False
    dead_id: int = 0
    """The id the process had, 0 when the log does not say."""
    lookalikes: tuple[tuple[str, str], ...] = ()
    """(name, the line that says so)."""
    line: str = ""
    """The line that tells of the removal, or the last one."""


UNREADABLE = LastWords(available=False)


def read_last_words(text: str) -> LastWords:
    """Judge a log's tail. An empty log was read and says nothing about any fault."""
    lines = [ANSI.sub("", line) if "\x1b" in line else line for line in text.splitlines() if line.strip()]
    lowered = [line.lower() for line in lines]
    told = _removal_line(lines, lowered)
    others = [
        (name, line) for name, line in _lookalikes_in(lines, lowered) if told is None or name not in FOLLOWS_REMOVAL
    ]
    ids = LOCAL_ID.findall("\n".join(lines))
    return LastWords(
        available=True,
        removed=told is not None,
        dead_id=int(ids[-1], 16) if ids else 0,
        lookalikes=tuple(others),
        line=told if told is not None else (lines[-1] if lines else ""),
    )


def _removal_line(lines: Sequence[str], lowered: Sequence[str]) -> str | None:
    told = [i for i, line in enumerate(lowered) if REMOVED in line]
    data = [i for i, line in enumerate(lowered) if REMOVE_DATA in line]
    for index in told:
        if any(abs(index - other) <= NEARBY for other in data):
            return lines[index]
    return None


def _lookalikes_in(lines: Sequence[str], lowered: Sequence[str]) -> Iterator[tuple[str, str]]:
    whole = "\n".join(lowered)
    for lookalike in LOOKALIKES:
        if not lookalike.pattern.search(whole):
            continue
        for line, text in zip(reversed(lines), reversed(lowered), strict=True):
            if lookalike.pattern.search(text):
                yield lookalike.name, line[:300]
                break
