"""The URLs of job stores: read, or refused with an error that does not show a password."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from servicekit.errors import ConfigurationError, MissingExtra

MEMORY_URL: Final = "memory://"
_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = "postgresql://"
_CREDENTIALS: Final = re.compile(r"^([^:/@?]*:/*)?.*@", re.DOTALL)
_PASSWORD: Final = re.compile(r"(passw\w*\s*=).*", re.DOTALL | re.IGNORECASE)


class StoreKind(StrEnum):
    """The kinds of stores, as `create_scheduler` knows them."""

    MEMORY = "memory"
    FILE = "file"
    POSTGRES = "postgres"


class Place(NamedTuple):
    """Where jobs are kept."""

    kind: StoreKind
    where: str
    """The path of the file, or the URL of the database."""


def read_url(option: str, url: object) -> Place:
    """The place that the URL names.

    `ConfigurationError`, without a password, for what is no URL of a store; `MissingExtra` if its driver is not
    installed.
    """
    if not isinstance(url, str):
        raise ConfigurationError(option, type(url), f"a text such as {_SQLITE}jobs.db, or {MEMORY_URL}")
    for beginning, read in _READERS.items():
        if url.startswith(beginning):
            return read(option, url)
    raise _refuse(option, url, _find_fault_of_beginning(url))


def hide_password(url: str) -> str:
    """The URL without what may be a password: the part before the last @, and the one after a question mark."""
    address, mark, query = url.partition("?")
    if "@" in query and "=" in query:  # does the @ end a password that has a question mark, or is it a value's?
        scheme, slashes, _ = url.partition("//")
        return f"{scheme}{slashes}***" if slashes else "***"
    address, mark, _ = _CREDENTIALS.sub(lambda found: f"{found[1] or ''}***@", url).partition("?")
    return _PASSWORD.sub(r"\1***", address) + ("?***" if mark else "")


def _read_memory(option: str, url: str) -> Place:
    if url != MEMORY_URL:
        raise _refuse(option, url, f"what keeps nothing is {MEMORY_URL}")
    return Place(StoreKind.MEMORY, "")


def _read_file(option: str, url: str) -> Place:
    path = url.removeprefix(_SQLITE)
    fault = _find_fault_of_path(path)
    if fault is not None:
        raise _refuse(option, url, fault)
    return Place(StoreKind.FILE, path)


def _read_database(option: str, url: str) -> Place:
    try:
        from servicekit.stores.postgres.address import read_address  # late, since it may not be installed
    except ImportError as error:
        raise MissingExtra("To keep jobs in PostgreSQL", "postgres") from error
    read_address(option, url)
    return Place(StoreKind.POSTGRES, url)


_READERS: Final[Mapping[str, Callable[[str, str], Place]]] = {
    MEMORY_URL: _read_memory,
    _SQLITE: _read_file,
    _POSTGRES: _read_database,
    "postgres://": _read_database,
}


def _refuse(option: str, url: str, fault: str) -> ConfigurationError:
    expected = f"{_SQLITE}<file>, {_POSTGRES}<host>/<database>, or {MEMORY_URL} ({fault})"
    return ConfigurationError(option, hide_password(url), expected)


def _find_fault_of_path(path: str) -> str | None:
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


def _find_fault_of_beginning(url: str) -> str:
    """What is wrong with a URL that begins like no other."""
    if url.lower().strip(":/") in ("memory", "sqlite", "") or ":memory:" in url:
        return f"what keeps nothing is {MEMORY_URL}"
    if url.lower().startswith(("sqlite:", "sqlite+")):
        return f"a relative path comes behind three slashes, {_SQLITE}jobs.db, and /srv/jobs.db makes it four"
    if re.match(r"(jdbc:)?(postgres(ql)?|pgsql|psql)\b", url, re.IGNORECASE):
        return f"it begins with {_POSTGRES}, in lower case and without the name of a driver"
    return "no other place is known"
