"""What a person reads in a shell: it fits, it is plain text, and hostile text stays text."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.model.evidence import Answer, Diagnosis, DiagnosisResult, Weight
from remediator.model.ledger import Trace
from remediator.model.plans import Effect
from remediator.model.reports import (
    Admitted,
    Diagnosed,
    GuardsAnswered,
    HealthLooked,
    Located,
    Planned,
    StepReported,
    Transitioned,
)
from remediator.model.runs import RunEvent, RunState, StepRecord, StepState
from remediator.model.verdicts import Allow, GuardAnswer, Hold, Reason
from remediator.terminal.page import evidence_lines, plan_lines, whole_run, wrap
from remediator.terminal.paint import Paint, wants_colour
from remediator.terminal.story import Story
from remediator.terminal.tables import cut, table
from remediator.web.rendering import run_json, whole_run_json
from tests.unit.model.made import NOW, make_diagnosis, make_evidence, make_plan, make_run, make_step

PLAIN, PAINTED = Paint(False), Paint(True)
HOSTILE = "x\r\n\x1b[31mforged\x1b]0;title\x07\x00\u2028\u202e" + "y" * 300
CODES = re.compile(r"\x1b\[[0-9;]*m")
COLUMNS = ["id", "state", "reason", "rule", "target", "created_at"]


def is_plain(text: str) -> bool:
    """Nothing in it moves a cursor or turns a direction."""
    return all(line.isprintable() for line in text.split("\n"))


# --- tables ------------------------------------------------------------------------------------------------


def test_a_table_has_a_head_and_a_line_for_each_row():
    """Columns are aligned, and what is not there is a dash."""
    rows = [{"id": "run-1", "state": "held", "created_at": None}, {"id": "run-22", "state": "", "created_at": "now"}]

    assert table(rows, ["id", "state", "created_at"], 80).split("\n") == [
        "ID      STATE  CREATED AT",
        "run-1   held   -",
        "run-22  -      now",
    ]


def test_no_rows_are_said_in_a_word():
    """Not an empty head."""
    assert table([], COLUMNS, 80) == "none"


def test_a_list_of_runs_fits_80_columns_with_whole_ids():
    """The first column is what is copied; the widest of the others gives way."""
    rows = [run_json(make_run(id=f"run-0192f3c1a2b4-9f3e1c0{n}", rule="r" * 63)) for n in range(3)]

    lines = table(rows, COLUMNS, 80).split("\n")

    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1:]] == [row["id"] for row in rows]
    assert "…" in lines[1]


def test_control_characters_in_a_cell_are_replaced():
    """A row is one line, whatever is in it."""
    text = table([{"id": "run-1", "rule": HOSTILE}], ["id", "rule"], 80)

    assert is_plain(text)
    assert len(text.split("\n")) == 2
    assert "x??" in text


@given(
    st.lists(st.fixed_dictionaries({"id": st.just("run-1"), "a": st.text(), "b": st.text()}), min_size=1, max_size=5),
    st.integers(30, 120),
)
def test_any_rows_fit_any_width(rows, width):
    """Over any text: one plain line for each row, none longer than asked."""
    lines = table(rows, ["id", "a", "b"], width).split("\n")

    assert len(lines) == len(rows) + 1
    assert all(len(line) <= width and line.isprintable() for line in lines)


@pytest.mark.parametrize(("text", "shown"), [("", ""), ("abcd", "abcd"), ("abcde", "abc…")])
def test_what_is_cut_ends_in_an_ellipsis(text, shown):
    """Exactly as wide as allowed is whole."""
    assert cut(text, 4) == shown


# --- a page ------------------------------------------------------------------------------------------------


def page(run: Any, steps: Any = (), traces: Any = (), **more: Any) -> str:
    return whole_run({**whole_run_json(run, list(steps), list(traces), ()), **more}, width=80)


@pytest.mark.parametrize("state", sorted(RunState))
def test_a_run_in_every_state_has_a_page_that_fits(state):
    """With and without a diagnosis, a plan and a journal."""
    bare = page(make_run(state=state, target=None))
    whole = page(
        make_run(
            state=state,
            reason=Reason.CURED,
            detail="word " * 60,
            diagnosis=make_diagnosis(),
            plan=make_plan(),
            resolved_at=NOW,
        )
    )

    for text in (bare, whole):
        assert text.startswith(f"run-1  {state}")
        assert max(map(len, text.split("\n"))) <= 80
    assert "  target  not found" in bare
    assert [h for h in ("Evidence", "Plan", "Journal", "History") if h in whole.split("\n")] == ["Evidence", "Plan"]


def test_a_page_tells_the_whole_story_in_order():
    """What was seen, planned and done, and how it moved."""
    record = StepRecord(
        "run-1", 0, 1, "kubernetes.delete_claim", Effect.DESTRUCTIVE, StepState.DONE, {}, NOW, NOW, NOW, by_probe=True,
        detail="deleted",
    )  # fmt: skip
    traces = [
        Trace(NOW, "pending", "held", "held", "frozen", "ice"),
        Trace(NOW, "held", "due", "pending", "", ""),
        Trace(NOW, "pending", "held", "held", "frozen", "ice"),
        Trace(NOW, "pending", "allowed", "running", "", ""),
    ]

    text = page(make_run(diagnosis=make_diagnosis(), plan=make_plan()), [record], traces)

    assert text == "\n".join(
        [
            "run-1  pending",
            "  rule    etcd-member-removed",
            "  alert   KubePodCrashLooping, firing since 2026-11-20T11:00:00Z",
            "  target  StatefulSet milvus/my-release-etcd",
            "",
            "Evidence",
            "  ✓ Is it so that quorum_holds?",
            "      what quorum_holds saw",
            "",
            "Plan",
            "  replace my-release-etcd-0",
            "    Σ now: 2 voters, 2 healthy, quorum 2",
            "   1. kubernetes.delete_claim  destroys",
            "      on PersistentVolumeClaim milvus/data-my-release-etcd-0",
            "      the data directory carries the removed id",
            "      - PersistentVolumeClaim data: bound to pv-0",
            "      + PersistentVolumeClaim data: deleted, its volume kept",
            f"  digest {make_plan().digest[:16]}",
            "",
            "Journal",
            "  12:00:00   1. kubernetes.delete_claim  done  (seen by a probe)",
            "              deleted",
            "",
            "History",
            "  12:00:00  held  frozen  ice  (×2)",
            "  12:00:00  running",
        ]
    )


def test_hostile_text_in_a_run_stays_text():
    """Labels, times and details are the sender's: none of them moves the cursor or makes a line of its own."""
    run = make_run(labels={"alertname": HOSTILE}, starts_at=HOSTILE, detail=HOSTILE, diagnosis=make_diagnosis())

    text = page(run)

    assert is_plain(text)
    assert max(map(len, text.split("\n"))) <= 80
    assert not any(line.startswith("forged") for line in text.split("\n"))


