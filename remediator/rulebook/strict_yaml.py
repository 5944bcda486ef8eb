"""
Read the small, unsurprising part of YAML that rule files are written in.

In: a file's bytes. Out: a tree of nodes that know their places, and every flaw found. Never an anchor, an alias,
a tag, a merge key, a key given twice, a second document, or a plain word that YAML 1.1 would turn into
something else: each of these is a flaw, so a file means what it looks like.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from remediator.rulebook.plain_scalars import Scalar, Surprise
from remediator.rulebook.problems import Loc, Place

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
UNREADABLE = object()
"""Stands for a value that was already reported, so that nobody reports it again."""


@dataclass(frozen=True)
class Listing:
    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True)
class Entries:
    """A mapping. `keys` and `values` have the same names."""

    keys: dict[str, Scalar]
    values: dict[str, Node]
    place: Place


@dataclass(frozen=True)
class Alias:
    place: Place


Node = Scalar | Listing | Entries | Alias


@dataclass(frozen=True)
class Flaw:
    place: Place
    message: str


@dataclass(frozen=True)
class Document:
    """What was read of one file. `root` is None when nothing could be."""

    root: Node | None
    value: Any
    """The tree as plain tuples, dicts and scalars, with UNREADABLE where there is a flaw."""
    flaws: tuple[Flaw, ...]

    def place_of(self, loc: Loc, *, offset: int = 0, at_key: bool = False) -> Place:
        """The place of the value at `loc`, or of the nearest thing on the way that exists."""
        node, key = self.root, None
        for step in loc:
            if isinstance(node, Entries) and step in node.values:
                key, node = node.keys[str(step)], node.values[str(step)]
            elif isinstance(node, Listing) and isinstance(step, int) and step < len(node.items):
                key, node = None, node.items[step]
            else:
                break
        if at_key and key is not None:
            return key.place
        if isinstance(node, Scalar):
            return node.place_at(offset)
        return node.place if node is not None else Place(1, 1)


def read(content: bytes) -> Document:
    """Read one file's bytes. Never raises for what is in them."""
    try:
        text = _decode(content)
        reading = _Reading(text)
        root = reading.document()
        value = UNREADABLE if root is None else reading.plain(root)
    except _Broken as broken:
        return Document(None, UNREADABLE, (broken.flaw,))
    except yaml.YAMLError as error:
        return Document(None, UNREADABLE, (*reading.flaws, _flaw_of(error, text)))
    return Document(root, value, tuple(reading.flaws))


class _Broken(Exception):  # carries the flaw that makes reading on useless
    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.flaw = Flaw(place, message)


@dataclass
class _Reading:
    """One pass over the events of a text, which sees anchors and tags before anything is built of them."""

    text: str
    flaws: list[Flaw] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._events: Iterator[Any] = yaml.parse(self.text, Loader=yaml.CSafeLoader)

    def document(self) -> Node | None:
        next(self._events)
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            raise _Broken(Place(1, 1), "the file is empty; expected a rule")
        if start.tags:
            self._report(start, "a %TAG directive; expected plain values without tags")
        root = self._node(next(self._events), 1)
        next(self._events)
        after = next(self._events)
        if isinstance(after, yaml.DocumentStartEvent):
            self._report(after, "a second document; expected one rule for each file")
        return root

    def _node(self, event: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _Broken(_place(event), f"nested deeper than {MAX_DEPTH} levels; a rule needs a few")
        if isinstance(event, yaml.AliasEvent):
            self._report(event, f'an alias "*{event.anchor}"; write the value out')
            return Alias(_place(event))
        if event.anchor is not None:
            self._report(event, f'an anchor "&{event.anchor}"; write the value out where it is needed')
        if event.tag is not None:
            self._report(event, f'a tag "{event.tag}"; expected a plain value')
        if isinstance(event, yaml.SequenceStartEvent):
            return self._listing(event, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._entries(event, depth)
        return self._scalar(event)

    def _scalar(self, event: Any) -> Scalar:
        source = self.text[event.start_mark.index : event.end_mark.index]
        is_plain = event.style in (None, "")
        return Scalar(event.value, is_plain, _place(event), source, tagged=event.tag is not None)

    def _listing(self, event: Any, depth: int) -> Listing:
        items = []
        while not isinstance(following := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(following, depth + 1))
        return Listing(tuple(items), _place(event))

    def _entries(self, event: Any, depth: int) -> Entries:
        entries = Entries({}, {}, _place(event))
        while not isinstance(following := next(self._events), yaml.MappingEndEvent):
            key = self._node(following, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if isinstance(key, Scalar) and self._is_new_name(key, entries):
                entries.keys[key.text] = key
                entries.values[key.text] = value
            elif not isinstance(key, Scalar):
                self.flaws.append(Flaw(key.place, "a key that is not text; expected a name"))
        return entries

    def _is_new_name(self, key: Scalar, entries: Entries) -> bool:
        if key.is_plain and key.text == "<<":
            self.flaws.append(Flaw(key.place, 'a merge key "<<"; write the keys out'))
            return False
        name = self.plain(key)
        if name is not UNREADABLE and not isinstance(name, str):
            self.flaws.append(Flaw(key.place, f'"{key.text}" as a key; expected a name'))
        if key.text in entries.keys:
            first = entries.keys[key.text].place
            self.flaws.append(Flaw(key.place, f'key "{key.text}" is given twice; the first is at line {first.line}'))
        return isinstance(name, str) and key.text not in entries.keys

    def plain(self, node: Node) -> Any:
        if isinstance(node, Listing):
            return tuple(self.plain(item) for item in node.items)
        if isinstance(node, Entries):
            return {key: self.plain(value) for key, value in node.values.items()}
        if isinstance(node, Alias) or node.tagged:
            return UNREADABLE
        try:
            return node.value()
        except Surprise as surprise:
            self.flaws.append(Flaw(node.place, str(surprise)))
            return UNREADABLE

    def _report(self, event: Any, message: str) -> None:
        self.flaws.append(Flaw(_place(event), message))


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _decode(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _Broken(Place(1, 1), f"larger than {MAX_BYTES // 1024} KiB; a rule is a page of text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        raise _Broken(_end_of(before), "not UTF-8 text; save the file as UTF-8") from None
    if "\0" in text:
        raise _Broken(_end_of(text.partition("\0")[0]), "a NUL character; expected text")
    return text


def _end_of(text: str) -> Place:
    return Place(text.count("\n") + 1, len(text) - text.rfind("\n"))


def _flaw_of(error: yaml.YAMLError, text: str) -> Flaw:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        said = getattr(error, "problem", None) or "not YAML"
        return Flaw(Place(mark.line + 1, mark.column + 1), f"broken YAML: {said}")
    position = getattr(error, "position", 0)  # the reader counts bytes
    before = text.encode()[:position].decode("utf-8", "ignore")
    return Flaw(_end_of(before), f"broken YAML: {getattr(error, 'reason', 'unreadable character')}")
