"""
What a system is: how its target is found, surveyed, diagnosed, planned for, acted on and judged well.

A value, not a base class. One module in `remediator/systems/` makes one `SYSTEM`, and discovery finds it.
Looking (`locate`, `survey`) is asynchronous and read-only; judging (`probes`, `plan`, `health`) is pure, over
one survey, so every judgement can be repeated from what was recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from remediator.model.evidence import Evidence
from remediator.model.objects import ObjectRef
from remediator.model.plans import Effect, Plan, Step
from remediator.model.seams import ReadAccess, WriteAccess
from remediator.model.verdicts import Reason

F = TypeVar("F")


# --- locating ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Located:
    """Exactly one live object."""

    target: ObjectRef


@dataclass(frozen=True)
class NotLocated:
    """No object, or more than one, or one this system does not cover."""

    reason: Reason
    detail: str


Locate = Callable[[ReadAccess, Mapping[str, str]], Awaitable[Located | NotLocated]]
"""From an alert's labels to the target. The namespace was checked against the rule's literal scope before."""


# --- surveying, judging ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Surveyed(Generic[F]):
    """One look at the whole system. `notes` must be remembered until the next look (JSON values only)."""

    facts: F
    notes: Mapping[str, Any] = field(default_factory=dict)


Survey = Callable[[ReadAccess, ObjectRef, Mapping[str, Any]], Awaitable[Surveyed[F]]]
"""Looks at a located target, with the notes of the last look. What cannot be read becomes unknown in the facts."""


@dataclass(frozen=True)
class Probe(Generic[F]):
    """One question about a survey. `judge` never does I/O."""

    name: str
    judge: Callable[[F], Evidence]


@dataclass(frozen=True)
class Health:
    """Whether the target is well, and in words what was seen."""

    met: bool
    seen: str


# --- planning ----------------------------------------------------------------------------------------------


class ParameterKind(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DURATION = "duration"


@dataclass(frozen=True)
class Parameter:
    """A value a rule may give a remedy under `with:`. A duration is given as text and arrives as seconds."""

    kind: ParameterKind
    default: str | int | bool | float
    meaning: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Draft:
    """A remedy's steps for what the survey saw. `ask` not empty: a person must agree whatever the mode."""

    summary: str
    steps: tuple[Step, ...]
    arithmetic: tuple[str, ...] = ()
    ask: str = ""


@dataclass(frozen=True)
class NoDraft:
    """The fault is proven, and this remedy has no safe way."""

    reason: Reason
    detail: str


@dataclass(frozen=True)
class Remedy(Generic[F]):
    name: str
    what: str
    parameters: Mapping[str, Parameter]
    plan: Callable[[F, Mapping[str, Any]], Draft | NoDraft]


# --- acting ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """The preconditions hold on a fresh read. `intent` recognises the effect later (JSON values only)."""

    intent: Mapping[str, Any]


@dataclass(frozen=True)
class AlreadyDone:
    """There is nothing left to do for this step."""

    detail: str


@dataclass(frozen=True)
class Blocked:
    """A precondition does not hold: the plan no longer fits the world."""

    reason: Reason
    detail: str


Prepared = Ready | AlreadyDone | Blocked


@dataclass(frozen=True)
class Done:
    changed: bool
    detail: str


@dataclass(frozen=True)
class Retry:
    """Not yet: ask again after `after` seconds, until the step's deadline."""

    after: float
    detail: str


@dataclass(frozen=True)
class Failed:
    reason: Reason
    detail: str


StepResult = Done | Retry | Failed


class Found(StrEnum):
    """What the world says about an intent without an outcome."""

    DONE = "done"
    NOT_DONE = "not_done"
    UNKNOWN = "unknown"


class Verb(Protocol):
    """One thing that can be done. It looks before it acts, acts once, and can recognise its own effect."""

    effect: Effect

    async def prepare(self, read: ReadAccess, run_id: str, step: Step) -> Prepared: ...

    async def apply(self, write: WriteAccess, step: Step, intent: Mapping[str, Any]) -> StepResult:
        """Only ever called behind a fresh permit and after the intent is durable. Waiting verbs answer Retry."""
        ...

    async def probe(self, read: ReadAccess, run_id: str, step: Step, intent: Mapping[str, Any]) -> Found: ...


@dataclass(frozen=True)
class System(Generic[F]):
    """Everything Remediator knows about curing one system. `survey` may be empty for a room of verbs only."""

    name: str
    what: str
    verbs: Mapping[str, Verb] = field(default_factory=dict)
    locate: Locate | None = None
    survey: Survey[F] | None = None
    probes: tuple[Probe[F], ...] = ()
    fault: str = ""
    remedies: Mapping[str, Remedy[F]] = field(default_factory=dict)
    health: Callable[[F, Plan | None], Health] | None = None
    """Whether the target is well; with the plan that was carried out, whether it is as well as before or better."""
    facts_json: Callable[[F], Mapping[str, Any]] | None = None
    """The survey as plain data, for the report and for CEL conditions."""


AnySystem = System[Any]
