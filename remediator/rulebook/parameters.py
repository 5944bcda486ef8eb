"""
The parameters a rule gives to a remedy under `with:`.

In: what the remedy declares and what the rule gives. Out: findings, or the values the remedy is planned with.
A default stands in for what is not given; nothing is converted by guessing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from remediator.model.systems import Parameter, ParameterKind
from remediator.rulebook.durations import parse_duration
from remediator.rulebook.problems import Finding, Misread, did_you_mean, one_of
from remediator.rulebook.strict_yaml import UNREADABLE

Value = str | int | bool | float

_EXPECTED = {
    ParameterKind.TEXT: "text",
    ParameterKind.INTEGER: "a whole number",
    ParameterKind.BOOLEAN: "true or false",
    ParameterKind.DURATION: 'a duration like "90s"',
}


def check_parameters(remedy: str, declared: Mapping[str, Parameter], given: Mapping[str, Any]) -> Iterator[Finding]:
    """Every parameter that the remedy does not know, or whose value it cannot take."""
    for name, value in given.items():
        loc = ("remedy", "with", name)
        if value is UNREADABLE:
            continue
        if name not in declared:
            expected = f"expected {one_of(declared)}{did_you_mean(name, declared)}"
            yield Finding(loc, f'remedy "{remedy}" has no parameter "{name}"; {expected}', at_key=True)
            continue
        try:
            read_parameter(name, declared[name], value)
        except Misread as wrong:
            yield Finding(loc, wrong.message, wrong.offset)


def parameters_of(declared: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Value]:
    """The values a remedy is planned with, defaults included. Raises Misread for what `check_parameters` finds."""
    return {name: read_parameter(name, one, given.get(name, one.default)) for name, one in declared.items()}


def read_parameter(name: str, parameter: Parameter, value: Any) -> Value:
    """One value in the type the remedy takes: a duration becomes seconds."""
    read = _typed(name, parameter, value)
    low, high = parameter.minimum, parameter.maximum
    if isinstance(read, str | bool):
        return read
    if (low is not None and read < low) or (high is not None and read > high):
        raise Misread(f'"{name}" is {value}; expected {_range(parameter)}')
    return read


def _typed(name: str, parameter: Parameter, value: Any) -> Value:
    kind = parameter.kind
    if kind is ParameterKind.DURATION and isinstance(value, str):
        return parse_duration(value).total_seconds()
    if kind is ParameterKind.DURATION and value is parameter.default:
        return float(value)
    if kind is ParameterKind.TEXT and isinstance(value, str):
        return value
    if kind is ParameterKind.BOOLEAN and isinstance(value, bool):
        return value
    if kind is ParameterKind.INTEGER and isinstance(value, int) and not isinstance(value, bool):
        return value
    shown = str(value).lower() if isinstance(value, bool) else value
    raise Misread(f'"{name}" is {"empty" if value is None else shown}; expected {_EXPECTED[kind]}')


def _range(parameter: Parameter) -> str:
    unit = " seconds" if parameter.kind is ParameterKind.DURATION else ""
    low, high = parameter.minimum, parameter.maximum
    if low is None:
        return f"at most {high:g}{unit}"
    if high is None:
        return f"at least {low:g}{unit}"
    return f"from {low:g} to {high:g}{unit}"
