"""
An etcd cluster as its members agree on it: membership, leader, alarms, keys.

In: members that connect and part, and requests to change the membership. Out: the new membership, or the refusal etcd
would give, word for word. It has no time of its own (every call says when) and knows nothing of pods.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

HEALTH_INTERVAL = 5.0
"""Seconds a voter must have been connected before etcd lets the membership change."""
CATCH_UP = 2.0
"""Seconds after which a member that has just connected has applied everything."""


class EtcdRefusal(Exception):
    """A gRPC error: its code and its text."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


NOT_FOUND, FAILED_PRECONDITION, INVALID_ARGUMENT, UNAVAILABLE, EXHAUSTED = 5, 9, 3, 14, 8


def member_id(peer_urls: Iterable[str], token: str, added_at: int | None = None) -> int:
    """Of the URLs and the token alone for a founding member, so the same member computes the same id again."""
    text = "".join(sorted(peer_urls)) + token + ("" if added_at is None else str(added_at))
    return int.from_bytes(hashlib.sha1(text.encode(), usedforsecurity=False).digest()[:8], "big")


def cluster_id(members: Iterable[int]) -> int:
    joined = b"".join(i.to_bytes(8, "big") for i in sorted(members))
    return int.from_bytes(hashlib.sha1(joined, usedforsecurity=False).digest()[:8], "big")


@dataclass
class Member:
    id: int
    peer_urls: tuple[str, ...]
    name: str = ""
    client_urls: tuple[str, ...] = ()
    is_learner: bool = False

    @property
    def is_started(self) -> bool:
        return bool(self.name)


@dataclass
class Entry:
    """A key's value and its revisions."""

    value: bytes
    created: int
    modified: int
    version: int = 1


