"""
What goes wrong in one simulation, drawn from its seed: which cluster, which alerts, which faults and when.

In: a seed. Out: a `Scene`, which is data, and `Troubles`, which says of each request, write and transaction whether
it is spoilt. At most three faults, as most real catastrophes need no more. A fault comes at a time, at a commit of
the journal or at the moment a write is about to leave: the worst moments are these.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from remediator.practice.etcd_setup import EtcdSetup

Moment = Literal["at", "commit", "send", "claim", "renew"]
Store = Literal["memory", "sqlite", "shared"]
Reply = Literal["", "approve", "deny", "late", "twice", "race", "deny-first", "cancel", "other-plan", "never"]
"""What people say to a rule that asks them; "": it does not ask."""

PROCESS = (
    "crash-before-commit",
    "crash-after-commit",
    "crash-before-send",
    "crash-in-flight",
    "crash-after-apply",
    "crash",
    "stop",
)
REFUSALS = ("refuse-409", "refuse-429", "refuse-500", "refuse-503", "refuse-504", "refuse-html")
AMBIGUOUS = ("applied-500", "applied-503", "applied-504", "applied-html", "applied-lost", "lost", "late")
WINDOWS = (
    "reads-500",
    "reads-503",
    "reads-429",
    "reads-html",
    "reads-lost",
    "reads-hang",
    "writes-500",
    "writes-429",
    "writes-lost",
    "logs-500",
    "logs-gone",
    "mute",
    "isolate",
)
PEOPLE = (
    "freeze",
    "freeze-file",
    "freeze-configmap",
    "disarm",
    "pause-set",
    "pause-namespace",
    "resolve",
    "delete-pod",
    "remake-pod",
    "remake-claim",
    "second-alert",
)
STORE = ("store-down", "commit-lost", "claim-lost", "renew-lost", "crash-after-claim", "crash-after-renew")
ENDS = ("crash-twice", "stop-kill", "crash-all")
CLOCKS = ("clock-forward", "clock-back")
REPLICAS = ("halt", "halt", "cut-store", "cut-api")
RULES = ("rule-removed", "rule-observe", "rule-edited", "rule-narrowed")
OTHERS = ("cancel", "cancel", "revert", "fight", "recreate", "fix", "flap", "poison")
"""GitOps that puts back what we changed, once or for ever; a person who repairs it; an alert that comes and goes."""
AT_WRITE = frozenset({*REFUSALS, *AMBIGUOUS, "crash-before-send", "crash-in-flight", "crash-after-apply"})
AT_COMMIT = frozenset({"crash-before-commit", "crash-after-commit", "commit-lost"})
AT_CLAIM = {"claim-lost": "claim", "crash-after-claim": "claim", "renew-lost": "renew", "crash-after-renew": "renew"}
ONLY_SHARED = frozenset({"commit-lost", "claim-lost", "renew-lost", "crash-after-renew", "crash-all", *REPLICAS})
"""A journal of one process tells a commit to the process that made it, or the process is gone."""
GROUPS = (PROCESS, REFUSALS, AMBIGUOUS, WINDOWS, PEOPLE, STORE, ENDS, CLOCKS, RULES, OTHERS, REPLICAS)
WEIGHTS_ALONE = (8, 2, 6, 6, 8, 2, 2, 2, 2, 3, 0)
WEIGHTS_SHARED = (6, 2, 5, 4, 5, 4, 3, 1, 2, 3, 8)
STORES: tuple[Store, ...] = ("memory", "sqlite", "shared")
SHARES = (50, 15, 35)
APART = 0.15
"""The share of two replicas whose clocks do not agree."""
ASKING = 0.12
"""The share of scenes whose rule asks a person."""
REPLIES: tuple[Reply, ...] = ("approve", "approve", *get_args(Reply)[1:])
COMMITS = 30
"""About as many transactions as a run without faults has."""
SETUPS = {
    "three": EtcdSetup(),
    "five": EtcdSetup(replicas=5),
    "plain": EtcdSetup(image="quay.io/coreos/etcd:v3.5.16", hook=False),
    "elsewhere": EtcdSetup(namespace="staging"),
}
"""The kinds of clusters."""


@dataclass(frozen=True)
class Fault:
    """`lasting` is how many seconds it lasts; 0: it happens once, or is never undone."""

    name: str
    moment: Moment
    number: float
    lasting: float = 0.0

    def __str__(self) -> str:
        lasting = f" for {self.lasting:g} s" if self.lasting else ""
        return f"{self.name} {self.moment} {self.number:g}{lasting}"


@dataclass(frozen=True)
class Scene:
    """One simulation, as data. What has a default is calm with it."""

    seed: int
    cluster: str = "three"
    removed: tuple[int, ...] = (0,)
    faults: tuple[Fault, ...] = ()
    copies: int = 1
    """How often each notification is delivered: peers of Alertmanager overlap."""
    resolved_first: bool = False
    relapses: bool = False
    """After the cure another member is removed, and a new alert says so."""
    store: Store = "memory"
    """"shared": two replicas on one ledger."""
    reply: Reply = ""
    apart: float = 0.0
    """Seconds by which the second replica's wall clock is ahead."""

    @property
    def setup(self) -> EtcdSetup:
        return SETUPS[self.cluster]

    @property
    def max_members(self) -> int:
        return len(self.removed)

    @property
    def is_calm(self) -> bool:
        """Nothing goes wrong but the one thing the alert is about."""
        is_agreed = self.reply in ("", "approve", "twice")
        is_exact = not self.apart  # or a replica loses patience by a clock that is not the other's
        return not self.faults and not self.resolved_first and not self.relapses and is_agreed and is_exact

    @property
    def asks(self) -> bool:
        return self.reply != ""

    @property
    def skew(self) -> float:
        """How wrong the wall clocks get."""
        return max(abs(self.apart), 3600.0 if any(f.name in CLOCKS for f in self.faults) else 0.0)


