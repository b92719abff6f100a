"""The URLs of job stores: read, or refused with an error that does not show a password."""

import re
from pathlib import Path
from typing import Final

from servicekit.errors import ConfigurationError

MEMORY_URL: Final = "memory://"
_SQLITE: Final = "sqlite:///"
_CREDENTIALS: Final = re.compile(r"^([^:/@?]*:/*)?.*@", re.DOTALL)


def read_url(option: str, url: object) -> Path | None:
    """The file of the URL; `None` for memory. `ConfigurationError`, without a password, for anything else."""
    if url == MEMORY_URL:
        return None
    if not isinstance(url, str):
        raise ConfigurationError(option, type(url), f"a text such as {_SQLITE}jobs.db, or {MEMORY_URL}")
    path = url.removeprefix(_SQLITE)
    fault = _find_fault(path) if path != url else _find_other_fault(url)
    if fault is not None:
        raise ConfigurationError(option, hide_password(url), f"{_SQLITE}<file>, or {MEMORY_URL} ({fault})")
    return Path(path)


def hide_password(url: str) -> str:
    """The URL without the parts before its last @ and after a question mark, which may have a password."""
    address, mark, _ = _CREDENTIALS.sub(lambda found: f"{found[1] or ''}***@", url).partition("?")
    return address + ("?***" if mark else "")


def _find_fault(path: str) -> str | None:
    """What is wrong with the path after the three slashes; `None` if nothing is."""
    if ":memory:" in path or not path.strip():
        return f"what keeps nothing is {MEMORY_URL}"
    if path.startswith("file:"):
        return "SQLite's own file: addresses are not understood: give the path itself"
    if "?" in path:
        return "there is nothing to set behind a question mark"
    if path.endswith("/") or Path(path).name in ("", ".."):
        return "name a file in the folder"
    return "a path has no such character" if "\0" in path else None


def _find_other_fault(url: str) -> str:
    """What is wrong with a URL that does not begin with `sqlite:///`."""
    if url.lower().strip(":/") in ("memory", "sqlite", "") or ":memory:" in url:
        return f"what keeps nothing is {MEMORY_URL}"
    if url.lower().startswith(("sqlite:", "sqlite+")):
        return f"a relative path comes behind three slashes, {_SQLITE}jobs.db, and /srv/jobs.db makes it four"
    return "no other place is known"
