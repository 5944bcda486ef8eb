"""
Rule files become rules, whole or not at all.

In: paths, the known systems, the protected namespaces. Out: a `Rulebook` with every rule, or with every problem and
no rule. It asks no cluster, and executes nothing but RE2 and CEL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remediator.model.rules import Mode, Rule, Verification
from remediator.model.systems import AnySystem
from remediator.rulebook.checking import check_fit, check_shape
from remediator.rulebook.files import Source, gather
from remediator.rulebook.parameters import parameters_of
from remediator.rulebook.problems import Problem
from remediator.rulebook.schema import RuleFile
from remediator.rulebook.strict_yaml import Document, read


@dataclass(frozen=True)
class Rulebook:
    """What was loaded. With a problem there are no rules: the caller keeps the ones it has."""

    rules: tuple[Rule, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Page:
    """One file, looked at."""

    source: Source
    document: Document
    file: RuleFile | None
    problems: tuple[Problem, ...]

    @property
    def name(self) -> str:
        values = self.document.value
        name = values.get("name") if isinstance(values, dict) else None
        return name if isinstance(name, str) else ""


def load(paths: Sequence[Path], systems: Mapping[str, AnySystem], *, protected: Sequence[str]) -> Rulebook:
    """Load every rule file under `paths`. All problems of all files come back at once, and then no rules."""
    sources, problems = gather(paths)
    pages = [_look_at(source, systems, protected) for source in sources]
    problems += [problem for page in pages for problem in page.problems]
    problems += _names_taken(pages)
    if problems:
        return Rulebook((), tuple(sorted(problems)))
    return Rulebook(tuple(_rule(page.source, page.document, page.file, systems) for page in pages if page.file), ())


def _look_at(source: Source, systems: Mapping[str, AnySystem], protected: Sequence[str]) -> _Page:
    document = read(source.content)
    problems = [Problem(source.path, f.place.line, f.place.column, f.message) for f in document.flaws]
    if document.root is None:
        return _Page(source, document, None, tuple(problems))
    file, findings = check_shape(document.value)
    for finding in (*findings, *check_fit(document.value, systems, protected)):
        place = document.place_of(finding.loc, offset=finding.offset, at_key=finding.at_key)
        problems.append(Problem(source.path, place.line, place.column, finding.message))
    return _Page(source, document, file, tuple(problems))


def _names_taken(pages: Sequence[_Page]) -> list[Problem]:
    problems = []
    first: dict[str, str] = {}
    for page in pages:
        if not page.name:
            continue
        place = page.document.place_of(("name",))
        if page.name in first:
            message = f'rule name "{page.name}" is taken by {first[page.name]}; expected a name of its own'
            problems.append(Problem(page.source.path, place.line, place.column, message))
        first.setdefault(page.name, f"{page.source.path}:{place.line}")
    return problems


def _rule(source: Source, document: Document, file: RuleFile, systems: Mapping[str, AnySystem]) -> Rule:
    remedy = systems[file.system].remedies[file.remedy.name]
    return Rule(
        name=file.name,
        system=file.system,
        mode=Mode(file.mode),
        matchers=file.match,
        namespaces=file.where.namespaces,
        remedy=remedy.name,
        parameters=parameters_of(remedy.parameters, file.remedy.parameters),
        conditions=file.when,
        per_rule=file.limits.per_rule,
        per_target=file.limits.per_target,
        cooldown=file.cooldown,
        patience=file.patience,
        verification=Verification(file.verify.within, file.verify.steady_for, file.verify.every),
        runbook=file.runbook,
        revision=hashlib.sha256(source.content).hexdigest(),
        source=f"{source.path}:{document.place_of(()).line}",
    )
