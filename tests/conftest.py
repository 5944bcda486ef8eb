"""What every test has: the project's root on the path, no leaked task, and honest skips for missing programs."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

PACKAGES = {
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "etcd": "etcd-server",
    "etcdctl": "etcd-client",
    "kubectl": "kubernetes-client",
}
"""The Debian package of each real program that some tests need."""
_missing: dict[str, int] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("real"):
        for program in marker.args:
            if shutil.which(program) is None:
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
