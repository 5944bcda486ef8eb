"""One report, one line: whatever is in it, bounded, and without anything that was in memory."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator import logs
from remediator.model.evidence import DiagnosisResult
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
from remediator.model.runs import RunEvent, RunState, StepState
from remediator.model.verdicts import Allow, GuardAnswer, Reason, Refuse
from tests.unit.model.made import NOW, make_diagnosis, make_plan, make_run, make_step

HOSTILE = 'x\r\nlevel=error\n{"event":"forged"}\x1b[31m\x00\u2028\u2029\x85\u202e\x7f'
WHO = {
    "run": "run-1",
    "rule": "etcd-member-removed",
    "alert": "0123456789abcdef01234567@2026-11-20T11:00:00Z",
    "target": "StatefulSet milvus/my-release-etcd",
    "level": "info",
}


@pytest.fixture(autouse=True)
def no_configuration_is_left() -> Any:
    yield
    structlog.reset_defaults()


def configured(form: str = "json", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(form, level, stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def told(report: Any) -> dict[str, Any]:
    """The one line of a report, without its time."""
    stream = configured()
    logs.LogObserver()(report)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    return line


RUN = make_run()
REFUSED = GuardAnswer("mode", Refuse(Reason.DISARMED, "arm it"))


@pytest.mark.parametrize(
    ("report", "event", "said"),
    [
        (Admitted(RUN), "admitted", {}),
        (Located(RUN), "located", {}),
        (
            Diagnosed(RUN, make_diagnosis()),
            "diagnosed",
            {"result": "confirmed", "summary": "a member was removed", "evidence": {"quorum_holds": "yes"}},
        ),
        (
            Planned(RUN, make_plan()),
            "planned",
            {
                "digest": make_plan().digest,
                "summary": "replace my-release-etcd-0",
                "steps": ["kubernetes.delete_claim"],
            },
        ),
        (
            GuardsAnswered(RUN, None, (GuardAnswer("freeze", Allow()), REFUSED)),
            "guards",
            {"about": "plan", "asked": 2, "against": [REFUSED.as_json()]},
        ),
        (
            GuardsAnswered(RUN, make_step(3), ()),
            "guards",
            {"about": "3 kubernetes.delete_claim", "asked": 0, "against": []},
        ),
        (
            StepReported(RUN, make_step(3), 2, StepState.DONE, "deleted", NOW, 1.23456, by_probe=True),
            "step",
            {
                "step": "3 kubernetes.delete_claim",
                "attempt": 2,
                "state": "done",
                "detail": "deleted",
                "seconds": 1.235,
                "by_probe": True,
            },
        ),
        (HealthLooked(RUN, met=False, seen="not Ready"), "health", {"met": False, "seen": "not Ready"}),
        (
            Transitioned(make_run(state=RunState.HELD), RunState.PENDING, RunEvent.HELD, Reason.FROZEN, "ice", NOW),
            "moved",
            {"before": "pending", "event_name": "held", "after": "held", "reason": "frozen", "detail": "ice"},
        ),
        (
            Transitioned(make_run(state=RunState.RUNNING), RunState.PENDING, RunEvent.ALLOWED, None, "", NOW),
            "moved",
            {"before": "pending", "event_name": "allowed", "after": "running", "reason": "", "detail": ""},
        ),
    ],
)
def test_each_report_is_one_line_with_its_ids(report, event, said):
    """Run, rule, alert and target stand in every line."""
    assert told(report) == {**WHO, "event": event, **said}


def test_a_run_without_a_target_has_none_in_its_line():
    """It was not located yet."""
    assert "target" not in told(Admitted(make_run(target=None)))


@pytest.mark.parametrize("form", ["json", "console"])
def test_hostile_text_stays_on_its_line(form):
    """Line ends, colours, line separators, direction marks: none of them reaches the log as itself."""
    stream = configured(form)
    run = make_run(episode=HOSTILE, labels={"alertname": HOSTILE}, starts_at=HOSTILE)

    logs.LogObserver()(Diagnosed(run, make_diagnosis(DiagnosisResult.UNKNOWN)))
    logs.LogObserver()(HealthLooked(run, met=False, seen=HOSTILE))
    logs.complain("an observer", ValueError(HOSTILE))

    written = stream.getvalue()
    assert len(written.splitlines()) == 3
    assert written.count("\n") == 3
    if form == "json":
        assert written.isascii()
        assert [line["event"] for line in lines(stream)] == ["diagnosed", "health", "survived"]
    else:
        assert "\u202e" not in written
        assert "\x1b[31m\\x00" not in written


@settings(max_examples=60)
@given(st.text(max_size=80), st.sampled_from(["json", "console"]))
def test_any_text_is_one_line(text, form):
    """Over any text and both forms."""
    stream = configured(form)

    logs.LogObserver()(HealthLooked(make_run(episode=text), met=False, seen=text))

    assert len(stream.getvalue().splitlines()) == 1
    structlog.reset_defaults()


@pytest.mark.parametrize(("length", "kept"), [(logs.LONGEST, logs.LONGEST), (logs.LONGEST + 1, logs.LONGEST + 1)])
def test_a_value_is_capped(length, kept):
    """The cap itself is whole; one more is cut and marked."""
    seen = told(HealthLooked(RUN, met=False, seen="x" * length))["seen"]

    assert len(seen) == kept
    assert seen.endswith("…") is (length > logs.LONGEST)


def test_values_inside_values_are_capped_too():
    """A guard's detail is as long as whoever wrote it likes."""
    long = GuardAnswer("mode", Refuse(Reason.DISARMED, "x" * 10**6))

    line = told(GuardsAnswered(RUN, None, (long,)))

    assert len(line["against"][0]["detail"]) == logs.LONGEST + 1


def fail_with(secret: str) -> Exception:
    try:
        token = {"password": secret}
        token["missing"]
    except KeyError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_carries_no_value_of_a_variable(form):
    """The canary was in a local variable when the error was raised."""
    canary = "canary-5f2b9c"
    stream = configured(form)

    logs.complain("an observer", fail_with(canary))

    assert canary not in stream.getvalue()
    assert "KeyError" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1


def test_a_complaint_names_what_failed_and_where():
    """Program and person both find the place."""
    stream = configured()

    logs.complain("an observer", fail_with("x"))
    (line,) = lines(stream)

    assert (line["event"], line["what"], line["error"], line["level"]) == (
        "survived",
        "an observer",
        "KeyError: 'missing'",
        "error",
    )
    assert line["exception"][0]["frames"][-1]["name"] == "fail_with"


@pytest.mark.parametrize(("level", "count"), [("debug", 1), ("info", 1), ("warning", 0), ("ERROR", 0)])
def test_the_level_is_a_threshold(level, count):
    """Reports are information; whatever the case the level is written in."""
    stream = configured(level=level)

    logs.LogObserver()(Admitted(RUN))

    assert len(lines(stream)) == count
