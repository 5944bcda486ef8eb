"""Whatever stands in a rule file, loading answers with rules or with problems."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.rulebook import Rulebook, load

PIECES = ["name: a", "match:", "  - ", 'a=~"b', '"', "'", ": ", "\n", "&a ", "*a", "!t ", "<<: ", "{", "}", "[", "]"]
PIECES += [
    "when:",
    "- labels.a == 'b'",
    "where:",
    "limits:",
    "| ",
    "> ",
    "--- ",
    "%",
    "\t",
    "no",
    "1:30",
    "\u2028",
    "é",
]


def load_bytes(content: bytes) -> Rulebook:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rule.yaml"
        path.write_bytes(content)
        return load([path], {}, protected=())


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=30).map(lambda p: "".join(p).encode())
    )
)
def test_no_bytes_break_the_loader(content):
    """Every answer for a file that is no rule is a problem with a place inside or just behind the file."""
    book = load_bytes(content)

    assert book.rules == ()
    assert book.problems
    assert all(problem.line >= 1 and problem.column >= 1 for problem in book.problems)
