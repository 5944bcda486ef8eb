"""A small system to write rules for, and a desk to write them at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from remediator.model.evidence import Answer, Evidence
from remediator.model.rules import Rule
from remediator.model.systems import Draft, Parameter, ParameterKind, Probe, Remedy, System
from remediator.rulebook import Rulebook, load

PROTECTED = ("kube-*", "remediator")

Write = Callable[..., Path]
Problems = Callable[..., list[str]]


def make_system(name: str = "etcd") -> System[None]:
    parameters = {
        "max_members": Parameter(ParameterKind.INTEGER, 1, "how many", 1, 5),
        "wait": Parameter(ParameterKind.DURATION, "60s", "how long", 1, 600),
        "snapshot": Parameter(ParameterKind.BOOLEAN, True, "whether"),
        "class": Parameter(ParameterKind.TEXT, "default", "which"),
    }
    remedy: Remedy[None] = Remedy(
        "replace-removed-members", "replace", parameters, lambda facts, given: Draft("nothing", ())
    )
    probe: Probe[None] = Probe("quorum", lambda facts: Evidence("quorum", "is there one?", Answer.YES, "yes"))
    return System(name, "a key-value store", remedies={remedy.name: remedy}, probes=(probe,))


SYSTEMS = {"etcd": make_system(), "kubernetes": System[None]("kubernetes", "verbs only")}

GOOD = """\
name: etcd-member-removed
system: etcd
match:
  - alertname="KubePodCrashLooping"
where:
  namespaces: [milvus]
remedy:
  name: replace-removed-members
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a rule file: the good one, with pieces of its text replaced."""

    def write(*changes: tuple[str, str], text: str = GOOD, name: str = "rule.yaml", after: str = "") -> Path:
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + dedent(after))
        return path

    return write


def load_all(*paths: Path) -> Rulebook:
    return load(paths, SYSTEMS, protected=PROTECTED)


@pytest.fixture(name="load_all")
def _load_all() -> Callable[..., Rulebook]:
    """Load these paths for the small system."""
    return load_all


@pytest.fixture
def problems_of(write: Write) -> Problems:
    """The problems of one file, each as `line:column: message`."""

    def problems_of(*changes: tuple[str, str], **more: str) -> list[str]:
        path = write(*changes, **more)
        book = load_all(path)
        assert book.rules == ()
        assert all(problem.path == str(path) for problem in book.problems)
        return [str(problem).removeprefix(f"{path}:") for problem in book.problems]

    return problems_of


@pytest.fixture
def rule_of(write: Write) -> Callable[..., Rule]:
    """The one rule of one file."""

    def rule_of(*changes: tuple[str, str], **more: str) -> Rule:
        book = load_all(write(*changes, **more))
        assert book.problems == ()
        (rule,) = book.rules
        return rule

    return rule_of