@dataclass
class EtcdCluster:
    """Founded by `found`; after that only committed changes move it."""

    id: int
    token: str
    members: dict[int, Member]
    removed: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Ids that may never come back, with the peer URLs they had."""
    alarms: dict[int, str] = field(default_factory=dict)
    keys: dict[bytes, Entry] = field(default_factory=dict)
    leader: int = 0
    term: int = 1
    index: int = 4
    revision: int = 1
    file: tuple[int, bytes] = (0, b"")
    """The database as a file, and the revision it was made of; whoever reads it keeps it here."""
    _connected: dict[int, float] = field(default_factory=dict)
    _isolated: set[int] = field(default_factory=set)
    _applied: dict[int, int] = field(default_factory=dict)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def found(cls, urls: Mapping[str, str], token: str) -> EtcdCluster:
        ids = {member_id([url], token): url for url in urls.values()}
        return cls(cluster_id(ids), token, {i: Member(i, (url,)) for i, url in ids.items()})

    # --- who is there ---

    @property
    def voters(self) -> list[Member]:
        return [m for m in self.members.values() if not m.is_learner]

    @property
    def quorum(self) -> int:
        return len(self.voters) // 2 + 1

    def is_connected(self, member: int) -> bool:
        return member in self._connected and member not in self._isolated

    def connect(self, member: int, name: str, client_urls: tuple[str, ...], now: float) -> None:
        self._connected[member] = now
        if member in self.members:
            self.members[member].name = name
            self.members[member].client_urls = client_urls
            self.index += 1
        self._elect()

    def part(self, member: int) -> None:
        self._applied[member] = self.index
        self._connected.pop(member, None)
        self._elect()

    def isolate(self, members: Iterable[int]) -> None:
        """The network no longer carries anything between these and the rest."""
        self._applied |= dict.fromkeys(members, self.index)
        self._isolated |= set(members)
        self._elect()

    def rejoin(self, now: float) -> None:
        for member in self._isolated & set(self._connected):
            self._connected[member] = now
        self._isolated.clear()
        self._elect()

    def leader_seen_by(self, member: int) -> int:
        return self.leader if self.is_connected(member) else 0

    def applied_by(self, member: int, now: float) -> int:
        is_current = self.is_connected(member) and self.leader and now - self._connected[member] >= CATCH_UP
        return self.index if is_current else min(self._applied.get(member, 1), self.index)

    async def next_move(self) -> None:
        """Until members connect or part, or the membership changes, the next time."""
        await self._moved.wait()

    async def wait_for_removal(self, member: int) -> None:
        """Until the member is told that it is out: not while nobody can reach it."""
        while member not in self.removed or not self._can_be_told(member):
            await self.next_move()

    def _can_be_told(self, member: int) -> bool:
        return member not in self._isolated and any(self.is_connected(m) for m in self.members)

    def _elect(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
        able = [m.id for m in self.voters if self.is_connected(m.id)]
        if len(able) < self.quorum:
            self.leader = 0
        elif self.leader not in able:
            self.leader = min(able)
            self.term += 1
            self.index += 1

    # --- changing the membership ---

    def add(self, peer_urls: tuple[str, ...], *, is_learner: bool, now: float, wall: int) -> Member:
        if not peer_urls or not all(u.startswith(("http://", "https://")) for u in peer_urls):
            raise EtcdRefusal(INVALID_ARGUMENT, "etcdserver: given member URLs are invalid")
        if not is_learner and not self._may_add_voter():
            self._refuse_unstarted()
        if not self._steady(self.voters, now):
            raise EtcdRefusal(UNAVAILABLE, "etcdserver: unhealthy cluster")
        if any(set(peer_urls) & set(m.peer_urls) for m in self.members.values()):
            raise EtcdRefusal(FAILED_PRECONDITION, "etcdserver: Peer URLs already exists")
        if is_learner and any(m.is_learner for m in self.members.values()):
            raise EtcdRefusal(FAILED_PRECONDITION, "etcdserver: too many learner members in cluster")
        made = Member(member_id(peer_urls, self.token, wall), peer_urls, is_learner=is_learner)
        self.members[made.id] = made
        self._commit_change()
        return made

    def remove(self, member: int, *, asked_of: int, now: float) -> None:
        found = self.members.get(member)
        if found is None:
            raise EtcdRefusal(NOT_FOUND, "etcdserver: member not found")
        if not found.is_learner:
            self._check_removal_of_voter(member, asked_of, now)
        self.removed[member] = found.peer_urls
        del self.members[member]
        self._commit_change()

    def promote(self, member: int, now: float) -> None:
        found = self.members.get(member)
        if found is None:
            raise EtcdRefusal(NOT_FOUND, "etcdserver: member not found")
        if not found.is_learner:
            raise EtcdRefusal(FAILED_PRECONDITION, "etcdserver: can only promote a learner member")
        if not self.is_connected(member) or self.applied_by(member, now) < self.index:
            text = "etcdserver: can only promote a learner member which is in sync with leader"
            raise EtcdRefusal(FAILED_PRECONDITION, text)
        found.is_learner = False
        self._commit_change()

    def _commit_change(self) -> None:
        self.index += 1
        self._elect()

    def _may_add_voter(self) -> bool:
        started = sum(m.is_started for m in self.voters)
        after = len(self.voters) + 1
        return started >= after // 2 + 1 or (started == 1 and after == 2)

    def _check_removal_of_voter(self, member: int, asked_of: int, now: float) -> None:
        others = [m for m in self.voters if m.id != member]
        if not others or sum(m.is_started for m in others) < len(others) // 2 + 1:
            self._refuse_unstarted()
        if member != asked_of and not self.is_connected(member):
            return
        active = sum(self._steady([m], now) for m in self.voters)
        if active - 1 < 1 + (len(self.voters) - 1) // 2:
            raise EtcdRefusal(UNAVAILABLE, "etcdserver: unhealthy cluster")

    def _refuse_unstarted(self) -> None:
        text = "etcdserver: re-configuration failed due to not enough started members"
        raise EtcdRefusal(FAILED_PRECONDITION, text)

    def _steady(self, members: Iterable[Member], now: float) -> bool:
        return all(self.is_connected(m.id) and now - self._connected[m.id] >= HEALTH_INTERVAL for m in members)

    # --- keys ---

    def put(self, key: bytes, value: bytes) -> None:
        if "NOSPACE" in self.alarms.values():
            raise EtcdRefusal(EXHAUSTED, "etcdserver: mvcc: database space exceeded")
        self.revision += 1
        self.index += 1
        old = self.keys.get(key)
        created, version = (old.created, old.version + 1) if old else (self.revision, 1)
        self.keys[key] = Entry(value, created, self.revision, version)

    def select(self, key: bytes, range_end: bytes) -> list[bytes]:
        """The keys of a range; an end of one zero byte means "and all above"."""
        if not range_end:
            return [key] if key in self.keys else []
        return sorted(k for k in self.keys if key <= k and (range_end == b"\0" or k < range_end))

    def delete(self, keys: Iterable[bytes]) -> int:
        gone = [self.keys.pop(k) for k in keys]
        if gone:
            self.revision += 1
            self.index += 1
        return len(gone)
