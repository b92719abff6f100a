"""The peer's environment: made on first use, in a folder that is not committed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENT = "servicekit==3.0.1"
_PYTHON = "3.13"
_FOLDER = Path(__file__).parent / ".peer"


class PeerUnavailableError(Exception):
    """There is no peer to measure against; the text says why."""


def find_peer(*, create: bool) -> str:
    """The peer's interpreter. With `create`, its environment is made if there is none."""
    python, complete = _FOLDER / "bin" / "python", _FOLDER / "complete"
    if not complete.exists():
        if not create:
            raise PeerUnavailableError(f"it is not installed in {_FOLDER.name}; a full run does that")
        _install(python)
        complete.touch()
    return str(python)


def _install(python: Path) -> None:
    base = _find_python()
    print(f"Installing the peer, {REQUIREMENT}, into {_FOLDER.name}; once, for some minutes.", file=sys.stderr)
    shutil.rmtree(_FOLDER, ignore_errors=True)
    try:
        subprocess.run([base, "-m", "venv", _FOLDER], check=True, stdout=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-qq", REQUIREMENT], check=True, stdout=sys.stderr)
    except subprocess.CalledProcessError as error:
        raise PeerUnavailableError(f"its installation failed: {error}") from error


def _find_python() -> str:
    """The peer's own interpreter: it needs a newer one than we do."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [
        os.environ.get("PEER_PYTHON"),
        shutil.which(f"python{_PYTHON}"),
        *(str(folder / "bin" / "python") for folder in sorted(pyenv.glob(f"{_PYTHON}.*"))),
    ]
    for candidate in filter(None, candidates):
        if _is_wanted(candidate):
            return candidate
    raise PeerUnavailableError(f"it needs Python {_PYTHON}, on the PATH, under pyenv or named by PEER_PYTHON")


def _is_wanted(candidate: str) -> bool:
    # What is on the PATH may be a shim that leads nowhere.
    try:
        answer = subprocess.run([candidate, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return False
    return answer.stdout.startswith(f"Python {_PYTHON}.")
