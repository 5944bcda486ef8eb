"""
Every scenario file, through the whole service: the alert over HTTP, the practice cluster over HTTP, the shipped rule.

What each must come to is in the file itself; the writes are counted at the cluster, not in our own log.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.demo import rehearse_in, scenarios
from remediator.practice.scenarios import Scenario

SPEED = 25.0


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda s: s.name)
async def test_a_scenario_comes_to_what_its_file_says(scenario: Scenario, tmp_path: Path) -> None:
    """Outcome, reason, words and writes are those the file expects."""
    done = await rehearse_in(tmp_path, scenario, speed=SPEED)

    expected = scenario.expect
    came_to = (done.run.state, done.run.reason, done.run.detail)
    assert (done.run.state, done.run.reason) == (expected.outcome, expected.reason), came_to
    assert expected.detail in done.run.detail
    if expected.writes is not None:
        assert len(done.writes) == expected.writes, done.writes
