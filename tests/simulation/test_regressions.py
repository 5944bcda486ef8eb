"""What the simulation has found, kept as scenes of their own."""

from __future__ import annotations

import pytest

from tests.simulation.faults import Fault, Scene
from tests.simulation.running import Result, run_scene
from tests.simulation.scenes import from_line

ADDS_LEARNER, PROMOTES_TOO_SOON, PROMOTES = 2, 5, 6
"""Which of the writes of a plain image's run these are; etcd refuses to promote a learner that is behind."""


SCENES = (
    '{"seed": 0, "cluster": "plain", "faults": ["applied-lost send 6"]}',
    '{"seed": 0, "faults": ["writes-500 send 1 for 20 s"]}',
    # The reclaim policy was put back and seen to be, and the claim was deleted all the same.
    (
        '{"seed": 69, "cluster": "five", "removed": [0, 1], "store": "shared",'
        ' "faults": ["fight commit 13 for 5 s", "crash-before-send send 2"]}'
    ),
    # A worker that woke after its lease claimed its own run, and drove it twice at once.
    (
        '{"seed": 520, "removed": [1], "copies": 3, "store": "shared", "apart": 2.636,'
        ' "faults": ["halt commit 12 for 5 s", "cut-store at 26.781 for 20 s"]}'
    ),
    # A cancelled run that could not read its guards' facts was taken up eight times a second.
    '{"seed": 5262, "faults": ["cancel at 60 for 5 s", "reads-429 send 1 for 60 s"]}',
    # A run in quarantine kept silent about the step that nobody knows the outcome of.
    '{"seed": 5314, "cluster": "five", "removed": [0, 1], "faults": ["poison at 29 for 5 s"]}',
)
"""Findings as they were shrunk: what stands behind `--scene` in the command that replays one."""


@pytest.mark.parametrize("line", SCENES)
def test_a_scene_that_once_broke_a_promise_breaks_none(line: str) -> None:
    """What was found stays mended."""
    assert run_scene(from_line(line)).violations == ()


def run_with(cluster: str, *faults: Fault) -> Result:
    return run_scene(Scene(0, cluster, faults=faults), keep=True)


def sent(result: Result) -> int:
    return sum(entry["what"] == "sent" for entry in result.history)


def applied(result: Result) -> int:
    return sum(entry["what"] == "handled" and entry["applied"] for entry in result.history)


def ends(result: Result) -> list[str]:
    return [run["reason"] for run in result.history[-1]["runs"].values()]


@pytest.mark.parametrize("answer", ["applied-500", "applied-503", "applied-html", "applied-lost"])
@pytest.mark.parametrize("number", [ADDS_LEARNER, PROMOTES_TOO_SOON, PROMOTES])
def test_a_membership_change_whose_answer_proves_nothing_is_looked_for(number: int, answer: str) -> None:
    """etcd has done it and a 5xx came back: it is journalled as done, and done once."""
    result = run_with("plain", Fault(answer, "send", number))
    assert (result.violations, ends(result), applied(result)) == ((), ["cured"], 5)


@pytest.mark.parametrize("cluster", ["three", "plain"])
@pytest.mark.parametrize("answer", ["writes-500", "writes-lost"])
def test_a_server_that_takes_no_write_is_not_hammered(cluster: str, answer: str) -> None:
    """Twenty seconds without a write that arrives cost a handful of attempts, and the run is cured all the same."""
    result = run_with(cluster, Fault(answer, "send", 1, 20.0))
    assert (result.violations, ends(result)) == ((), ["cured"])
    assert sent(result) <= 10
