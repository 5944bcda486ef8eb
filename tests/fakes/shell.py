"""The program's own entry point, run in this process, and what it leaves."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import pytest

from remediator.cli import main


@dataclass
class Shell:
    """Runs the program's own entry point and takes what it leaves."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """(exit code, standard output, standard error)."""
        self.monkeypatch.setattr(sys, "argv", ["remediator", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        printed = self.capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    async def beside(self, *arguments: str) -> tuple[int, str, str]:
        """The same, beside a server of this test's loop."""
        return await asyncio.to_thread(self, *arguments)
