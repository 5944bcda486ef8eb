"""
Whether a rule's shape is right, and whether it fits the systems that are known and the namespaces nobody may touch.

In: a rule file's plain values. Out: findings, each with the way to its value. It looks at values, not at a finished
rule, so one wrong key does not hide what else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from remediator.model.scopes import is_protected
from remediator.model.systems import AnySystem
from remediator.rulebook.conditions import evidence_named
from remediator.rulebook.parameters import check_parameters
from remediator.rulebook.problems import Finding, Loc, did_you_mean, one_of
from remediator.rulebook.schema import MISREAD, RuleFile
from remediator.rulebook.strict_yaml import UNREADABLE

_EXPECTED = {
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": 'a block of "key: value"',
    "model_type": 'a block of "key: value"',
}


def check_shape(values: Any) -> tuple[RuleFile | None, list[Finding]]:
    """The file as a `RuleFile`, or every way in which it is not one."""
    try:
        return RuleFile.model_validate(values), []
    except ValidationError as error:
        found = error.errors(include_url=False)
        return None, [_finding(one) for one in found if not _is_echo(one, values)]


def check_fit(values: Any, systems: Mapping[str, AnySystem], protected: Sequence[str]) -> Iterator[Finding]:
    """What does not fit: an unknown system, remedy, parameter or probe, a protected namespace."""
    if not isinstance(values, Mapping):
        return
    yield from _check_namespaces(_below(values, "where", "namespaces"), protected)
    name = values.get("system")
    if not isinstance(name, str):
        return
    if name not in systems:
        known = one_of(systems)
        yield Finding(("system",), f'unknown system "{name}"; expected {known}{did_you_mean(name, systems)}')
        return
    yield from _check_remedy(values, systems[name])
    yield from _check_evidence(values.get("when"), systems[name])


def _check_namespaces(names: Any, protected: Sequence[str]) -> Iterator[Finding]:
    for at, name in enumerate(names if isinstance(names, tuple) else ()):
        if isinstance(name, str) and is_protected(name, protected):
            message = f'namespace "{name}" is protected; expected one that no setting protects'
            yield Finding(("where", "namespaces", at), message)


def _check_remedy(values: Mapping[str, Any], system: AnySystem) -> Iterator[Finding]:
    name = _below(values, "remedy", "name")
    if not isinstance(name, str):
        return
    remedy = system.remedies.get(name)
    if remedy is None:
        expected = f"expected {one_of(system.remedies)}{did_you_mean(name, system.remedies)}"
        yield Finding(("remedy", "name"), f'system "{system.name}" has no remedy "{name}"; {expected}')
        return
    given = _below(values, "remedy", "with")
    if isinstance(given, Mapping):
        yield from check_parameters(name, remedy.parameters, given)


def _check_evidence(conditions: Any, system: AnySystem) -> Iterator[Finding]:
    probes = {probe.name for probe in system.probes}
    for at, text in enumerate(conditions if isinstance(conditions, tuple) else ()):
        for name, offset in evidence_named(text) if isinstance(text, str) and probes else ():
            if name not in probes:
                known = f"expected {one_of(probes)}{did_you_mean(name, probes)}"
                yield Finding(("when", at), f'system "{system.name}" has no probe "{name}"; {known}', offset)


def _below(values: Mapping[str, Any], section: str, key: str) -> Any:
    inner = values.get(section)
    return inner.get(key) if isinstance(inner, Mapping) else None


# --- pydantic's findings, in our words ---------------------------------------------------------------------


def _finding(error: ErrorDetails) -> Finding:
    loc: Loc = error["loc"]
    kind, context = error["type"], error.get("ctx", {})
    if kind == MISREAD:
        return Finding(loc, context["message"], context["offset"])
    if kind == "missing":
        return Finding(loc[:-1], f'missing key "{loc[-1]}"; expected it in {_where(loc)}')
    if kind == "extra_forbidden":
        key, known = str(loc[-1]), _keys_beside(loc)
        message = f'unknown key "{key}" in {_where(loc)}; expected {one_of(known)}{did_you_mean(key, known)}'
        return Finding(loc, message, at_key=True)
    if kind == "literal_error":
        modes = ("observe", "approve", "auto")
        given = str(error["input"])
        return Finding(loc, f'unknown mode "{given}"; expected {one_of(modes)}{did_you_mean(given, modes)}')
    if kind in ("too_short", "string_too_short"):
        return Finding(loc, f"{_name(loc)} is empty, and empty never means all; expected at least one")
    if kind in _EXPECTED:
        return Finding(
            loc, f"{_name(loc)} is {_seen(error['input'])}; expected {context.get('wanted', _EXPECTED[kind])}"
        )
    return Finding(loc, f"{_name(loc)}: {error['msg']}")


def _is_echo(error: ErrorDetails, values: Any) -> bool:
    """Whether this only repeats another finding: an unreadable value, or a list short of the items refused."""
    if error["type"] == "too_short" and len(error["input"]):
        return True
    for step in error["loc"]:
        if isinstance(values, Mapping):
            values = values.get(str(step))
        elif isinstance(values, tuple) and isinstance(step, int):
            values = values[step]
    return values is UNREADABLE


def _keys_beside(loc: Loc) -> list[str]:
    model: Any = RuleFile
    for step in loc[:-1]:
        model = model.model_fields[str(step)].annotation
    return [info.alias or name for name, info in model.model_fields.items()]


def _where(loc: Loc) -> str:
    return _name(loc[:-1]) if len(loc) > 1 else "the rule"


def _name(loc: Loc) -> str:
    names = [str(step) for step in loc if isinstance(step, str)]
    return f'"{".".join(names)}"' if names else "the rule"


def _seen(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f'the boolean "{str(value).lower()}" (quote it if a word is meant)'
    if isinstance(value, int | float):
        return f'the number "{value}" (quote it if text is meant)'
    return "a list" if isinstance(value, tuple) else "text" if isinstance(value, str) else "a block"
