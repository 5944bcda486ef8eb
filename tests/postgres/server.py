"""
Real PostgreSQL servers for one test or one session: started, stopped, killed, restarted, replicated, promoted.

In: what a test wants to happen to a database. Out: servers on 127.0.0.1 below port 32768, with fsync on and passwords,
in a temporary folder that goes with them. It never touches a cluster that it did not make, and reads nothing through
asyncpg: what is true is asked of psql. Everything here waits; in an async test use `asyncio.to_thread`.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port
from tests.postgres import programs
from tests.postgres.template import USER, Template, home_folder, make_folder

PATIENCE = 30.0
"""Seconds until a server is ready, or a question is answered as it should be."""
LIFE = 3600.0
"""Seconds after which a server is killed, whoever has forgotten it."""
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "on",
    "shared_buffers": "32MB",
    "wal_keep_size": "256MB",  # a standby that was cut off for a while finds what it missed
    "dynamic_shared_memory_type": "mmap",  # in the data folder: a kill leaves nothing behind in /dev/shm
}


@contextmanager
def server(template: Template) -> Iterator[PostgresServer]:
    """A server of one's own, running; it and its standbys end here, whatever was done to them."""
    with home_folder() as home:
        subprocess.run(["cp", "-a", "--reflink=auto", template.data, home / "data"], check=True)
        made = PostgresServer(home, template.password)
        try:
            made.start()
            yield made
        finally:
            made.close()


@dataclass(frozen=True)
class Database:
    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        return self.server.url_of(self.name)

    def url_through(self, port: int) -> str:
        """Its address when a proxy stands before the server."""
        return self.server.url_of(self.name, port)

    def sql(self, *statements: str) -> str:
        return self.server.sql(*statements, database=self.name)


