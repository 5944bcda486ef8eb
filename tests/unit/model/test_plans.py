"""A plan's digest covers all that it would do."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.objects import CLAIM, POD, VOLUME, ObjectRef
from remediator.model.plans import Change, Effect, Plan, Step
from tests.unit.model.made import A_CLAIM, leaves, make_plan, make_step

words = st.text(max_size=12)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)
refs = st.builds(ObjectRef, st.sampled_from([POD, CLAIM, VOLUME]), words, words, words)
steps = st.builds(
    Step,
    seq=st.integers(0, 20),
    verb=words,
    target=refs,
    args=st.dictionaries(words, json_values, max_size=3),
    effect=st.sampled_from(Effect),
    timeout=st.integers(0, 10**6).map(lambda ms: timedelta(milliseconds=ms)),
    why=words,
    changes=st.lists(st.builds(Change, words, words, words), max_size=2).map(tuple),
    requires=st.lists(words, max_size=2).map(tuple),
    may_touch=st.lists(refs, max_size=2).map(tuple),
)
plans = st.builds(
    Plan,
    words,
    words,
    refs,
    words,
    st.lists(steps, min_size=1, max_size=3).map(tuple),
    words,
    st.lists(words, max_size=2).map(tuple),
)


@given(plans)
def test_a_plan_survives_the_journal_with_its_digest(plan):
    """Through JSON text and back: the same plan, and the same digest."""
    again = Plan.from_json(json.loads(json.dumps(plan.as_json())))

    assert again == plan
    assert again.digest == plan.digest


def changed(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
    return 1 if value is None else value + 1


@given(plans, st.data())
def test_any_change_changes_the_digest(plan, data):
    """Whichever value anywhere in the plan becomes another, the digest does too."""
    told = plan.as_json()
    changeable = [path for path, value in leaves(told).items() if path[-1] not in ("effect", "namespaced")]
    path = data.draw(st.sampled_from(changeable))
    other = copy.deepcopy(told)
    place = other
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = changed(place[path[-1]])

    if json.dumps(other, sort_keys=True) != json.dumps(told, sort_keys=True):
        assert Plan.from_json(other).digest != plan.digest


@pytest.mark.parametrize(
    "change",
    [
        {"effect": Effect.NONE},
        {"timeout": timedelta(seconds=60, microseconds=1)},
        {"may_touch": ()},
        {"may_touch": (A_CLAIM, A_CLAIM)},
        {"requires": ("no_alarm", "quorum_holds")},
        {"args": {"backup": ""}},
        {"args": {}},
        {"changes": ()},
        {"target": replace(A_CLAIM, uid="uid-other")},
        {"target": replace(A_CLAIM, resource=POD)},
    ],
)
def test_the_digest_covers_each_part_of_a_step(change):
    """Effect, time, reach, preconditions and their order, arguments, incarnation: all are approved together."""
    assert make_plan(make_step(**change)).digest != make_plan(make_step()).digest


def test_the_order_of_steps_is_part_of_the_digest():
    """The same steps the other way round are another plan."""
    first, second = make_step(0), make_step(1, verb="kubernetes.delete_pod")

    assert make_plan(first, second).digest != make_plan(second, first).digest


def test_the_order_of_arguments_is_not():
    """Two mappings that are equal are one plan."""
    one, other = make_step(args={"a": 1, "b": 2}), make_step(args={"b": 2, "a": 1})

    assert make_plan(one).digest == make_plan(other).digest


@pytest.mark.parametrize(
    ("effect", "writes"), [(Effect.NONE, False), (Effect.IDEMPOTENT, True), (Effect.DESTRUCTIVE, True)]
)
def test_a_step_with_any_effect_is_a_write(effect, writes):
    """Only what leaves nothing behind is no write."""
    assert make_step(effect=effect).is_write is writes


@pytest.mark.parametrize("missing", ["may_touch", "requires", "effect", "target", "timeout_seconds"])
def test_a_step_that_lost_a_part_is_not_read(missing):
    """A journalled step without its reach or its preconditions raises; nothing is assumed."""
    told = make_step().as_json()
    del told[missing]

    with pytest.raises(KeyError, match=missing):
        Step.from_json(told)
