"""etcd's gateway: what its answers mean, and that an odd one is refused and never guessed at."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.calls import Door, Reply
from remediator.model.errors import Permanent, Temporary
from remediator.model.objects import POD, ObjectRef
from remediator.systems.etcd import api
from remediator.systems.etcd.api import Member, Status
from remediator.systems.etcd.verbs import _checksummed
from tests.fakes.fake_clock import FakeClock
from tests.fakes.fake_endpoints import FakeEndpoints

DOOR = Door(ObjectRef(POD, "my-etcd-1", "milvus", "uid-1"), "10.0.0.2", 2379)
LIST, STATUS, ALARM = "/v3/cluster/member/list", "/v3/maintenance/status", "/v3/maintenance/alarm"
HASH, SNAPSHOT = "/v3/maintenance/hash", "/v3/maintenance/snapshot"
HEADER = {"cluster_id": "10705551090657098550", "member_id": "8980421615276196604", "raft_term": "2"}


def endpoints(path: str, body: Any, status: int = 200, text: str = "") -> Any:
    scripted = FakeEndpoints(FakeClock())
    scripted.script(DOOR, "POST", path, Reply(status, body, text))
    return scripted.view()


# --- answers -----------------------------------------------------------------------------------------------


def test_a_good_answer_is_its_object():
    """200 with an object."""
    assert api.answer_of(Reply(200, {"a": 1}), "list") == {"a": 1}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_answer_that_may_change_is_temporary_in_etcds_words(status):
    """`unhealthy cluster` arrives as 503: it is asked again."""
    reply = Reply(status, {"error": "etcdserver: unhealthy cluster", "code": 14})

    with pytest.raises(Temporary, match=f"list: HTTP {status}: etcdserver: unhealthy cluster"):
        api.answer_of(reply, "list")


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(400, {"message": "etcdserver: too many learner members in cluster"}), "too many learner"),
        (Reply(404, None, "404 page not found"), "HTTP 404: 404 page not found"),
        (Reply(500, {}, "boom"), "HTTP 500: boom"),
        (Reply(200, ["a"], "[a]"), "HTTP 200"),
        (Reply(200, None, "<html>a proxy's page"), "a proxy's page"),
        (Reply(200, "text"), "HTTP 200"),
        (Reply(204, {}), "HTTP 204"),
        (Reply(301, {}), "HTTP 301"),
    ],
)
def test_any_other_answer_is_permanent(reply, told):
    """Also a 200 that is no object: somebody else answers there."""
    with pytest.raises(Permanent, match=told):
        api.answer_of(reply, "list")


# --- members -----------------------------------------------------------------------------------------------


async def test_a_member_list_is_read_with_ids_above_63_bits():
    """The gateway writes unsigned 64-bit numbers as text."""
    body = {
        "header": HEADER,
        "members": [
            {"ID": "8980421615276196604", "name": "my-etcd-1", "peerURLs": ["http://a:2380"], "clientURLs": ["x"]},
            {"ID": "18446744073709551615", "peerURLs": ["http://b:2380", "http://c:2380"], "isLearner": True},
        ],
    }

    listed = await api.member_list(endpoints(LIST, body), DOOR, linearizable=True)

    assert (listed.cluster_id, listed.answered_by) == (0x9491C1FF1B697B36, 0x7CA0DDE0F7C702FC)
    assert listed.members == (
        Member(0x7CA0DDE0F7C702FC, "my-etcd-1", ("http://a:2380",), is_learner=False),
        Member(2**64 - 1, "", ("http://b:2380", "http://c:2380"), is_learner=True),
    )
    assert [(m.hex_id, m.is_started) for m in listed.members] == [("7ca0dde0f7c702fc", True), ("f" * 16, False)]
    assert listed.voters == listed.members[:1]


@pytest.mark.parametrize("linearizable", [True, False])
async def test_the_question_says_whether_quorum_is_needed(linearizable):
    """One word decides whether the answer is the members' agreement or one member's own view."""
    scripted = FakeEndpoints(FakeClock())
    scripted.script(DOOR, "POST", LIST, Reply(200, {"header": HEADER}))

    await api.member_list(scripted.view(), DOOR, linearizable=linearizable)

    assert [call.body for _, call in scripted.asked] == [{"linearizable": linearizable}]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"header": None},
        {"header": []},
        {"header": {"cluster_id": "abc"}},
        {"header": {"cluster_id": "-1"}},
        {"header": {"cluster_id": "1_000"}},
        {"header": {"cluster_id": " 7 "}},
        {"header": {"cluster_id": True}},
        {"header": {"cluster_id": 1.5}},
        {"header": {"cluster_id": str(2**64)}},
        {"header": {"cluster_id": "9" * 5000}},
        {"header": HEADER, "members": {}},
        {"header": HEADER, "members": "abc"},
        {"header": HEADER, "members": ["abc"]},
        {"header": HEADER, "members": [None]},
        {"header": HEADER, "members": [{}]},
        {"header": HEADER, "members": [{"ID": "0"}]},
        {"header": HEADER, "members": [{"ID": "x"}]},
        {"header": HEADER, "members": [{"ID": "7", "peerURLs": "http://a:2380"}]},
    ],
)
async def test_a_member_list_of_another_shape_is_refused(body):
    """Never a member that was made up, never an error that is not ours."""
    with pytest.raises(Permanent):
        await api.member_list(endpoints(LIST, body), DOOR, linearizable=True)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["header", "members", "ID", "peerURLs", "alarms", "errors"]), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


@given(json_values)
def test_whatever_json_comes_is_read_or_refused_as_ours(body):
    """Over any JSON: members, or Permanent."""
    try:
        members = api.members_of(api.answer_of(Reply(200, body), "list"))
    except Permanent:
        return
    assert all(m.id > 0 for m in members)


# --- status, alarms, hash ----------------------------------------------------------------------------------


async def test_a_status_is_read_whole():
    """As etcd 3.5 writes it."""
    body = {
        "header": {**HEADER, "revision": "17"},
        "version": "3.5.25",
        "leader": "8980421615276196604",
        "raftIndex": "21",
        "raftAppliedIndex": "20",
        "isLearner": True,
        "errors": ["etcdserver: no space"],
    }

    assert await api.status(endpoints(STATUS, body), DOOR) == Status(
        cluster_id=0x9491C1FF1B697B36,
        member_id=0x7CA0DDE0F7C702FC,
        revision=17,
        leader=0x7CA0DDE0F7C702FC,
        raft_index=21,
        applied_index=20,
        is_learner=True,
        errors=("etcdserver: no space",),
    )


async def test_what_is_zero_or_false_is_left_out_by_the_gateway():
    """Without a leader there is no `leader` at all: that is 0, and not unknown."""
    body = {"header": {}, "version": "3.5.16", "raftIndex": "20", "errors": ["etcdserver: no leader"]}

    assert await api.status(endpoints(STATUS, body), DOOR) == Status(
        0, 0, 0, 0, 20, 0, is_learner=False, errors=("etcdserver: no leader",)
    )


@pytest.mark.parametrize(
    "body", [{}, {"header": HEADER, "leader": "x"}, {"header": HEADER, "errors": "no leader"}, {"header": "x"}]
)
async def test_a_status_of_another_shape_is_refused(body):
    """No header, no status."""
    with pytest.raises(Permanent):
        await api.status(endpoints(STATUS, body), DOOR)


@pytest.mark.parametrize(
    ("body", "raised"),
    [
        ({}, ()),
        ({"alarms": []}, ()),
        ({"alarms": [{"memberID": "7", "alarm": "NONE"}]}, ()),
        ({"alarms": [{"memberID": "7"}]}, ()),
        (
            {"alarms": [{"memberID": "7", "alarm": "NOSPACE"}, {"memberID": "8", "alarm": "CORRUPT"}]},
            ("NOSPACE", "CORRUPT"),
        ),
    ],
)
async def test_alarms_are_named_and_none_is_no_alarm(body, raised):
    """`NONE` is the gateway's word for nothing."""
    assert await api.alarms(endpoints(ALARM, body), DOOR) == raised


