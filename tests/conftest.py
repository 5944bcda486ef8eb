"""What every test has: the project's root on the path, no leaked task, and honest skips for missing programs."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.postgres.server import Database, PostgresServer
    from tests.postgres.template import Template

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

PACKAGES = {
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "etcd": "etcd-server",
    "etcdctl": "etcd-client",
    "kubectl": "kubernetes-client",
    "postgres": "postgresql",
}
"""The Debian package of each real program that some tests need."""
OFF_THE_PATH = {"postgres": "/usr/lib/postgresql"}
"""Where Debian keeps a program beside its other versions, in VERSION/bin."""
_missing: dict[str, int] = {}


def _is_installed(program: str) -> bool:
    elsewhere = OFF_THE_PATH.get(program)
    return bool(shutil.which(program) or (elsewhere and list(Path(elsewhere).glob(f"*/bin/{program}"))))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("real"):
        for program in marker.args:
            if not _is_installed(program):
                package = PACKAGES[program]
                if os.environ.get("REMEDIATOR_SKIP_NOTHING"):
                    pytest.fail(f"needs {program}, and nothing may be skipped: apt-get install {package}")
                _missing[package] = _missing.get(package, 0) + 1
                pytest.skip(f"needs {program}: apt-get install {package}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for package, count in sorted(_missing.items()):
        terminalreporter.write_line(f"skipped {count} tests for want of the Debian package {package}")


@pytest.fixture(autouse=True)
async def no_leaked_task(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """A test ends with the tasks it began with; whatever it started, it also ended."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    leaked = [t for t in asyncio.all_tasks() - before if not t.done() and t is not asyncio.current_task()]
    assert not leaked, f"left running: {[t.get_name() for t in leaked]}"


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[Template]:
    from tests.postgres.template import made_template

    with made_template() as made:
        yield made


@pytest.fixture(scope="session")
def postgres_server(postgres_template: Template) -> Iterator[PostgresServer]:
    """One real PostgreSQL for all tests: they make databases in it, and neither stop nor configure it."""
    from tests.postgres.server import server

    with server(postgres_template) as running:
        yield running


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[Database]:
    """An empty database of the test's own."""
    with postgres_server.database() as empty:
        yield empty


@pytest.fixture
def own_postgres(postgres_template: Template) -> Iterator[PostgresServer]:
    """A real PostgreSQL of the test's own, to be killed, configured and replicated."""
    from tests.postgres.server import server

    with server(postgres_template) as running:
        yield running
