"""Print the Pythons beside this one that the package supports and that are on this machine, one of each version.

They are those of the classifiers in pyproject.toml: `python3.12` on the PATH, or else the newest 3.12 of pyenv's.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_CLASSIFIER = "Programming Language :: Python :: 3."


def find_pythons() -> Iterator[str]:
    classifiers = tomllib.loads(_PROJECT.read_text())["project"]["classifiers"]
    for minor in (text.removeprefix(_CLASSIFIER) for text in classifiers if text.startswith(_CLASSIFIER)):
        if int(minor) != sys.version_info.minor:
            yield from [python for python in _list_candidates(minor) if _is_version(python, minor)][:1]


def _list_candidates(minor: str) -> Iterator[str]:
    if on_path := shutil.which(f"python3.{minor}"):
        yield on_path
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = versions.glob(f"3.{minor}.*/bin/python3.{minor}")
    yield from map(str, sorted(found, key=lambda path: (len(path.parts[-3]), path.parts[-3]), reverse=True))


def _is_version(python: str, minor: str) -> bool:
    """Whether it runs, as one of pyenv's that is not in use does not."""
    told = subprocess.run([python, "-c", "import sys; print(sys.version_info.minor)"], capture_output=True, check=False)
    return told.stdout.decode().strip() == minor


if __name__ == "__main__":
    print(*find_pythons(), sep="\n")