@pytest.mark.parametrize("body", [{"alarms": {}}, {"alarms": ["NOSPACE"]}, {"alarms": [None]}, {"alarms": "NOSPACE"}])
async def test_alarms_of_another_shape_are_refused(body):
    """Something is being said; it is not read as `no alarm`."""
    with pytest.raises(Permanent):
        await api.alarms(endpoints(ALARM, body), DOOR)


async def test_a_hash_is_asked_at_one_revision():
    """The revision goes as text, as the gateway wants 64-bit numbers."""
    scripted = FakeEndpoints(FakeClock())
    scripted.script(DOOR, "POST", HASH, Reply(200, {"hash": 4294967295}))

    assert await api.hash_at(scripted.view(), DOOR, 17) == 4294967295
    assert [call.body for _, call in scripted.asked] == [{"revision": "17"}]


def test_the_two_writes_say_exactly_what_they_change():
    """A learner by its address, a promotion by the id."""
    assert api.add_learner("http://a:2380").body == {"peerURLs": ["http://a:2380"], "isLearner": True}
    assert api.promote(2**64 - 1).body == {"ID": "18446744073709551615"}


# --- the snapshot ------------------------------------------------------------------------------------------


def line(blob: bytes, remaining: int | None) -> bytes:
    said: dict[str, Any] = {"blob": base64.b64encode(blob).decode()}
    if remaining is not None:
        said["remaining_bytes"] = str(remaining)
    return json.dumps({"result": said}).encode()


