"""What evidence proves, and what it never proves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.evidence import Answer, Diagnosis, DiagnosisResult, Evidence, Weight, conclude
from remediator.model.verdicts import Reason
from tests.unit.model.made import make_evidence

FAULT = "the valve is stuck"
pieces = st.builds(
    make_evidence,
    st.sampled_from(Answer),
    st.sampled_from(Weight),
    st.text("abcdef", min_size=1, max_size=4),
    st.sampled_from([Reason.NOT_CONFIRMED, Reason.LOOKALIKE, Reason.QUORUM_LOST]),
)

GOOD = make_evidence(probe="stuck")
NOT_THAT = make_evidence(Answer.NO, Weight.LOOKALIKE, "leaks", Reason.LOOKALIKE)


def test_all_evidence_for_the_fault_confirms_it():
    """Every proof is a yes and every look-alike a no."""
    assert conclude([GOOD, NOT_THAT], fault=FAULT) == Diagnosis(
        DiagnosisResult.CONFIRMED, Reason.CONFIRMED, FAULT, (GOOD, NOT_THAT)
    )


def test_no_evidence_is_unknown():
    """A system without probes proves nothing."""
    assert conclude([], fault=FAULT) == Diagnosis(
        DiagnosisResult.UNKNOWN, Reason.EVIDENCE_UNKNOWN, "no probe was asked", ()
    )


def test_a_lookalike_outranks_a_missing_proof_and_an_unknown():
    """What is certainly something else is named, wherever it stands among the evidence."""
    missing = make_evidence(Answer.NO, probe="stuck")
    unknown = make_evidence(Answer.UNKNOWN, probe="old")
    other = make_evidence(Answer.YES, Weight.LOOKALIKE, "leaks", Reason.QUORUM_LOST)

    assert conclude([unknown, missing, other], fault=FAULT) == Diagnosis(
        DiagnosisResult.EXCLUDED, Reason.QUORUM_LOST, "leaks: what leaks saw", (unknown, missing, other)
    )


def test_a_missing_proof_outranks_an_unknown():
    """A certain no needs no second look."""
    missing = make_evidence(Answer.NO, probe="stuck", reason=Reason.CONDITION_NOT_MET)
    unknown = make_evidence(Answer.UNKNOWN, probe="old")

    assert conclude([unknown, missing], fault=FAULT) == Diagnosis(
        DiagnosisResult.EXCLUDED, Reason.CONDITION_NOT_MET, "stuck: what stuck saw", (unknown, missing)
    )


def test_an_optional_no_excludes_the_fault():
    """Optional says what an unknown means, not what a no does."""
    against = make_evidence(Answer.NO, Weight.OPTIONAL, "warm")

    assert conclude([GOOD, against], fault=FAULT).result is DiagnosisResult.EXCLUDED


@pytest.mark.parametrize("weight", [Weight.REQUIRED, Weight.LOOKALIKE])
def test_an_unknown_proof_or_lookalike_means_look_again(weight):
    """Nothing is confirmed while a look-alike may still be true."""
    unknown = make_evidence(Answer.UNKNOWN, weight, "old")

    assert conclude([GOOD, unknown], fault=FAULT) == Diagnosis(
        DiagnosisResult.UNKNOWN, Reason.EVIDENCE_UNKNOWN, "old: what old saw", (GOOD, unknown)
    )


def test_an_unknown_optional_piece_confirms_and_asks_a_person():
    """The person hears what is not known."""
    unknown = make_evidence(Answer.UNKNOWN, Weight.OPTIONAL, "warm")

    assert conclude([GOOD, unknown], fault=FAULT) == Diagnosis(
        DiagnosisResult.CONFIRMED, Reason.CONFIRMED, FAULT, (GOOD, unknown), needs_person=True
    )


@given(st.lists(pieces, max_size=8))
def test_an_unknown_that_counts_never_confirms(evidence):
    """Over any evidence: confirmed only where all required say yes and all look-alikes say no, and there is some."""
    found = conclude(evidence, fault=FAULT)
    proven = all(
        e.answer is (Answer.NO if e.weight is Weight.LOOKALIKE else Answer.YES)
        or (e.weight is Weight.OPTIONAL and e.answer is Answer.UNKNOWN)
        for e in evidence
    )

    assert (found.result is DiagnosisResult.CONFIRMED) == (bool(evidence) and proven)
    assert found.evidence == tuple(evidence)
    if any(e.answer is Answer.UNKNOWN for e in evidence):
        assert found.needs_person or found.result is not DiagnosisResult.CONFIRMED


@given(st.lists(pieces, max_size=6), st.randoms())
def test_the_order_of_evidence_does_not_change_the_result(evidence, random):
    """Only which of several equal reasons is named may depend on it."""
    other = list(evidence)
    random.shuffle(other)

    assert conclude(evidence, fault=FAULT).result is conclude(other, fault=FAULT).result


@given(st.lists(pieces, max_size=4))
def test_a_diagnosis_survives_the_journal(evidence):
    """Through JSON text and back it is the same."""
    found = conclude(evidence, fault=FAULT)

    assert Diagnosis.from_json(json.loads(json.dumps(found.as_json()))) == found


@pytest.mark.parametrize(
    ("weight", "speaks"),
    [(Weight.REQUIRED, Answer.YES), (Weight.OPTIONAL, Answer.YES), (Weight.LOOKALIKE, Answer.NO)],
)
def test_one_answer_speaks_for_the_fault(weight, speaks):
    """For a look-alike it is the no; an unknown never speaks for it."""
    said = {a for a in Answer if make_evidence(a, weight).speaks_for_the_fault}

    assert said == {speaks}


@pytest.mark.parametrize("missing", ["probe", "question", "answer", "seen", "weight", "reason"])
def test_evidence_that_lost_a_part_is_not_read(missing):
    """A record that is not whole raises; nothing is filled in."""
    told = make_evidence().as_json()
    del told[missing]

    with pytest.raises(KeyError, match=missing):
        Evidence.from_json(told)
