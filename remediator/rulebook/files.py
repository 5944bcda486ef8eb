"""
Which files are rule files, and their bytes.

In: paths of files and folders. Out: sources in a steady order, and problems. It reads each file once, and a mounted
ConfigMap through the one snapshot that `..data` points to, so that a swap in the middle never mixes two versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from remediator.rulebook.problems import Problem
from remediator.rulebook.strict_yaml import MAX_BYTES

SUFFIXES = (".yaml", ".yml")
NOT_RULES = frozenset({"alerts.yaml", "alerts.yml"})
SNAPSHOT = "..data"
ATTEMPTS = 3


@dataclass(frozen=True)
class Source:
    """One file as it was read. `path` is how the author knows it."""

    path: str
    content: bytes


def gather(paths: Sequence[Path]) -> tuple[list[Source], list[Problem]]:
    """Every rule file under `paths`, read again when a snapshot was swapped meanwhile."""
    search = _Search()
    for _ in range(ATTEMPTS):
        search = _Search()
        search.look(paths)
        if search.is_of_one_time:
            break
    else:
        search.problems.append(Problem(str(paths[0]), 1, 1, "changed at every attempt to read it; load again"))
    if not search.sources and not search.problems:
        where = ", ".join(str(path) for path in paths) or "(no path)"
        search.problems.append(Problem(where, 1, 1, "no rule found; expected files ending in .yaml"))
    return search.sources, search.problems


@dataclass
class _Search:
    """One walk over all paths."""

    sources: list[Source] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)
    snapshots: dict[Path, Path] = field(default_factory=dict)

    @property
    def is_of_one_time(self) -> bool:
        return all(link.resolve() == folder for link, folder in self.snapshots.items())

    def look(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self._enter(path, path)

    def _enter(self, shown: Path, path: Path) -> None:
        """Read a file, or all of a folder, once. `shown` is how the author names it."""
        try:
            real = path.resolve()
            if real in self.seen:
                return
            self.seen.add(real)
            if path.is_dir():
                self._enter_folder(shown, path)
            elif path.name not in NOT_RULES:
                self.sources.append(Source(str(shown), _content(real)))
        except (OSError, RuntimeError) as error:  # a loop of symbolic links is a RuntimeError
            words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.problems.append(Problem(str(shown), 1, 1, f"cannot be read: {words}"))

    def _enter_folder(self, shown: Path, path: Path) -> None:
        folder, snapshot = path, path / SNAPSHOT
        if snapshot.is_dir():
            folder = self.snapshots.setdefault(snapshot, snapshot.resolve())
        for inside in sorted(folder.iterdir()):
            if inside.name.startswith(".") or inside.name == "tests":
                continue
            if inside.is_dir() or inside.name.endswith(SUFFIXES):
                self._enter(shown / inside.name, inside)


def _content(path: Path) -> bytes:
    """At most one byte more than is allowed: a huge file is refused, not read."""
    if path.exists() and not path.is_file():
        raise OSError("not a regular file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
