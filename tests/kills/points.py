"""
Every place at which a life may end, by name, and which of them the lives of one trial end at.

In: a seed. Out: a plan: what the trial is about, and for each life the order to die. Pure; the same seed gives the same
plan. Each seed features the next point of the list, so that kills are spread evenly over all of them.

A name is made of what is going on and how far it has come. A transaction: `before` it is asked for, `inside` it, right
before its `commit`, right after it was `committed`, and `after` its answer arrived. A call: `before` it leaves, when it
was `sent` and has arrived, when it is `applied`, when it was `answered`; and `late`, applied only after the next life
began.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

TRANSACTION = ("before", "inside", "commit", "committed", "after")
VERBS = ("mark", "drop", "turn")
"""An idempotent patch, a destructive delete, a write to the mill's own door."""
ONE_STATEMENT = ("claim", "prune")
"""All others change at least a row and the audit trail."""
MOST_KILLS = 4


@dataclass(frozen=True)
class Point:
    name: str
    scene: str = "plain"
    prelude: tuple[str, ...] = ()
    """Points of which one must have ended the life before, or this one is never reached."""
    most: int = 1
    """It is reached several times in a life: the one that kills is drawn."""
    place: str = ""
    """Where it is, if not where its name says."""
    term: str = ""
    """The process was told to end at this place, and is killed on the way out."""


@dataclass(frozen=True)
class Order:
    """How one life ends."""

    point: str
    place: str
    nth: int = 1
    term: str = ""


@dataclass(frozen=True)
class Plan:
    seed: int
    scene: str
    mills: int
    orders: tuple[Order, ...]
    tries: int = 1000
    """Lives that may vanish with one run in hand: each is killed more often than the default allows."""
    only: str = ""
    """The mill whose run alone comes by the places."""
    planted: str = ""
    """The bug that is in the service, to prove that it would be seen."""


def _transaction(name: str, scene: str = "plain", prelude: tuple[str, ...] = ()) -> Iterator[Point]:
    for phase in TRANSACTION:
        most = 2 if name == "file" or (phase == "inside" and name not in ONE_STATEMENT) else 1
        yield Point(f"{name}.{phase}", scene, prelude, most)


def _applied(verb: str) -> tuple[str, ...]:
    return f"{verb}.applied", f"{verb}.answered", f"settle.{verb}.done.before", f"settle.{verb}.done.inside"


def _not_sent(verb: str) -> tuple[str, ...]:
    return f"intend.{verb}.after", f"intend.{verb}.committed", f"{verb}.before"


def _plain() -> Iterator[Point]:
    for name in ("throw", "prune", "file", "claim", "save.plan", "start", "save.allowed", "save.steps_done"):
        yield from _transaction(name)
    for name in ("save.watch", "save.cured", "intend.rest", "settle.rest.done"):
        yield from _transaction(name)
    for verb in VERBS:
        yield from _transaction(f"intend.{verb}")
        yield from _transaction(f"settle.{verb}.done")


def _recovering() -> Iterator[Point]:
    """Places that are only reached where an earlier life ended in the middle of a step."""
    for verb in VERBS:
        yield from _transaction(f"settle.{verb}.probed_done", prelude=_applied(verb))
        yield from _transaction(f"settle.{verb}.probed_not", prelude=_not_sent(verb))
        for phase in ("before", "sent", "answered"):
            yield Point(f"probe.{verb}.{phase}", prelude=(*_applied(verb), *_not_sent(verb)))
    yield from _transaction("settle.rest.again", prelude=("intend.rest.after", "rest.before", "rest.answered"))


def _by_scene() -> Iterator[Point]:
    """Transactions of runs that go another way than from an alert to its cure."""
    scenes = {
        "resolve": ("resolve",),
        "trouble": ("save.held", "save.due"),
        "ask": ("save.asked", "signal.approve", "save.approved"),
        "deny": ("signal.deny", "save.denied"),
        "expire": ("save.expired",),
        "withdraw": ("signal.cancel", "save.withdrawn"),
        "stop": ("save.stopped",),
        "sick": ("save.gave_up",),
        "disarmed": ("save.refused",),
        "well": ("save.nothing_to_do",),
        "marked": ("intend.already", "settle.already"),
    }
    for scene, names in scenes.items():
        for name in names:
            yield from _transaction(name, scene)


def _calls() -> Iterator[Point]:
    for verb in VERBS:
        for phase in ("before", "sent", "applied", "answered"):
            yield Point(f"{verb}.{phase}")
    for verb in ("mark", "drop"):  # a write with preconditions may arrive whenever it likes
        yield Point(f"{verb}.late")
    for name, most in (("rest", 2), ("look", 5), ("prepare", 4), ("locate", 1)):
        for phase in ("before", "answered"):
            yield Point(f"{name}.{phase}", most=most)
    yield Point("rest.sent", most=2)
    yield Point("read.sent", most=12)
    for phase in ("sent", "applied"):
        yield Point(f"event.{phase}", most=4)


def _told() -> Iterator[Point]:
    """In the middle of telling what was committed: to the metrics, the log, the Events."""
    once = ("Admitted", "Located", "Diagnosed", "Planned")
    often = {"GuardsAnswered": 4, "StepReported": 8, "HealthLooked": 2, "Transitioned": 4}
    for name, most in {**dict.fromkeys(once, 1), **often}.items():
        yield Point(f"told.{name}", most=most)


def _opening() -> Iterator[Point]:
    """While the journal is made, opened again, or brought up to date: at any of its statements."""
    yield Point("open.create", place="open", most=64)
    yield Point("open.reopen", place="open", most=13, prelude=("file.after", "settle.drop.done.after", "drop.applied"))
    yield Point("open.migrate", "older", place="open", most=30)


def _drain() -> Iterator[Point]:
    """Told to end, and killed on the way out."""
    for phase in TRANSACTION:
        yield Point(f"drain.release.{phase}", place=f"release.{phase}", term="rest.answered")
        yield Point(f"drain.settle.{phase}", place=f"settle.mark.done.{phase}", term="mark.before")
    for phase in ("before", "checkpoint", "after"):
        yield Point(f"drain.close.{phase}", place=f"close.{phase}", term="rest.answered")


EVERYWHERE = (*_plain(), *_recovering(), *_by_scene(), *_calls(), *_told(), *_opening(), *_drain())
ANYWHERE = Point("anywhere")
"""Not at a place but at a moment, whatever is going on."""
POINTS = (*EVERYWHERE, ANYWHERE)
BY_NAME = {point.name: point for point in POINTS}


def draw(seed: int) -> Plan:
    rng = random.Random(f"kills {seed}")
    featured = POINTS[seed % len(POINTS)]
    points = [BY_NAME[rng.choice(featured.prelude)]] if featured.prelude else []
    points.append(featured)
    others = [point for point in POINTS if point.scene in ("plain", featured.scene) and not point.prelude]
    points += [rng.choice(others) for _ in range(rng.choice((0, 1, 2, 2, 3)))]
    orders = tuple(Order(p.name, p.place or p.name, rng.randint(1, p.most), p.term) for p in points[:MOST_KILLS])
    mills = rng.choice((1, 1, 1, 3)) if featured.scene == "plain" else 1
    return Plan(seed, featured.scene, mills, orders)


def poisoned(tries: int = 3) -> Plan:
    """One run of three ends whatever life takes it up, with as many tries as a service has by default."""
    order = Order("intend.mark.after", "intend.mark.after")
    return Plan(0, "poison", 3, (order,) * (tries + 2), tries=tries, only=mill_name(0, 0))


def mill_name(seed: int, number: int) -> str:
    return f"mill-{seed}-{number}"