async def taken(*lines: bytes) -> bytes:
    scripted = FakeEndpoints(FakeClock())
    scripted.script_lines(DOOR, "POST", SNAPSHOT, *lines)
    return b"".join([piece async for piece in api.snapshot(scripted.view(), DOOR)])


async def test_a_snapshot_is_its_pieces_in_order():
    """The last piece announces nothing more; the gateway leaves the zero out."""
    assert await taken(line(b"abc", 5), line(b"de", 3), line(b"fgh", None)) == b"abcdefgh"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "-1 bytes still to come"),
        ([line(b"abc", 5)], "5 bytes still to come"),
        ([line(b"abc", 5), b'{"error":{"message":"etcdserver: request timed out"}}'], "request timed out"),
        ([line(b"abc", 5), b"<html>"], "not JSON"),
        ([b"[1]"], "the snapshot stream says"),
        ([b'{"result":{"blob":"%%%"}}'], "not base64"),
        ([b'{"result":{"blob":7}}'], "not base64"),
        ([b'{"result":{"remaining_bytes":"x"}}'], "number of 64 bits"),
    ],
)
async def test_a_snapshot_that_is_not_whole_is_refused(lines, told):
    """Cut off, an error inside the stream, or something that is no snapshot at all."""
    with pytest.raises(Permanent, match=told):
        await taken(*lines)


async def checked(*pieces: bytes) -> bytes:
    async def given() -> Any:
        for piece in pieces:
            yield piece

    return b"".join([piece async for piece in _checksummed(given(), "my-etcd-1")])


def with_checksum(data: bytes) -> bytes:
    return data + hashlib.sha256(data).digest()


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 332), max_size=6))
async def test_a_good_checksum_passes_however_it_is_cut(data, cuts):
    """Over any data and any pieces, empty ones too: the same bytes come out."""
    whole = with_checksum(data)
    places = [0, *sorted(min(c, len(whole)) for c in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(places)]

    assert await checked(*pieces) == whole


@given(st.binary(min_size=1, max_size=100), st.data())
async def test_any_changed_byte_is_found(data, drawn):
    """In the data or in the checksum itself."""
    whole = bytearray(with_checksum(data))
    place = drawn.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= drawn.draw(st.integers(1, 255))

    with pytest.raises(Permanent, match="fails its own checksum"):
        await checked(bytes(whole))


@pytest.mark.parametrize("lost", [1, 16, 31, 32, 33])
async def test_a_truncated_snapshot_is_found(lost):
    """Whatever is missing at its end."""
    with pytest.raises(Permanent, match="fails its own checksum"):
        await checked(with_checksum(b"x" * 512)[:-lost])


@pytest.mark.parametrize("pieces", [[], [b""], [hashlib.sha256(b"").digest()]])
async def test_an_empty_snapshot_is_none(pieces):
    """The right checksum of nothing is still nothing."""
    with pytest.raises(Permanent, match="fails its own checksum"):
        await checked(*pieces)
