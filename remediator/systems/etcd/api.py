"""
etcd's HTTP gateway: the calls we make and what their answers mean.

The gateway answers ids as decimal text of unsigned 64 bits, and leaves out what is zero or false. An answer
that does not have the expected shape is Permanent, never guessed at. Seen the same on 3.4, 3.5 and 3.6.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remediator.model.calls import Door, ReadCall, Reply, WriteCall
from remediator.model.errors import AnswerLost, Permanent, Temporary
from remediator.model.seams import EndpointView

CLIENT_PORT = 2379
REFUSALS = (
    "unhealthy cluster",
    "in sync with leader",
    "too many learner members",
    "Peer URLs already exists",
    "not enough started members",
    "can only promote a learner",
    "not supported for learner",
    "member not found",
    "too many requests",
)
"""What etcd says when it turns a membership change down without proposing it."""
REFUSED_SECONDS = 2.0
SNAPSHOT_MAX_BYTES = 12 * 2**30
"""Above etcd's largest advised database of 8 GiB, in base64."""


@dataclass(frozen=True)
class Member:
    """A registered member. Without a name it has never started."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    is_learner: bool

    @property
    def is_started(self) -> bool:
        return bool(self.name)

    @property
    def hex_id(self) -> str:
        return f"{self.id:x}"


@dataclass(frozen=True)
class MemberList:
    cluster_id: int
    answered_by: int
    members: tuple[Member, ...]

    def at(self, peer_url: str) -> Member | None:
        """Who is registered under this address."""
        return next((m for m in self.members if peer_url and peer_url in {u.rstrip("/") for u in m.peer_urls}), None)

    @property
    def voters(self) -> tuple[Member, ...]:
        return tuple(m for m in self.members if not m.is_learner)


@dataclass(frozen=True)
class Status:
    """What one member says of itself. `leader` is 0 when it knows none."""

    cluster_id: int
    member_id: int
    revision: int
    leader: int
    raft_index: int
    applied_index: int
    is_learner: bool
    errors: tuple[str, ...]


NUMBER = re.compile(r"[0-9]{1,20}\Z")


def _unsigned(value: object) -> int:
    """A number of 64 bits, which the gateway writes as text; left out is zero. Raises Permanent for anything else."""
    text = "0" if value is None else str(value)
    number = int(text) if not isinstance(value, bool | float) and NUMBER.match(text) else 2**64
    if number >= 2**64:
        raise Permanent(f"etcd's answer has {text[:40]!r} where a number of 64 bits belongs")
    return number


def _listed(body: Mapping[str, Any], name: str) -> Sequence[Any]:
    """The list called `name`; left out is empty. Raises Permanent for anything else."""
    value = body.get(name)
    if value is not None and not isinstance(value, list):
        raise Permanent(f"etcd's answer has {str(value)[:40]!r} where the list of {name} belongs")
    return value or ()


async def _ask(endpoints: EndpointView, door: Door, call: ReadCall) -> Mapping[str, Any]:
    reply = await endpoints.ask(door, call)
    return answer_of(reply, f"{door.pod} {call.path}")


def answer_of(reply: Reply, what: str) -> Mapping[str, Any]:
    """The JSON object of a 200; a 503 is Temporary, anything else Permanent, with etcd's own words."""
    body = reply.json if isinstance(reply.json, dict) else {}
    said = str(body.get("error") or body.get("message") or reply.text[:200])
    if reply.status == 200 and isinstance(reply.json, dict):
        return body
    if reply.status in {429, 502, 503, 504}:
        raise Temporary(f"{what}: HTTP {reply.status}: {said}")
    raise Permanent(f"{what}: HTTP {reply.status}: {said}")


def written(reply: Reply, what: str) -> Mapping[str, Any]:
    """
    The JSON object of a write's 200. Temporary where etcd itself refused before it proposed anything.

    Any other answer proves nothing: etcd gives up waiting for a proposal that is still committed later, and a proxy
    answers for an etcd that has done it. Then it is AnswerLost, and the members are asked.
    """
    body = reply.json if isinstance(reply.json, dict) else {}
    if reply.status == 200 and body:
        return body
    said = str(body.get("error") or body.get("message") or reply.text[:200])
    if body and any(refusal in said for refusal in REFUSALS):
        raise Temporary(f"{what}: HTTP {reply.status}: {said}", after=REFUSED_SECONDS)
    if body and 400 <= reply.status < 500:
        raise Permanent(f"{what}: HTTP {reply.status}: {said}")
    raise AnswerLost(f"{what}: HTTP {reply.status}: {said}; it may have been applied")