@given(st.text(max_size=200))
def test_any_text_is_wrapped_into_plain_lines_that_fit(text):
    """Over any text; nothing at all still gives the line's beginning."""
    lines = wrap(text, 40, "  first ", "    ")

    assert all(len(line) <= 40 and line.isprintable() for line in lines)
    assert lines[0].startswith("  first")


# --- evidence ----------------------------------------------------------------------------------------------


def told(*evidence: Any, paint: Paint = PLAIN) -> list[str]:
    return list(evidence_lines([e.as_json() for e in evidence], paint, 80))


def test_proofs_are_told_with_what_was_seen_and_excluded_lookalikes_share_a_line():
    """A page of twenty `no` would hide the one that matters."""
    assert told(
        make_evidence(),
        make_evidence(Answer.NO, Weight.LOOKALIKE, "disk_fault"),
        make_evidence(Answer.NO, Weight.LOOKALIKE, "quorum_lost"),
        make_evidence(Answer.UNKNOWN, probe="no_alarm"),
        make_evidence(Answer.YES, Weight.LOOKALIKE, "oom"),
    ) == [
        "  ✓ Is it so that quorum_holds?",
        "      what quorum_holds saw",
        "  ? Is it so that no_alarm?",
        "      what no_alarm saw",
        "  ✓ Is it so that oom?",
        "      what oom saw",
        "  ✓ Is it anything that looks like this?",
        "      no: disk_fault, quorum_lost",
    ]


@pytest.mark.parametrize(
    ("answer", "weight", "mark"),
    [
        (Answer.YES, Weight.REQUIRED, "\x1b[32m✓"),
        (Answer.NO, Weight.REQUIRED, "\x1b[31m✗"),
        (Answer.UNKNOWN, Weight.REQUIRED, "\x1b[33m?"),
        (Answer.YES, Weight.LOOKALIKE, "\x1b[31m✓"),
        (Answer.UNKNOWN, Weight.LOOKALIKE, "\x1b[33m?"),
        (Answer.NO, Weight.OPTIONAL, "\x1b[31m✗"),
    ],
)
def test_colour_says_what_an_answer_means_for_the_fault(answer, weight, mark):
    """A look-alike's yes is bad news."""
    assert mark in told(make_evidence(answer, weight), paint=PAINTED)[0]


