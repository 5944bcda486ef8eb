"""
The shape of a rule file, and its JSON Schema for editors.

In: a file's plain values. Out: a frozen `RuleFile` whose texts are already durations, limits, matchers and
conditions. It knows no system and no cluster: what must fit those is looked at in `checking`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from remediator.model.objects import is_object_name
from remediator.model.rules import Condition, Limit, Matcher
from remediator.model.scopes import LABEL, is_label_name
from remediator.rulebook.conditions import MAX_TEXT, parse_condition
from remediator.rulebook.durations import DURATION_PATTERN, LIMIT_PATTERN, parse_duration, parse_limit
from remediator.rulebook.matchers import parse_matcher
from remediator.rulebook.problems import Misread

MISREAD = "misread"
"""The type of a validation error whose context carries our own words and the position in the text."""

T = TypeVar("T")


def misread(message: str, offset: int = 0) -> PydanticCustomError:
    return PydanticCustomError(MISREAD, "{message}", {"message": message, "offset": offset})


def _text_read_by(parse: Callable[[str], T], wanted: str = "text") -> PlainValidator:
    def read(value: Any) -> T:
        if not isinstance(value, str):
            raise PydanticCustomError("string_type", "expected text", {"wanted": wanted})
        try:
            return parse(value)
        except Misread as wrong:
            raise misread(wrong.message, wrong.offset) from wrong

    return PlainValidator(read)


def _rule_name(text: str) -> str:
    if not is_label_name(text):
        raise Misread(f'bad rule name "{text}"; expected small letters, digits and "-", at most 63 characters')
    return text


def _namespace(text: str) -> str:
    if not (is_label_name(text) and is_object_name(text)):
        raise Misread(f'bad namespace "{text}"; expected a literal name, without wildcards')
    return text


def _json(kind: str, pattern: str = "", **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, **({"pattern": f"^{pattern}$"} if pattern else {}), **more})


_LABEL_PATTERN = LABEL.pattern.removesuffix(r"\Z")

RuleName = Annotated[str, _text_read_by(_rule_name), _json("string", _LABEL_PATTERN)]
Namespace = Annotated[str, _text_read_by(_namespace), _json("string", _LABEL_PATTERN)]
Duration = Annotated[
    timedelta, _text_read_by(parse_duration, 'a duration like "30m"'), _json("string", DURATION_PATTERN)
]
LimitText = Annotated[Limit, _text_read_by(parse_limit, 'a limit like "3 per 1h"'), _json("string", LIMIT_PATTERN)]
MatcherText = Annotated[Matcher, _text_read_by(parse_matcher), _json("string", minLength=3)]
ConditionText = Annotated[Condition, _text_read_by(parse_condition), _json("string", minLength=1, maxLength=MAX_TEXT)]
ShortText = Annotated[str, Field(min_length=1, max_length=500)]


def _usually(parse: Callable[[str], Any], text: str, meaning: str) -> Any:
    """A default that the schema shows as it would be written."""
    return Field(default_factory=lambda: parse(text), json_schema_extra={"default": text}, description=meaning)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class WhereSection(_Section):
    """Where the rule may act."""

    namespaces: tuple[Namespace, ...] = Field(min_length=1, description="Literal names; nothing widens them.")


class RemedySection(_Section):
    """What to do, and its parameters."""

    name: ShortText
    parameters: dict[str, Any] = Field(default_factory=dict, alias="with")


class LimitsSection(_Section):
    """How often runs may start, in any window of that length."""

    per_rule: LimitText = _usually(parse_limit, "3 per 1h", "Starts of this rule on all targets.")
    per_target: LimitText = _usually(parse_limit, "1 per 6h", "Starts of this rule on one target.")


class VerifySection(_Section):
    """When the target counts as cured."""

    within: Duration = _usually(parse_duration, "15m", "It must be healthy by then.")
    steady_for: Duration = _usually(parse_duration, "2m", "And stay so, without a break, for that long.")
    every: Duration = _usually(parse_duration, "5s", "How often to look.")

    @model_validator(mode="after")
    def _fits(self) -> VerifySection:
        if self.steady_for >= self.within:
            raise misread("steady_for is not shorter than within; nothing could ever be verified")
        if self.every > self.within:
            raise misread("every is longer than within; nothing would ever be looked at")
        return self


class RuleFile(_Section):
    """One remediation rule."""

    name: RuleName
    system: ShortText = Field(description="Which system the remedy belongs to.")
    mode: Literal["observe", "approve", "auto"] = Field(default="observe", description="Who may start the remedy.")
    match: tuple[MatcherText, ...] = Field(min_length=1, description="Alertmanager matchers; all must match.")
    where: WhereSection
    when: tuple[ConditionText, ...] = Field(default=(), description="CEL over labels, evidence and facts.")
    remedy: RemedySection
    limits: LimitsSection = Field(default_factory=LimitsSection)
    cooldown: Duration = _usually(parse_duration, "30m", "How long a target is left alone after a run.")
    patience: Duration = _usually(parse_duration, "15m", "How long a run may wait before a person is told.")
    verify: VerifySection = Field(default_factory=VerifySection)
    runbook: str = Field(default="", max_length=500, description="Where a person reads on.")

    @field_validator("match", mode="after")
    @classmethod
    def _means_something(cls, matchers: tuple[Matcher, ...]) -> tuple[Matcher, ...]:
        if all(matcher.accepts("") for matcher in matchers):
            raise misread(
                "every matcher also accepts a label that is absent, so the rule would match every alert; "
                'expected at least one like alertname="KubePodCrashLooping"'
            )
        return matchers


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a rule file, for editors that check while one types."""
    schema = RuleFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