async def member_list(endpoints: EndpointView, door: Door, *, linearizable: bool) -> MemberList:
    """Linearizable needs quorum; otherwise the member's own view, which it answers without."""
    call = ReadCall("POST", "/v3/cluster/member/list", {"linearizable": linearizable})
    body = await _ask(endpoints, door, call)
    header = _section(body, "header", door)
    return MemberList(_unsigned(header.get("cluster_id")), _unsigned(header.get("member_id")), members_of(body))


def members_of(body: Mapping[str, Any]) -> tuple[Member, ...]:
    """The members of an answer. Raises Permanent when one of them is not an object with an id of its own."""
    return tuple(_member(m) for m in _listed(body, "members"))


def _member(told: object) -> Member:
    if not isinstance(told, Mapping) or not _unsigned(told.get("ID")):
        raise Permanent(f"etcd's answer has {str(told)[:80]!r} where a member with its id belongs")
    urls = tuple(str(url) for url in _listed(told, "peerURLs"))
    return Member(_unsigned(told["ID"]), str(told.get("name", "")), urls, bool(told.get("isLearner")))


def _section(body: Mapping[str, Any], name: str, door: Door) -> Mapping[str, Any]:
    section = body.get(name)
    if not isinstance(section, Mapping):
        raise Permanent(f"{door.pod}: etcd's answer has no {name}")
    return section


async def status(endpoints: EndpointView, door: Door) -> Status:
    body = await _ask(endpoints, door, ReadCall("POST", "/v3/maintenance/status", {}))
    header = _section(body, "header", door)
    return Status(
        cluster_id=_unsigned(header.get("cluster_id")),
        member_id=_unsigned(header.get("member_id")),
        revision=_unsigned(header.get("revision")),
        leader=_unsigned(body.get("leader")),
        raft_index=_unsigned(body.get("raftIndex")),
        applied_index=_unsigned(body.get("raftAppliedIndex")),
        is_learner=bool(body.get("isLearner")),
        errors=tuple(str(e) for e in _listed(body, "errors")),
    )


async def alarms(endpoints: EndpointView, door: Door) -> tuple[str, ...]:
    """Names of raised alarms; `NONE` is not one."""
    body = await _ask(endpoints, door, ReadCall("POST", "/v3/maintenance/alarm", {"action": "GET"}))
    raised = _listed(body, "alarms")
    if not all(isinstance(alarm, Mapping) for alarm in raised):
        raise Permanent(f"{door.pod}: etcd's answer has {str(raised)[:80]} where alarms belong")
    return tuple(str(a.get("alarm")) for a in raised if a.get("alarm") not in {None, "NONE"})


async def hash_at(endpoints: EndpointView, door: Door, revision: int) -> int:
    """The hash of every key up to `revision`: equal on all members of one cluster."""
    body = await _ask(endpoints, door, ReadCall("POST", "/v3/maintenance/hash", {"revision": str(revision)}))
    return _unsigned(body.get("hash"))


def add_learner(peer_url: str) -> WriteCall:
    return WriteCall("POST", "/v3/cluster/member/add", {"peerURLs": [peer_url], "isLearner": True})


def promote(member_id: int) -> WriteCall:
    return WriteCall("POST", "/v3/cluster/member/promote", {"ID": str(member_id)})


async def snapshot(endpoints: EndpointView, door: Door) -> AsyncIterator[bytes]:
    """
    The bytes of a snapshot file, as `snapshot save` writes it.

    Raises Permanent on an error inside the stream, and when the stream ends with bytes still announced.
    """
    remaining = -1
    call = ReadCall("POST", "/v3/maintenance/snapshot", {})
    async for line in endpoints.lines(door, call, max_bytes=SNAPSHOT_MAX_BYTES):
        piece = _piece(line, door)
        remaining = _unsigned(piece.get("remaining_bytes"))
        yield _blob(piece, door)
    if remaining != 0:
        raise Permanent(f"{door.pod}: the snapshot ended with {remaining} bytes still to come")


def _piece(line: bytes, door: Door) -> Mapping[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError as error:
        raise Permanent(f"{door.pod}: a line of the snapshot is not JSON") from error
    result = parsed.get("result") if isinstance(parsed, dict) else None
    if not isinstance(result, Mapping):
        raise Permanent(f"{door.pod}: the snapshot stream says {str(parsed)[:200]}")
    return result


def _blob(piece: Mapping[str, Any], door: Door) -> bytes:
    try:
        return base64.b64decode(piece.get("blob", ""), validate=True)
    except (TypeError, ValueError) as error:
        raise Permanent(f"{door.pod}: a piece of the snapshot is not base64") from error
