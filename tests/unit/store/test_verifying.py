"""A trail and the heads that were told elsewhere: any trail, any attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from remediator.model.ledger import AuditKind, AuditNote, AuditRecord, Head, journal_of
from remediator.store import auditing
from remediator.store.verifying import Trail

BODIES = st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=20), st.integers(), st.none()), max_size=3)
NOTES = st.builds(AuditNote, st.sampled_from(AuditKind), BODIES)
TIMES = st.datetimes().map(lambda at: at.isoformat(timespec="microseconds") + "+00:00")


def chain(links: Sequence[tuple[str, AuditNote]]) -> list[AuditRecord]:
    records: list[AuditRecord] = []
    for at, note in links:
        records.append(auditing.chained(records[-1] if records else None, at, note))
    return records


CHAINS = st.lists(st.tuples(TIMES, NOTES), min_size=1, max_size=12).map(chain)


def told(records: Sequence[AuditRecord], *heads: Head, page: int = 3) -> list[str]:
    trail = Trail(heads)
    flaws = [flaw for n in range(0, len(records), page) for flaw in trail.hear(records[n : n + page])]
    return flaws + list(trail.end())


def head(record: AuditRecord, journal: str = "") -> Head:
    return Head(record.seq, record.hash, journal)


@given(CHAINS, st.integers(1, 20))
def test_a_chain_that_was_written_is_good_in_pages_of_any_size(records: list[AuditRecord], page: int) -> None:
    """Against each of its own records as a head, with the journal's name and without."""
    heads = [head(record, name) for record in records for name in ("", journal_of(records[0]))]

    assert told(records, *heads, page=page) == []


@given(CHAINS, st.data())
def test_whatever_is_done_to_a_chain_is_found_against_its_head(records: list[AuditRecord], data: st.DataObject) -> None:
    """Taken away, doubled, moved or changed in any part: no other list of records passes for this one."""
    positions = st.integers(0, len(records) - 1)
    other = list(records)
    for _ in range(data.draw(st.integers(1, 3))):
        if not other:
            break
        at = data.draw(positions.filter(lambda n: n < len(other)))
        match data.draw(st.sampled_from(["remove", "double", "move", "change"])):
            case "remove":
                del other[at]
            case "double":
                other.insert(at, other[at])
            case "move":
                other.insert(data.draw(st.integers(0, len(other) - 1)), other.pop(at))
            case _:
                part = data.draw(st.sampled_from(["seq", "at", "kind", "body", "hash"]))
                value = data.draw(st.integers(0, 99) if part == "seq" else st.text(max_size=8))
                other[at] = replace(other[at], **{part: value})

    assert bool(told(other, head(records[-1]))) == (other != records)


@given(CHAINS, CHAINS)
def test_a_chain_that_was_written_anew_is_found_by_any_head_of_the_old_one(
    old: list[AuditRecord], new: list[AuditRecord]
) -> None:
    """From the first record that differs on; heads before it are met by both."""
    pairs = list(zip(old, new, strict=False))
    same = next((n for n, (a, b) in enumerate(pairs) if a != b), len(pairs))

    for n, record in enumerate(old):
        assert bool(told(new, head(record))) == (n >= same)


@given(CHAINS)
def test_a_cut_end_is_found_by_a_head_and_never_by_the_chain(records: list[AuditRecord]) -> None:
    """What is left of a trail is a trail."""
    for length in range(1, len(records)):
        assert told(records[:length]) == []
        assert len(told(records[:length], head(records[-1]))) == 1


def test_heads_of_another_journal_are_told_in_one_flaw() -> None:
    """They may be another journal's log or the trace of a trail written anew: a person must know."""
    ours, other = (chain([("2026", AuditNote(AuditKind.SWITCH, {"n": n + k})) for n in range(5)]) for k in (0, 9))
    heads = [head(record, journal_of(other[0])) for record in other]

    (flaw,) = told(ours, *heads)

    told_of_another = f"record 5 and 4 more were told as heads of journal {journal_of(other[0])}, and this trail is"
    assert flaw.startswith(told_of_another)


def test_a_thousand_broken_heads_are_two_flaws() -> None:
    """The first names the place, the last how far it reaches."""
    links = [("2026", AuditNote(AuditKind.SWITCH, {"n": n})) for n in range(1000)]
    old, new = chain(links), chain([("2025", links[0][1]), *links[1:]])
    assert all(a.hash != b.hash for a, b in zip(old, new, strict=True))
    assert [b.seq - a.seq for a, b in pairwise(new)] == [1] * 999

    first, last = told(new, *(head(record) for record in old), page=100)

    assert first.startswith("record 1 is not the one that was told as head")
    assert last == "record 1000 is not the one that was told as head either, nor 998 between"


def test_a_trail_without_records_is_not_good() -> None:
    """Nothing checked is not everything good."""
    assert told([]) == ["the trail has no record"]
    assert told([], Head(3, "0" * 64)) == [
        "the trail has no record",
        "record 3 was told as head, and the trail ends at record 0: 3 are cut off",
    ]