# --- colour ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terminal", "environ", "wants"),
    [
        (True, {}, True),
        (True, {"TERM": "xterm"}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_only_where_a_person_can_see_it(terminal, environ, wants):
    """On a terminal, and not where NO_COLOR says no; an empty one says nothing."""
    assert wants_colour(terminal, environ) is wants


def test_paint_that_is_off_leaves_no_trace():
    """Plain text is the text itself."""
    assert (PLAIN("x", "bad"), PAINTED("x", "bad")) == ("x", "\x1b[31mx\x1b[0m")


# --- a story -----------------------------------------------------------------------------------------------


def everything_told(run: Any, words: str) -> list[Any]:
    frozen = GuardAnswer("freeze", Hold(NOW, Reason.FROZEN, words))
    step = make_step(why=words)
    return [
        Admitted(run),
        Located(run),
        Diagnosed(run, Diagnosis(DiagnosisResult.CONFIRMED, Reason.CONFIRMED, words, (make_evidence(),))),
        Planned(run, make_plan(step, summary=words)),
        GuardsAnswered(run, None, (frozen, GuardAnswer("mode", Allow()))),
        GuardsAnswered(run, None, (GuardAnswer("mode", Allow()),)),
        GuardsAnswered(run, step, (frozen,)),
        StepReported(run, step, 1, StepState.INTENT, words, NOW),
        *(
            StepReported(run, step, 1, s, words, NOW, 1.0, by_probe=True)
            for s in StepState
            if s is not StepState.INTENT
        ),
        HealthLooked(run, met=False, seen=words),
        HealthLooked(run, met=True, seen=words),
        *(
            Transitioned(make_run(state=state), RunState.PENDING, RunEvent.DUE, Reason.CURED, words, NOW)
            for state in RunState
        ),
    ]


def story(*reports: Any, paint: Paint = PLAIN) -> list[str]:
    said: list[str] = []
    teller = Story(said.append, paint, 80)
    for report in reports:
        teller(report)
    return said


@pytest.mark.parametrize("paint", [PLAIN, PAINTED])
@pytest.mark.parametrize("words", ["a word " * 40, HOSTILE, ""])
def test_every_report_is_told_in_plain_lines_of_80_columns(paint, words):
    """Whatever is in them; colour takes no room and is the only thing that is not text."""
    run = make_run(labels={"alertname": words, "namespace": words, "pod": words})

    lines = [CODES.sub("", line) for line in story(*everything_told(run, words), paint=paint)]

    assert max(map(len, lines)) <= 80
    assert all(line.isprintable() for line in lines)


def test_colour_changes_no_word_of_a_story():
    """Painted and stripped, it is the plain one."""
    reports = everything_told(make_run(), "as it was")

    assert [CODES.sub("", line) for line in story(*reports, paint=PAINTED)] == story(*reports)


def test_a_look_that_finds_the_same_is_told_once():
    """And one that finds something else tells only what has changed."""
    run = make_run()
    first = make_diagnosis(DiagnosisResult.UNKNOWN, make_evidence(Answer.UNKNOWN, probe="a"), make_evidence(probe="b"))
    then = make_diagnosis(DiagnosisResult.CONFIRMED, make_evidence(probe="a"), make_evidence(probe="b"))

    assert story(Diagnosed(run, first), Diagnosed(run, first)) == story(Diagnosed(run, first))
    again = story(Diagnosed(run, first), Diagnosed(run, then))[len(story(Diagnosed(run, first))) :]
    assert again[1] == "Evidence, looked at again"
    assert not any("Is it so that b" in line for line in again)


def test_a_wait_that_repeats_itself_is_told_once():
    """Every few seconds the same hold would fill the screen."""
    held = Transitioned(make_run(state=RunState.HELD), RunState.PENDING, RunEvent.HELD, Reason.FROZEN, "ice", NOW)

    assert story(held, held, held) == ["  waits: frozen: ice"]


def test_a_plan_without_a_digest_is_told_without_one():
    """A draft has none yet."""
    told_plan = make_plan(make_step(timeout=timedelta(seconds=1))).as_json()

    assert not any("digest" in line for line in plan_lines(told_plan, PLAIN, 80))
