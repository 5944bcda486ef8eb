"""What tests of several rooms have in common."""

from __future__ import annotations

import pytest

from tests.fakes.shell import Shell


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    for name in ("REMEDIATOR_URL", "REMEDIATOR_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return Shell(monkeypatch, capsys)
