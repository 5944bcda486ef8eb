"""
What one look at an etcd StatefulSet saw: pods, voices of members, storage, who else is at work.

Plain values. What could not be read is there as not known, with why, so that no judgement can mistake silence for
health or for death.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from remediator.model.objects import Manifest, ObjectRef
from remediator.systems.etcd import api
from remediator.systems.etcd.images import Family
from remediator.systems.etcd.logs import UNREADABLE, LastWords


@dataclass(frozen=True)
class Death:
    """How the container's last run ended."""

    exit_code: int
    reason: str
    finished_at: str
    container_id: str


@dataclass(frozen=True)
class PodFacts:
    ref: ObjectRef
    ordinal: int
    address: str
    node: str
    is_ready: bool
    """Ready, and has been running long enough to mean it: a container between two crashes is Ready for a moment."""
    is_running: bool
    """The etcd container has a live process just now."""
    is_crash_looping: bool
    restarts: int
    death: Death | None
    peer_url: str
    family: Family
    state_env: str
    claim: ObjectRef | None
    has_just_died: bool = False
    """The container has ended and is not yet waiting to be started again."""
    words: LastWords = UNREADABLE
    """Read only for pods that are not ready."""
    deaths_seen: int = 0
    """Different deaths of this very pod whose log told of the removal, over all looks of this run."""


@dataclass(frozen=True)
class Voice:
    """What one running member said, or why it said nothing."""

    pod: str
    silent_because: str = ""
    own_view: api.MemberList | None = None
    agreed_view: api.MemberList | None = None
    """The linearizable list: only a member in touch with a quorum answers it."""
    status: api.Status | None = None
    alarms: tuple[str, ...] | None = None
    hash: int | None = None
    """Of all keys up to `EtcdFacts.hash_revision`."""

    @property
    def has_leader(self) -> bool:
        return self.status is not None and self.status.leader != 0


@dataclass(frozen=True)
class EtcdFacts:
    """One look."""

    target: ObjectRef
    at: datetime
    replicas: int
    generation: int
    rollout: str
    """What is being rolled out, drained or upgraded just now; "" when nothing is."""
    pods: tuple[PodFacts, ...]
    voices: tuple[Voice, ...]
    claims: Mapping[str, Manifest]
    volumes: Mapping[str, Manifest]
    hash_revision: int = 0
    leaderless_looks: int = 0
    """Looks in a row, this one included, in which members answered and none had a leader."""
    unread: tuple[str, ...] = ()
    """What could not be read, in words. Not empty: some judgements become unknown."""

    @property
    def down(self) -> tuple[PodFacts, ...]:
        return tuple(p for p in self.pods if not p.is_ready)

    @property
    def steady_voices(self) -> tuple[Voice, ...]:
        """
        Members whose word counts: of pods that are Ready, or that never died.

        A crash-looping member speaks for a second after each start, of a cluster it no longer belongs to.
        """
        steady = {p.ref.name for p in self.pods if p.is_ready or p.death is None}
        return tuple(v for v in self.voices if v.pod in steady)

    @property
    def agreed(self) -> api.MemberList | None:
        """The linearizable member list, from any steady member that has a leader."""
        return next((v.agreed_view for v in self.steady_voices if v.agreed_view and v.has_leader), None)
