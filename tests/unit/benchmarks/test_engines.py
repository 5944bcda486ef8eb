"""What is told of the engines: figures, ratios, and who is missing."""

from __future__ import annotations

from tests.benchmarks.engines import summing
from tests.benchmarks.engines.comparing import Compared
from tests.benchmarks.engines.showing import table
from tests.benchmarks.engines.turns import Turn


def told(**turns: list[Turn]) -> dict[str, list[Turn]]:
    nobody: dict[str, list[Turn]] = {
        "sqlite": [],
        "postgres": [],
        "dbos_sqlite": [],
        "dbos_postgres": [],
        "procrastinate": [],
    }
    return nobody | turns


def rates(*found: float) -> list[Turn]:
    return [Turn({"enqueue_per_s": rate}) for rate in found]


def test_a_figure_is_the_middle_of_its_rounds() -> None:
    """One slow round does not move it."""
    assert summing.figures(told(sqlite=rates(100, 90, 1))) == {"enqueue_per_s_sqlite": 90}


def test_percentiles_are_over_the_waits_of_all_rounds() -> None:
    """A round's worst is not averaged away."""
    turns = [Turn(waits={"first_step_ms": [1.0] * 50}), Turn(waits={"first_step_ms": [1.0] * 49 + [80.0]})]

    found = summing.figures(told(sqlite=turns))

    assert found == {"first_step_ms_p50_sqlite": 1.0, "first_step_ms_p99_sqlite": 1.0 + 79.0 * 0.01}


def test_a_ratio_is_the_middle_of_the_rounds_own() -> None:
    """A round in which the machine was busy slows both halves of one ratio, and not one half of the figure."""
    ours, theirs = rates(100, 20, 100), rates(10, 2, 50)

    assert summing.ratios(told(sqlite=ours, dbos_sqlite=theirs)) == {"enqueue_per_s_sqlite_vs_dbos": 10}


def test_ours_stands_beside_theirs_on_the_same_database() -> None:
    """DBOS on PostgreSQL and procrastinate are held against our PostgreSQL; a figure that one lacks has no ratio."""
    ours = [Turn({"enqueue_per_s": 30.0, "step_ms": 3.0})]
    theirs = {"dbos_postgres": [Turn({"enqueue_per_s": 10.0, "step_ms": 6.0})], "procrastinate": rates(15.0)}

    assert summing.ratios(told(postgres=ours, sqlite=rates(1.0), **theirs)) == {
        "enqueue_per_s_postgres_vs_dbos": 3.0,
        "step_ms_postgres_vs_dbos": 0.5,
        "enqueue_per_s_postgres_vs_procrastinate": 2.0,
    }


def test_who_is_missing_is_named_once_with_the_reason() -> None:
    """The rest of the table stands."""
    figures = {"enqueue_per_s_sqlite": 6898.2}
    missing = dict.fromkeys(["dbos_sqlite", "procrastinate"], "not installed")

    lines = table(Compared(figures, missing, {"postgres": "it broke"})).splitlines()

    assert lines[2].split() == ["durable", "enqueues/s,", "32", "callers", "6,898", *"––––"]
    assert lines[-2:] == [
        "not measured: DBOS SQLite, procrastinate PostgreSQL: not installed",
        "not measured: ours PostgreSQL: it broke",
    ]
