"""
A process that has imported everything, and forks a life whenever it is asked to: a fork takes two milliseconds, where
starting Python and importing the service takes two seconds.

In: what a life is told, over a socket. Out: its process id, and word of its death. It has one thread and no event loop,
so that a fork copies neither. It ends, with all its lives, when whoever asks is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

from tests.kills.life import live, rehearse

PARENT_DEATH = 1
"""prctl's PR_SET_PDEATHSIG."""


def end_with_parent(how: signal.Signals) -> None:
    """In a process that was just forked: nothing of ours outlives whoever started it."""
    ctypes.CDLL(None).prctl(PARENT_DEATH, how)


def warm() -> None:
    """Once, before the first fork: what one life has imported and cached is there for all that come."""
    # There is no TLS here, and reading all certificates of the machine would be most of a life.
    os.environ |= {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
    with tempfile.TemporaryDirectory() as folder:
        rehearse(Path(folder))
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class Nursery:
    """The nursery's own process."""

    def __init__(self, asked: socket.socket, pipe: int) -> None:
        self._asked, self._pipe = asked, pipe
        self._lives: dict[int, str] = {}
        self._rest = b""
        self._deaths, self._notice = os.pipe()
        os.set_blocking(self._notice, False)
        os.set_blocking(self._deaths, False)

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._notice, warn_on_full_buffer=False)
        try:
            while True:
                ready, _, _ = select.select([self._asked, self._deaths], [], [])
                if self._deaths in ready:
                    os.read(self._deaths, 4096)
                self._bury()
                if self._asked in ready and not self._listen():
                    return
        finally:
            for pid in self._lives:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _listen(self) -> bool:
        """Whether anybody is still asking."""
        data = self._asked.recv(1 << 16)
        if not data:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._bear(json.loads(line))
        return True

    def _bear(self, told: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            self._be_born(told)
        self._lives[pid] = told["life"]
        self._say(what="born", life=told["life"], pid=pid)

    def _be_born(self, told: dict[str, Any]) -> None:
        end_with_parent(signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._asked.close()
        log = os.open(told["log_file"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        live(told, self._pipe)

    def _bury(self) -> None:
        while self._lives:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._say(what="died", life=self._lives.pop(pid), code=os.waitstatus_to_exitcode(status))

    def _say(self, **told: Any) -> None:
        os.write(self._pipe, json.dumps(told).encode() + b"\n")


class Midwife:
    """Asks the nursery, and hears of births, orders carried out and deaths. Belongs to one event loop."""

    def __init__(self, asked: socket.socket, pipe: int) -> None:
        self._asked, self._pipe = asked, pipe
        self._rest = b""
        self._lives: dict[str, Cradle] = {}
        os.set_blocking(pipe, False)
        asyncio.get_running_loop().add_reader(pipe, self._hear)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pipe)
        self._asked.close()

    async def bear(self, told: dict[str, Any]) -> Cradle:
        cradle = self._lives[told["life"]] = Cradle(told["life"])
        self._asked.sendall(json.dumps(told).encode() + b"\n")
        await cradle.born.wait()
        return cradle

    def _hear(self) -> None:
        *lines, self._rest = (self._rest + os.read(self._pipe, 1 << 16)).split(b"\n")
        for line in lines:
            told = json.loads(line)
            cradle = self._lives[told["life"]]
            cradle.hear(told)
            if told["what"] == "died":
                del self._lives[told["life"]]


class Cradle:
    """What is known of one life from outside."""

    def __init__(self, life: str) -> None:
        self.life = life
        self.pid = 0
        self.killed_at = ""
        """The point whose order was carried out, inside or from outside."""
        self.code: int | None = None
        self.born, self.ready, self.dead = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def hear(self, told: dict[str, Any]) -> None:
        match told["what"]:
            case "born":
                self.pid = told["pid"]
                self.born.set()
            case "ready":
                self.ready.set()
            case "killed":
                self.killed_at = told["at"]
            case "died":
                self.code = told["code"]
                self.dead.set()

    def kill(self, point: str) -> None:
        """From outside, while it waits for an answer."""
        if self.send(signal.SIGKILL):
            self.killed_at = point

    def send(self, what: signal.Signals) -> bool:
        """Whether it was still there. Its id is its own until its death was heard of, or another's by a hair."""
        if self.dead.is_set():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, what)
            return True
        return False


def found() -> tuple[socket.socket, int, int]:
    """Fork a nursery; answers how to ask it, how to hear it, and its process id. Before there is any event loop."""
    ours, theirs = socket.socketpair()
    hear, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        ours.close()
        os.close(hear)
        end_with_parent(signal.SIGKILL)
        Nursery(theirs, say).run()
        os._exit(0)
    theirs.close()
    os.close(say)
    return ours, hear, pid
