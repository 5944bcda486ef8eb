"""
PostgreSQL's own programs: where they are, whom they run as, and how their processes end.

In: a program's name and arguments. Out: what it said, or a server process that is our own child. It runs no server as
root, reads no PG* variable of this shell, and ends only processes that descend from the one it is handed.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")
"""Debian keeps them off the PATH, in one folder for each version."""
PATIENCE = 60.0
_spawner = ThreadPoolExecutor(1, "postgres")
"""
The thread that starts every server. A server ends when the thread that started it ends (see `spawn`), and a thread
that a test borrowed ends with the test's loop; this one ends with the interpreter.
"""


def folder() -> Path:
    """Where initdb, postgres, pg_basebackup and psql are."""
    on_path = shutil.which("postgres")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError("needs postgres: apt-get install postgresql")
    return found[-1].parent


def owner() -> pwd.struct_passwd | None:
    """Whom servers and their files belong to: PostgreSQL refuses root. None: us, who are no root."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None


def run(program: str, *arguments: str | Path, home: Path, password: str = "") -> str:
    """What the program said; an end other than 0 is an error with its words."""
    ended = subprocess.run(
        [*_as_owner(), folder() / program, *arguments],
        env=_environment(password),
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"{program} ended with {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout.strip()


def spawn(arguments: Sequence[str | Path], *, home: Path, log: Path) -> subprocess.Popen[bytes]:
    """
    A postmaster as our child. Whatever becomes of us, it goes too: the kernel sends it SIGQUIT, at which it ends its
    own children and cleans up.
    """
    command = [*_as_owner("--pdeathsig", "QUIT"), folder() / "postgres", *arguments]

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as said:
            return subprocess.Popen(
                command,
                env=_environment(),
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    return _spawner.submit(start).result()


def kill_all(postmaster: subprocess.Popen[bytes]) -> None:
    """
    SIGKILL for the postmaster and its children, as near to one moment as can be; returns when none is left.

    Each child leads a process group of its own, so there is no group to kill. The postmaster is stopped first, lest it
    starts another between our look and the kill, and killed last: a child that survives it would still say to its
    client why it ends, and after a power cut nobody says anything.
    """
    if postmaster.poll() is not None:
        return
    postmaster.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, postmaster.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    children = list(_children(postmaster.pid))
    for pid in (*children, postmaster.pid):
        os.kill(pid, signal.SIGKILL)
    postmaster.wait()
    if not all(ends(pid) for pid in children):
        raise RuntimeError(f"killed processes of PostgreSQL do not end: {children}")


def is_alive(pid: int) -> bool:
    """A zombie is not: it waits for whoever inherited it."""
    state = _state(pid)
    return state is not None and state[0] not in "ZX"


def ends(pid: int) -> bool:
    """Whether that process is gone, now or before our patience is."""
    give_up = time.monotonic() + PATIENCE
    while is_alive(pid):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.002)
    return True


def _as_owner(*options: str) -> list[str]:
    user = owner()
    to_user = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []
    return ["setpriv", *options, *to_user, "--"] if options or to_user else []


def _environment(password: str = "") -> dict[str, str]:
    kept = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    return kept | ({"PGPASSWORD": password} if password else {})


def _children(pid: int) -> Iterator[int]:
    for status in Path("/proc").glob("[0-9]*/stat"):
        state = _state(int(status.parent.name))
        if state and int(state[1]) == pid:
            yield int(status.parent.name)


def _state(pid: int) -> tuple[str, str] | None:
    """Its state and its parent; None: it is gone."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = re.search(r"\) (\S) (\d+) ", told)
    return (found[1], found[2]) if found else None