def draw(
    seed: int, always: tuple[str | Fault, ...] = (), cluster: str = "", store: Store | None = None, reply: Reply = ""
) -> Scene:
    """
    The scene of a seed.

    `always` are faults that must be in it (a name: its moment is drawn); `cluster`, `store` and `reply` are drawn too
    where they are not given.
    """
    rng = random.Random(f"scene {seed}")
    kind = rng.choices(["three", "five", "plain", "elsewhere"], [68, 10, 17, 5])[0]
    kind = cluster or kind
    count = rng.choices([0, 1, 2, 3], [8, 37, 32, 23])[0]
    kept: Store = store or rng.choices(STORES, SHARES)[0]
    groups = rng.choices(GROUPS, WEIGHTS_SHARED if kept == "shared" else WEIGHTS_ALONE, k=count)
    names = [rng.choice(group) for group in groups]
    faults = [fault for name in names for fault in _faults(rng, name, kept)]
    copies, resolved_first = rng.choice([1, 1, 2, 3]), rng.random() < 0.03
    relapses = kind == "three" and rng.random() < 0.05
    drawn: Reply = rng.choice(REPLIES) if rng.random() < ASKING and not always else ""
    apart = round(rng.uniform(-300.0, 300.0), 3) if kept == "shared" and rng.random() < APART else 0.0
    forced = [f for given in always if given != "relapse" for f in _forced(rng, given, kept)]
    removed = (0, 1) if kind == "five" else (rng.randrange(3),)
    return Scene(
        seed=seed,
        cluster=kind,
        removed=removed,
        faults=tuple([*faults, *forced][-3:]),
        copies=copies,
        resolved_first=resolved_first and not always,
        relapses=relapses or "relapse" in always,
        store=kept,
        reply=reply or drawn,
        apart=apart,
    )


def _forced(rng: random.Random, given: str | Fault, store: Store) -> list[Fault]:
    return _faults(rng, given, store) if isinstance(given, str) else [given]


def _faults(rng: random.Random, name: str, store: Store) -> list[Fault]:
    """One fault, or the two that a crash during recovery is made of."""
    if name in ONLY_SHARED and store != "shared":
        name = "store-down"
    if name != "crash-twice":
        return [_fault(rng, name)]
    first, later = rng.randint(1, COMMITS), rng.randint(1, 6)
    kinds = ("crash-before-commit", "crash-after-commit")
    return [Fault(rng.choice(kinds), "commit", first), Fault(rng.choice(kinds), "commit", first + later)]


