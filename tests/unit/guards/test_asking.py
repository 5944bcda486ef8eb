"""All guards together: they are found, the strictest binds, and silence or an error is a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator import guards
from remediator.model.seams import Facts
from remediator.model.verdicts import Allow, Ask, GuardAnswer, Hold, Reason, Refuse, Verdict, strictest
from remediator.runs.asking import ask_all, binding
from tests.unit.guards.asked import FACTS, facts
from tests.unit.model.made import NOW

reasons = st.sampled_from(list(Reason))
refusals = st.builds(Refuse, reasons, st.text(max_size=5))
questions = st.builds(Ask, reasons, st.text(max_size=5))
holds = st.builds(Hold, st.integers(0, 10_000).map(lambda s: NOW + timedelta(seconds=s)), reasons, st.just("wait"))
verdicts = st.one_of(st.just(Allow()), holds, questions, refusals)


@dataclass
class Says:
    """A guard that always answers the same, or raises it."""

    name: str
    answer: Verdict | Exception

    def __call__(self, facts: Facts) -> Verdict:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_every_guard_module_is_found():
    """Discovery finds one guard for each file, named as its file."""
    files = {p.stem for p in Path(guards.__file__).parent.glob("*.py")} - {"__init__"}

    assert [g.name for g in guards.discover()] == sorted(files)
    assert len(files) == 11


def test_the_allowing_facts_are_allowed_by_all():
    """There is a world in which a run may act, so every refusal below is the change's own doing."""
    answers = ask_all(guards.discover(), FACTS)

    assert {a.guard: a.verdict for a in answers} == {g.name: Allow() for g in guards.discover()}
    assert binding(answers) == Allow()


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyError("x"), AssertionError(), RecursionError()])
def test_a_guard_that_raises_refuses(error):
    """An error is no answer, and no answer is no permission."""
    answers = ask_all([Says("calm", Allow()), Says("broken", error)], FACTS)

    assert answers[0] == GuardAnswer("calm", Allow())
    assert answers[1] == GuardAnswer(
        "broken", Refuse(Reason.GUARD_FAILED, f"guard broken failed: {type(error).__name__}: {error}")
    )
    assert binding(answers) == answers[1].verdict


def test_a_guard_that_raises_does_not_silence_the_others():
    """Every guard is asked, and a report shows all their answers."""
    answers = ask_all([Says("broken", ValueError("no")), Says("later", Ask(Reason.APPROVAL_NEEDED, "ask"))], FACTS)

    assert [a.guard for a in answers] == ["broken", "later"]


def test_no_guards_at_all_is_a_refusal():
    """An empty room of guards is not an open door."""
    assert binding(ask_all([], FACTS)) == Refuse(Reason.GUARD_FAILED, "no guard was asked")


def test_all_reasons_to_stop_are_told_and_the_refusal_binds():
    """A disarmed, frozen, busy, resolved run refuses; each guard still gives its own answer."""
    answers = ask_all(
        guards.discover(),
        facts(usage_frozen=True, usage_armed=False, usage_holder="run-2", run_resolved_at=NOW),
    )
    against = {a.guard: type(a.verdict) for a in answers if a.verdict != Allow()}

    assert against == {"episode": Refuse, "exclusive": Hold, "freeze": Hold, "mode": Refuse}
    assert isinstance(binding(answers), Refuse)


@given(st.lists(verdicts, max_size=8), refusals, st.data())
def test_one_refusal_is_never_outvoted(others, refusal, data):
    """With any guard refusing, in any place and company, the binding verdict is a refusal."""
    place = data.draw(st.integers(0, len(others)))
    said = [*others[:place], refusal, *others[place:]]

    assert isinstance(binding(ask_all([Says(f"g{i}", v) for i, v in enumerate(said)], FACTS)), Refuse)


@given(st.lists(verdicts, max_size=8))
def test_only_all_allowing_allows(said):
    """The binding verdict is a yes exactly when there is an answer and every answer is a yes."""
    verdict = strictest({f"g{i}": v for i, v in enumerate(said)})

    assert isinstance(verdict, Allow) == (bool(said) and all(isinstance(v, Allow) for v in said))


@given(st.lists(st.one_of(st.just(Allow()), holds), max_size=6), questions)
def test_a_question_outranks_every_hold(said, question):
    """A person is asked now, not after the wait."""
    assert strictest({f"g{i}": v for i, v in enumerate([*said, question])}) == question


@given(st.lists(holds, min_size=1, max_size=8))
def test_of_several_holds_the_longest_binds(said):
    """Asking again earlier would find another hold."""
    verdict = strictest({f"g{i}": v for i, v in enumerate(said)})

    assert isinstance(verdict, Hold)
    assert verdict.until == max(h.until for h in said)


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Allow(), {"guard": "g", "verdict": "allow"}),
        (Refuse(Reason.PROTECTED, "no"), {"guard": "g", "verdict": "refuse", "reason": "protected", "detail": "no"}),
        (
            Ask(Reason.APPROVAL_NEEDED, "may I"),
            {"guard": "g", "verdict": "ask", "reason": "approval_needed", "detail": "may I"},
        ),
        (
            Hold(NOW, Reason.FROZEN, "ice"),
            {
                "guard": "g",
                "verdict": "hold",
                "reason": "frozen",
                "detail": "ice",
                "until": "2026-11-20T12:00:00+00:00",
            },
        ),
    ],
)
def test_an_answer_as_plain_data(verdict, told):
    """What reports and the API show of a verdict."""
    assert GuardAnswer("g", verdict).as_json() == told
