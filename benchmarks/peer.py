"""The peers' environments: made on first use, in folders that are not committed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent


class PeerUnavailableError(Exception):
    """There is no peer to measure against; the text says why."""


@dataclass(frozen=True)
class Peer:
    """A package from PyPI, in an environment of its own."""

    name: str
    requirement: str
    folder: Path
    python: str | None = None
    """The version that it needs, `3.13` say; by default it gets the interpreter of the benchmarks."""
    more: tuple[str, ...] = ()
    """What else its programs here need."""

    def find(self, *, create: bool) -> str:
        """Its interpreter. With `create`, its environment is made if there is none, or one of another release."""
        python, complete = self.folder / "bin" / "python", self.folder / "complete"
        if not (complete.exists() and complete.read_text() in ("", self.requirement)):
            if not create:
                raise PeerUnavailableError(f"it is not installed in {self.folder.name}; a full run does that")
            self._install(python)
            complete.write_text(self.requirement)
        return str(python)

    def _install(self, python: Path) -> None:
        base = self._find_base()
        print(f"Installing {self.requirement} into {self.folder.name}; once, for some minutes.", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            subprocess.run([base, "-m", "venv", self.folder], check=True, stdout=sys.stderr)
            subprocess.run(
                [python, "-m", "pip", "install", "-qq", self.requirement, *self.more], check=True, stdout=sys.stderr
            )
        except subprocess.CalledProcessError as error:
            raise PeerUnavailableError(f"its installation failed: {error}") from error

    def _find_base(self) -> str:
        """The interpreter to make its environment with."""
        if self.python is None:
            return sys.executable
        for candidate in filter(None, _candidates(self.python)):
            if _is_version(self.python, candidate):
                return candidate
        raise PeerUnavailableError(f"it needs Python {self.python}, on the PATH, under pyenv or named by PEER_PYTHON")


SERVICEKIT = Peer("peer", "servicekit==3.0.1", _HERE / ".peer", python="3.13")
MODULES = Peer(
    "chapkit",
    "chapkit==2.4.1",
    _HERE / ".peer-chapkit",
    python="3.13",
    more=("pandas>=2.2.3", "scikit-learn>=1.6", "uvicorn[standard]>=0.50"),
)
"""It has artifacts and models. Our own modules are measured beside it, over HTTP alone."""
EMBEDDED = tuple(
    Peer(name, requirement, _HERE / f".peer-{name}")
    for name, requirement in [
        ("huey", "huey==3.5.4"),
        ("dbos", "dbos==3.4.0"),
        ("persist_queue", "persist-queue==1.1.0"),
    ]
)
"""What keeps jobs in an SQLite file and needs no server. Each is driven by the module of its name in `peers`."""
SERVED = (
    Peer("procrastinate", "procrastinate==3.10.0", _HERE / ".peer-procrastinate", more=("psycopg[binary]>=3.2",)),
    Peer("pgqueuer", "pgqueuer==1.6.0", _HERE / ".peer-pgqueuer", more=("asyncpg>=0.30",)),
)
"""What keeps jobs in PostgreSQL. Each is driven by the module of its name in `peers`."""


def find_available(peers: tuple[Peer, ...], *, create: bool) -> Iterator[tuple[str, str]]:
    """The names and interpreters of the peers that can be had; why another cannot is said on stderr."""
    for peer in peers:
        try:
            yield peer.name, peer.find(create=create)
        except PeerUnavailableError as error:
            print(f"Without {peer.requirement}: {error}.", file=sys.stderr)


def _candidates(version: str) -> list[str | None]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [
        os.environ.get("PEER_PYTHON"),
        shutil.which(f"python{version}"),
        *(str(folder / "bin" / "python") for folder in sorted(pyenv.glob(f"{version}.*"))),
    ]


def _is_version(version: str, candidate: str) -> bool:
    # What is on the PATH may be a shim that leads nowhere.
    try:
        answer = subprocess.run([candidate, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return False
    return answer.stdout.startswith(f"Python {version}.")