def _fault(rng: random.Random, name: str) -> Fault:
    if name in AT_WRITE:
        return Fault(name, "send", rng.choices([1, 2, 3, 4, 5, 6], [5, 5, 5, 2, 2, 1])[0])
    if name in AT_COMMIT:
        return Fault(name, "commit", rng.randint(1, COMMITS))
    if name in AT_CLAIM:
        return Fault(name, "claim" if AT_CLAIM[name] == "claim" else "renew", rng.choices([1, 2, 3], [5, 2, 1])[0])
    lasting = rng.choice([5.0, 20.0, 60.0, 200.0])
    if name in PEOPLE and rng.random() < 0.4:
        lasting = 0.0
    moment: Moment = rng.choice(("at", "commit", "send"))
    if moment == "at":
        return Fault(name, moment, round(rng.uniform(0.0, 120.0), 3), lasting)
    if moment == "commit":
        return Fault(name, moment, rng.randint(1, COMMITS), lasting)
    return Fault(name, moment, rng.randint(1, 4), lasting)


@dataclass
class Troubles:
    """Which requests are spoilt just now."""

    scene: Scene
    now: Callable[[], float]
    rng: random.Random
    reads_until: float = 0.0
    reads_answer: str = "500"
    writes_until: float = 0.0
    writes_answer: str = "500"
    logs_until: float = 0.0
    logs_answer: str = "500"
    muted: dict[str, float] = field(default_factory=dict)
    """Addresses that do not answer us, and until when."""
    away: dict[str, float] = field(default_factory=dict)
    """Until when the store does not answer a machine."""
    cut: dict[str, float] = field(default_factory=dict)
    """Until when a machine has no way to the API server."""
    are_reads_spoilt: bool = False
    """Whether any read ever was: only then is it worth noting which went well."""
    is_poisoned: bool = False
    """Whoever reads a log dies of it."""

    def of_transaction(self, number: int) -> str | None:
        return self._spoilt(number, "commit", AT_COMMIT)

    def of_claim(self, moment: str, number: int) -> str | None:
        names = frozenset(name for name, when in AT_CLAIM.items() if when == moment)
        return self._spoilt(number, moment, names)

    def is_away(self, machine: str) -> bool:
        return self.now() < self.away.get(machine, 0.0)

    def is_cut(self, machine: str) -> bool:
        return self.now() < self.cut.get(machine, 0.0)

    def of_write(self, number: int) -> str | None:
        if self.now() < self.writes_until:
            return self.writes_answer
        return self._spoilt(number, "send", AT_WRITE)

    def of_read(self, path: str) -> str | None:
        now = self.now()
        if path.endswith("/log") and now < self.logs_until:
            return self.logs_answer
        if now < self.reads_until and self.rng.random() < 0.7:
            self.are_reads_spoilt = True
            return self.reads_answer
        return None

    def is_mute(self, address: str) -> bool:
        return self.now() < self.muted.get(address, 0.0)

    def _spoilt(self, number: int, moment: str, names: frozenset[str]) -> str | None:
        return next(
            (f.name for f in self.scene.faults if f.moment == moment and f.number == number and f.name in names), None
        )


def acts(scene: Scene) -> list[Fault]:
    """Faults that somebody must carry out, rather than a door that spoils what passes."""
    return [fault for fault in scene.faults if fault.name not in AT_WRITE | AT_COMMIT | AT_CLAIM.keys()]


def describe(scene: Scene) -> dict[str, Any]:
    """The scene in plain words, for a trace."""
    return {
        "cluster": scene.cluster,
        "removed": list(scene.removed),
        "faults": [str(fault) for fault in scene.faults],
        "copies": scene.copies,
        "resolved_first": scene.resolved_first,
        "relapses": scene.relapses,
        "store": scene.store,
        "reply": scene.reply,
        "skew": scene.skew,
    }