class PostgresServer:
    def __init__(self, home: Path, password: str) -> None:
        self.home, self.password = home, password
        self.data, self.log = home / "data", home / "server.log"
        self.port = free_port()
        self.standbys: list[Standby] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._life: threading.Timer | None = None

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str, port: int | None = None) -> str:
        """The address of a database, or what a proxy's port makes of it."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{port or self.port}/{database}"

    # --- life and death ----------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """For the first time, or after `stop` or `kill`; returns when it answers."""
        if self.is_running:
            raise RuntimeError(f"PostgreSQL at port {self.port} is running: stop or kill it first")
        settings = {**SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.home)}
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = programs.spawn(["-D", self.data, *arguments], home=self.home, log=self.log)
        self._life = threading.Timer(LIFE, self.kill)
        self._life.daemon = True
        self._life.start()
        _until(self._is_ready, f"PostgreSQL at port {self.port} does not start", self._said)

    def stop(self) -> None:
        """In order: sessions are ended, and everything is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL for all its processes, reaped; as after a power cut, but for what the kernel keeps."""
        self._over()
        if self._process is not None:
            programs.kill_all(self._process)

    def close(self) -> None:
        """For good, with its standbys."""
        for standby in self.standbys:
            standby.close()
        if self.is_running:
            self._end(signal.SIGQUIT)
        else:
            self._forget_shared_memory()

    def _end(self, how: signal.Signals) -> None:
        self._over()
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            programs.kill_all(self._process)
            self._forget_shared_memory()

    def _over(self) -> None:
        if self._life is not None:
            self._life.cancel()

    def _is_ready(self) -> bool:
        """As its own file of the process tells; one left by a killed server has another process's id."""
        if not self.is_running:
            raise RuntimeError(f"PostgreSQL at port {self.port} ended: {self._said()}")
        assert self._process is not None
        told = self._told()
        return len(told) > 7 and told[0] == str(self._process.pid) and told[7].strip() == "ready"

    def _told(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text("ascii").splitlines()
        except FileNotFoundError:
            return []

    def _forget_shared_memory(self) -> None:
        """A killed server leaves a small segment with the kernel, which the next start would have removed."""
        told = self._told()
        if len(told) > 6 and told[6].split():
            subprocess.run(["ipcrm", "-m", told[6].split()[-1]], check=False, capture_output=True)

    def _said(self) -> str:
        return self.log.read_text("utf-8", "replace")[-2000:]

    # --- questions and databases ---------------------------------------------------------------------------------

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """What psql prints, each statement by itself: rows as lines, values parted by |."""
        words = [word for statement in statements for word in ("-c", statement)]
        where = ("-h", self.home, "-p", str(self.port), "-U", USER, "-d", database)
        return programs.run(
            "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *where, *words, home=self.home, password=self.password
        )

    def until(self, question: str, answer: str = "t", *, database: str = "postgres") -> None:
        """Ask until the answer is right."""
        _until(lambda: self.sql(question, database=database) == answer, f"never {answer!r}: {question}", self._said)

    @contextmanager
    def database(self, *, template: str = "template0") -> Iterator[Database]:
        """A database of one's own; at the end whoever is still in it is thrown out."""
        name = f"test_{secrets.token_hex(6)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield Database(self, name)
        finally:
            if self.is_running:
                self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    # --- replication -----------------------------------------------------------------------------------------------

    def standby(self, *, synchronous: bool, name: str = "standby") -> Standby:
        """
        A standby that streams from here; it is closed with us.

        Synchronous: from now on a commit is acknowledged only after that standby has it on disk, and waits for ever
        while the standby is away.
        """
        home = self.home / name
        make_folder(home)
        source = f"host=127.0.0.1 port={self.port} user={USER} application_name={name}"
        options = ("--checkpoint=fast", "--wal-method=stream", "--no-sync", "--no-manifest")
        programs.run("pg_basebackup", *options, "-d", source, "-D", home / "data", home=home, password=self.password)
        made = Standby(home, self, name, source)
        self.standbys.append(made)
        made.start()
        made.until_streaming()
        if synchronous:
            self.wait_for_standbys(name)
            self.until(f"SELECT sync_state = 'sync' FROM pg_stat_replication WHERE application_name = '{name}'")
        return made

    def wait_for_standbys(self, names: str) -> None:
        """Set `synchronous_standby_names`; empty: commits wait for nobody."""
        self.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'", "SELECT pg_reload_conf()")


class Standby(PostgresServer):
    """A copy that follows its primary until it is promoted; from then on a server like any other."""

    def __init__(self, home: Path, primary: PostgresServer, name: str, source: str) -> None:
        super().__init__(home, primary.password)
        self.primary, self.name = primary, name
        self._source = f"{source} password={primary.password}"
        (self.data / "standby.signal").touch()
        with (self.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = '{self._source}'\n")

    def until_streaming(self) -> None:
        self.primary.until(f"SELECT count(*) FROM pg_stat_replication WHERE {self._mine} AND state = 'streaming'", "1")

    def until_caught_up(self) -> None:
        """It shows everything that the primary has committed by now."""
        position = self.primary.sql("SELECT pg_current_wal_flush_lsn()")
        self.until(f"SELECT pg_last_wal_replay_lsn() >= '{position}'")

    def promote(self) -> None:
        """Returns when it takes writes. What it has not received by now is lost, whoever was told otherwise."""
        self.sql("SELECT pg_promote()")
        self.until("SELECT NOT pg_is_in_recovery()")

    def pause_replication(self) -> None:
        """Receive nothing more. A primary that waits for this standby waits from now on."""
        self._follow("")
        self.until("SELECT count(*) FROM pg_stat_wal_receiver", "0")
        self.primary.until(f"SELECT count(*) FROM pg_stat_replication WHERE {self._mine}", "0")

    def resume_replication(self) -> None:
        self._follow(self._source)
        self.until_streaming()

    @property
    def _mine(self) -> str:
        return f"application_name = '{self.name}'"

    def _follow(self, source: str) -> None:
        self.sql(f"ALTER SYSTEM SET primary_conninfo = '{source}'", "SELECT pg_reload_conf()")


def _until(is_so: Callable[[], bool], otherwise: str, said: Callable[[], str]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > give_up:
            raise RuntimeError(f"{otherwise}: {said()}")
        time.sleep(0.01)
