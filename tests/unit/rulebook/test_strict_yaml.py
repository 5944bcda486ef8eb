"""YAML that could surprise is refused."""

from __future__ import annotations

import pytest

SURPRISES = {
    "key twice": (
        ("system: etcd", "system: etcd\nsystem: etcd"),
        '3:1: key "system" is given twice; the first is at line 2',
    ),
    "anchor": (("[milvus]", "&a [milvus]"), '6:15: an anchor "&a"'),
    "alias": (("system: etcd", "system: *a"), '2:9: an alias "*a"'),
    "alias of nothing": (("[milvus]", "[*a]"), '6:16: an alias "*a"'),
    "tag": (("system: etcd", "system: !!str etcd"), '2:9: a tag "tag:yaml.org,2002:str"'),
    "tag that acts": (("system: etcd", "system: !!python/name:os.system etcd"), "2:9: a tag"),
    "merge key": (("where:\n", "where:\n  <<: {a: b}\n"), '6:3: a merge key "<<"'),
    "second document": (("removed-members\n", "removed-members\n---\nname: x\n"), "9:1: a second document"),
    "tag directive": (("name: etcd", "%TAG ! tag:example,2000:\n---\nname: etcd"), "1:1: a %TAG directive"),
    "no": (("[milvus]", "[no]"), '6:16: "no" may mean a word or true or false; quote it'),
    "Yes": (("[milvus]", "[Yes]"), '6:16: "Yes" may mean'),
    "TRUE": (("[milvus]", "[TRUE]"), '6:16: "TRUE" may mean'),
    "y": (("[milvus]", "[y]"), '6:16: "y" may mean'),
    "on as a key": (("where:\n", "where:\n  on: 1\n"), '6:3: "on" may mean'),
    "number as a key": (("where:\n", "where:\n  1: 1\n"), '6:3: "1" as a key'),
    "list as a key": (("where:\n", "where:\n  [a]: 1\n"), "6:3: a key that is not text"),
    "octal": (("[milvus]", "[010]"), '6:16: "010" is not a plain decimal number'),
    "hexadecimal": (("[milvus]", "[0x1F]"), '6:16: "0x1F" is not a plain decimal number'),
    "underscores": (("[milvus]", "[1_000]"), '6:16: "1_000" is not a plain decimal number'),
    "exponent": (("[milvus]", "[1e3]"), '6:16: "1e3" is not a plain decimal number'),
    "infinity": (("[milvus]", "[.inf]"), '6:16: ".inf" is not a plain decimal number'),
    "date": (("[milvus]", "[2026-11-21]"), '6:16: "2026-11-21" may mean a date'),
    "equals sign": (("[milvus]", "[=]"), '6:16: "="'),
}


@pytest.mark.parametrize(("change", "begins"), SURPRISES.values(), ids=SURPRISES.keys())
def test_a_surprising_value_is_a_problem_of_its_own(problems_of, change, begins):
    """Each is named once, at its place, and nothing else is said about it."""
    (problem,) = problems_of(change)

    assert problem.startswith(begins)


def test_the_same_words_in_quotes_are_text(rule_of):
    """Quoting is the way out that the message names."""
    assert rule_of(("[milvus]", "['no', \"010\", '2026-11-21']")).namespaces == ("no", "010", "2026-11-21")


BROKEN = {
    "unclosed list": (b"name: [", "2:1: broken YAML"),
    "tab": (b"name: x\n\tsystem: y", "2:1: broken YAML"),
    "two colons": (b"name: a: b", "1:8: broken YAML"),
    "control character": ("name: é\nsystem: \x01".encode(), "2:9: broken YAML: control characters"),
    "NUL": (b"name: x\nsy\0stem: y", "2:3: a NUL character"),
    "not UTF-8": (b"name: x\nsystem: \xff", "2:9: not UTF-8 text"),
    "empty": (b"# nothing but a comment\n", "1:1: the file is empty"),
    "text only": (b"hello", "1:1: the rule is text"),
    "too large": (b"#" * (256 * 1024) + b"\n", "1:1: larger than 256 KiB"),
    "too deep": (b"name: " + b"[" * 40 + b"]" * 40, "1:38: nested deeper than 32 levels"),
    "deep without an end": (b"[" * 100_000, "1:33: nested deeper than 32 levels"),
    "an alias bomb": (b"a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\n", '1:4: an anchor "&a"'),
}


@pytest.mark.parametrize(("content", "begins"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_a_problem_with_its_position(tmp_path, load_all, content, begins):
    """Whatever the bytes are, the answer is a problem and never an exception."""
    path = tmp_path / "rule.yaml"
    path.write_bytes(content)

    book = load_all(path)

    assert book.rules == ()
    assert any(str(problem).startswith(f"{path}:{begins}") for problem in book.problems), book.problems


def test_a_byte_order_mark_is_not_an_error(tmp_path, write, load_all):
    """An editor that writes one does no harm."""
    path = write()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    assert load_all(path).problems == ()
