"""
Conditions in CEL: `facts.healthy >= 2`.

In: an expression. Out: a `Condition`, type-checked when the rule loads, that answers yes, no or unknown. The only
module that knows the CEL library. An expression that fails while it runs is unknown, never yes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cel_expr_python import cel

from remediator.model.evidence import Answer
from remediator.model.rules import Condition
from remediator.rulebook.problems import Misread, did_you_mean

MAX_TEXT = 1000
MAX_DEPTH = 32
VARIABLES = ("labels", "evidence", "facts")

_ERROR = re.compile(r"ERROR: <input>:([0-9]+):([0-9]+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([A-Za-z_][A-Za-z0-9_]*)")
_EVIDENCE = re.compile(r"""\bevidence(?:\.([A-Za-z_]\w*)|\[\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\])""")


def parse_condition(text: str) -> Condition:
    """Compile one expression over labels, evidence and facts. Raises Misread where it is wrong."""
    if len(text) > MAX_TEXT:
        raise Misread(f"a condition longer than {MAX_TEXT} characters; say it with fewer words, or as two conditions")
    if "\0" in text:
        raise Misread("a NUL character in a condition; expected CEL", text.index("\0"))
    try:
        program = _environment().compile(text)
    except RuntimeError as error:
        raise _misread(text, str(error)) from error
    if program.return_type() != cel.Type.BOOL:
        raise Misread(f'"{text}" is not a yes-or-no question; expected a comparison like facts.healthy >= 2')
    return Condition(text, functools.partial(_evaluate, program))


def evidence_named(text: str) -> Sequence[tuple[str, int]]:
    """The probes a condition names, each with its position; so that a misspelt one is seen before the alert."""
    return [(found[found.lastindex or 0], found.start(found.lastindex or 0)) for found in _EVIDENCE.finditer(text)]


@functools.cache
def _environment() -> cel.Env:
    text, anything = cel.Type.STRING, cel.Type.DYN
    return cel.NewEnv(
        variables={
            "labels": cel.Type.Map(text, text),
            "evidence": cel.Type.Map(text, text),
            "facts": cel.Type.Map(text, anything),
        }
    )


def _evaluate(program: cel.Expression, known: Mapping[str, Any]) -> Answer:
    """Ask. The library hands back a failure as a value of type ERROR, which Python would take for true."""
    try:
        value = program.eval(data={name: _plain(known.get(name, {})) for name in VARIABLES})
    except (RuntimeError, TypeError, ValueError, OverflowError):
        return Answer.UNKNOWN
    if value.type() != cel.Type.BOOL:
        return Answer.UNKNOWN
    return Answer.YES if value.value() is True else Answer.NO


def _plain(value: Any, depth: int = 0) -> Any:
    """The value in the few types the library takes. Raises TypeError for any other, ValueError for a deep one."""
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {_plain(key, depth + 1): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [_plain(item, depth + 1) for item in value]
    raise TypeError(f"a {type(value).__name__} in a condition's facts")


def _misread(text: str, said: str) -> Misread:
    errors = _ERROR.findall(said)
    if not errors:
        return Misread(f"bad condition: {said.splitlines()[0]}; expected CEL")
    line, column, _ = errors[0]
    words = "; ".join(_in_words(message) for _, _, message in errors)
    return Misread(f"bad condition: {words}", _offset(text, int(line), int(column)))


def _in_words(message: str) -> str:
    short = message.partition(" expecting ")[0].replace(" (in container '')", "")
    unknown = _UNDECLARED.search(message)
    if unknown is None:
        return short
    return f"{short}; expected labels, evidence or facts{did_you_mean(unknown[1], VARIABLES)}"


def _offset(text: str, line: int, column: int) -> int:
    before = text.split("\n")[: line - 1]
    return sum(len(one) + 1 for one in before) + column - 1
