"""
The data folder that servers start from, made once: a copy takes a tenth of a second, initdb most of one.

In: nothing. Out: a folder and its password. It never stays: what is made here is removed by whoever asked for it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.postgres import programs

USER = "postgres"
"""The only role there is: the superuser."""


@dataclass(frozen=True)
class Template:
    data: Path
    password: str


@contextmanager
def made_template() -> Iterator[Template]:
    with home_folder() as home:
        password, secret = _secret(home)
        encoding = ("--encoding=UTF8", "--locale=C")
        access = ("--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}")
        # Not synced: a kill leaves what the kernel has, and the machine is not what these tests crash.
        programs.run("initdb", "--no-sync", *encoding, *access, "-D", home / "data", home=home)
        yield Template(home / "data", password)


@contextmanager
def home_folder() -> Iterator[Path]:
    """A folder that the servers' user may enter; our own temporary files are out of its reach where we are root."""
    home = Path(tempfile.mkdtemp(prefix="remediator-postgres-", dir="/tmp" if os.geteuid() == 0 else None))
    try:
        _give_away(home)
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    _give_away(folder)


def _secret(home: Path) -> tuple[str, Path]:
    """A password, and the file that tells it to initdb."""
    password, path = secrets.token_hex(16), home / "password"
    path.touch(0o600)
    path.write_text(password)
    _give_away(path)
    return password, path


def _give_away(path: Path) -> None:
    user = programs.owner()
    if user:
        os.chown(path, user.pw_uid, user.pw_gid)
