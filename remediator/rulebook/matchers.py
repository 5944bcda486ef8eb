"""
Alertmanager's matchers: `alertname=~"KubePod.*"`.

In: one matcher as text. Out: a `Matcher` that can be asked. Regular expressions run in RE2, anchored at both ends,
so none can take long; a value that is not valid Unicode is accepted by no matcher.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import re2

from remediator.model.rules import Matcher, MatchOp
from remediator.rulebook.problems import Misread

MAX_REGEX_BYTES = 1024
MAX_TEXT = 4096
EXAMPLE = 'expected a matcher like alertname="KubePodCrashLooping"'

_BARE = re.compile(r"""[^\s{}!=~,\\"'`]+""")
_SPACE = re.compile(r"[ \t]*")
_OPERATOR = re.compile(r"=~|!=|!~|=")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_LITERALS = re.compile(r"[A-Za-z0-9_|-]*\Z")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MEANS = {"\\": "\\", '"': '"', "n": "\n"}


def parse_matcher(text: str) -> Matcher:
    """Read one matcher. Raises Misread with the position of the first thing that is wrong."""
    if len(text) > MAX_TEXT:
        raise Misread(f"a matcher longer than {MAX_TEXT} characters; {EXAMPLE}")
    at = _after_space(text, 0)
    label, at = _label(text, at)
    op, at = _operator(text, _after_space(text, at))
    value_at = _after_space(text, at)
    value, at = _value(text, value_at, op)
    end = _after_space(text, at)
    if end != len(text):
        raise Misread(f'unexpected "{text[end:]}" after the matcher; expected one matcher for each list item', end)
    return Matcher(label, op, value, _accepts(op, value, value_at))


def _label(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] == '"':
        label, end = _quoted(text, at, keep_unknown=False)
    elif bare := _BARE.match(text, at):
        label, end = bare[0], bare.end()
    else:
        raise Misread(f"no label name; {EXAMPLE}", at)
    if not label:
        raise Misread(f"an empty label name; {EXAMPLE}", at)
    return label, end


def _operator(text: str, at: int) -> tuple[MatchOp, int]:
    found = _OPERATOR.match(text, at)
    if found is None:
        what = f'"{text[at : at + 2]}"' if at < len(text) else "nothing"
        raise Misread(f"{what} where an operator should be; expected one of = != =~ !~", at)
    return MatchOp(found[0]), found.end()


def _value(text: str, at: int, op: MatchOp) -> tuple[str, int]:
    if text[at : at + 1] == '"':
        return _quoted(text, at, keep_unknown=op in (MatchOp.REGEX, MatchOp.NOT_REGEX))
    bare = _BARE.match(text, at)
    if bare is None:
        raise Misread('no value; expected it in double quotes, and "" for a label that is absent', at)
    return bare[0], bare.end()


def _quoted(text: str, at: int, *, keep_unknown: bool) -> tuple[str, int]:
    """
    The text between double quotes. In a regular expression an unknown escape is kept, as Alertmanager does: `\\.`
    """
    found = _QUOTED.match(text, at)
    if found is None:
        raise Misread("a quote that is not closed; expected a double quote at the end", at)

    def meaning(escape: re.Match[str]) -> str:
        if escape[1] in _MEANS:
            return _MEANS[escape[1]]
        if keep_unknown:
            return escape[0]
        raise Misread(f'unknown escape "{escape[0]}"; expected \\\\, \\" or \\n', at + 1 + escape.start())

    return _ESCAPE.sub(meaning, found[1]), found.end()


def _accepts(op: MatchOp, value: str, at: int) -> Callable[[str], bool]:
    if op is MatchOp.EQUAL:
        return value.__eq__
    if op is MatchOp.NOT_EQUAL:
        return value.__ne__
    wanted = op is MatchOp.REGEX
    fullmatch = _compile(value, at).fullmatch
    if _LITERALS.match(value):  # "a|b" is a set of words: asked for every alert, so asked the cheap way
        words = frozenset(value.split("|"))
        return words.__contains__ if wanted else lambda text: text not in words

    def accepts(text: str) -> bool:
        try:
            return (fullmatch(text) is not None) is wanted
        except UnicodeEncodeError:
            return False

    return accepts


def _compile(pattern: str, at: int) -> re2._Regexp:
    if len(pattern.encode("utf-8", "surrogatepass")) > MAX_REGEX_BYTES:
        raise Misread(f"a regular expression longer than {MAX_REGEX_BYTES} bytes; expected a short one", at)
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0]
        words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise Misread(f"bad regular expression: {words}; expected RE2 syntax", at) from error
    except UnicodeEncodeError as error:
        raise Misread("a regular expression that is not valid Unicode", at) from error


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
