"""A finding is made small, written down as one line, and played again from it."""

from __future__ import annotations

import functools
import shlex

import pytest

from tests.simulation.__main__ import main
from tests.simulation.faults import Fault, Scene, draw
from tests.simulation.running import Result, run_seed, shrink_result
from tests.simulation.scenes import as_line, from_line
from tests.simulation.shrinking import shrink

BUG, PROMISE = "by-name", "incarnation"


@functools.cache
def found() -> Result:
    """What the planted bug breaks in the first scene that has more faults than it takes to see it."""
    results = (run_seed(seed, planted=BUG) for seed in range(100))
    return next(result for result in results if broken(result) and len(result.scene.faults) > 1)


def broken(result: Result) -> bool:
    return PROMISE in {violation.promise for violation in result.violations}


def test_everything_that_a_finding_does_not_need_is_taken_away() -> None:
    """One fault of three matters, and neither its moment nor how long it lasts, nor any option, nor the cluster."""
    needed = Fault("isolate", "at", 73.718, 200.0)
    others = (Fault("lost", "send", 2), Fault("crash", "commit", 17))
    scene = Scene(7, "five", (0, 1), (others[0], needed, others[1]), copies=3, resolved_first=True, relapses=True)

    assert shrink(scene, lambda s: any(f.name == "isolate" for f in s.faults)) == Scene(
        7, faults=(Fault("isolate", "at", 0.0, 5.0),)
    )


def test_what_a_finding_needs_stays() -> None:
    """A scene in which every part matters is as small as it can be."""
    scene = Scene(7, "plain", (2,), (Fault("lost", "send", 2), Fault("freeze", "commit", 3, 5.0)), copies=2)

    assert shrink(scene, lambda s: s == scene) == scene


def test_a_planted_bug_is_shrunk_to_the_fault_that_shows_it() -> None:
    """The smaller scene breaks the same promise, with nothing in it but the pod that somebody made anew."""
    smaller = shrink_result(found(), planted=BUG)

    assert broken(smaller)
    assert [fault.name for fault in smaller.scene.faults] == ["remake-pod"]
    assert smaller.scene == Scene(found().seed, faults=smaller.scene.faults)


def test_a_scene_is_read_as_it_was_written() -> None:
    """Whatever a seed draws can be written as one line."""
    drawn = [draw(seed) for seed in range(200)]
    assert [from_line(as_line(scene)) for scene in drawn] == drawn


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"seed": 1, "moon": "full"}', "a scene has no moon"),
        ('{"seed": 1, "cluster": "six"}', "there is no cluster 'six'"),
        ('{"seed": 1, "faults": ["crash soon"]}', "'crash soon' is no fault"),
        ('{"seed": 1, "faults": ["mute at 3 for ever"]}', "'mute at 3 for ever' is no fault"),
    ],
)
def test_a_line_that_is_no_scene_is_refused(line: str, said: str) -> None:
    """What was mistyped is named."""
    with pytest.raises(ValueError, match=said):
        from_line(line)


def test_a_run_over_seeds_shrinks_what_it_finds_and_says_how_to_see_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The command below the finding plays the small scene, which breaks the promise again."""
    code = main(["--seeds", "1", "--first", str(found().seed), "--planted", BUG, "--jobs", "1"])
    commands = [line for line in capsys.readouterr().out.splitlines() if "--scene" in line]
    assert (code, len(commands)) == (1, 1)

    assert main(shlex.split(commands[0].partition("tests.simulation ")[2])) == 1
    assert f"{PROMISE}: " in capsys.readouterr().out
