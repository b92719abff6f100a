"""Borrowed arguments: objects that a job cannot be given, since they are closed, or used by others, when it runs."""

import io
import socket
import threading
from asyncio import Condition, Lock, Semaphore
from collections.abc import Iterable
from itertools import islice
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final

from servicekit.errors import InvalidArguments
from servicekit.jobs.classes import has_fields
from servicekit.jobs.outcome import clip
from servicekit.jobs.submission import name_argument, name_of

# Each submission pays for this search. It looks where people put such objects: in an argument, a list or a model of it.
_MAX_DEPTH: Final = 3
_MOST_PARTS: Final = 50
_MAX_PATH_CHARACTERS: Final = 100  # it stands in the sentence of an error, and a key can be of any length
_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes})

_UPLOAD: Final = (
    "it is closed when the request has been answered. Read it before, or save it, and pass the bytes or the path"
)
_REQUEST: Final = "it ends with the request. Pass what the job needs of it, such as a header or the body"
_SESSION: Final = (
    "it is closed with the request, and no two threads may use it. Pass the ids, and open a session in the target"
)
_CONNECTION: Final = "it belongs to whoever has opened it. Pass what is needed to open one in the target"
_FILE: Final = "it is an open file, which whoever has opened it will close. Pass its path or what is in it"
_LOCK: Final = "it works in this process alone, and nobody could say who holds it. Use a concurrency key instead"
_GENERATOR: Final = "it can be read only once, and only here. Pass a list of what it yields"
_SOCKET: Final = "it belongs to this process. Pass the address, and connect in the target"

# By name, since these packages need not be installed. An entry counts for subclasses too.
_BY_NAME: Final = {
    "starlette.datastructures.UploadFile": _UPLOAD,
    "starlette.requests.HTTPConnection": _REQUEST,
    "starlette.background.BackgroundTask": _REQUEST,
    "sqlalchemy.orm.session.Session": _SESSION,
    "sqlalchemy.orm.scoping.scoped_session": _SESSION,
    "sqlalchemy.ext.asyncio.session.AsyncSession": _SESSION,
    "sqlalchemy.ext.asyncio.scoping.async_scoped_session": _SESSION,
    "sqlalchemy.engine.base.Connection": _CONNECTION,
    "sqlalchemy.ext.asyncio.engine.AsyncConnection": _CONNECTION,
    "sqlite3.Connection": _CONNECTION,
    "sqlite3.Cursor": _CONNECTION,
    "tempfile._TemporaryFileWrapper": _FILE,
}
_BY_CLASS: Final[dict[type, str]] = {
    **dict.fromkeys((type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Semaphore), _LOCK),
    **dict.fromkeys((Lock, Condition, Semaphore), _LOCK),
    **dict.fromkeys((GeneratorType, AsyncGeneratorType), _GENERATOR),
    socket.socket: _SOCKET,
    type.mro(io.IOBase)[1]: _FILE,  # `_io._IOBase`, the base of files in C; those in Python have it too
}
_IN_MEMORY: Final = (io.BytesIO, io.StringIO)


def check_borrowed(target: object, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    """`InvalidArguments`, which names the argument, if one is or has an upload, a session, an open file or the like."""
    arguments: list[tuple[int | str, object]] = [*enumerate(args), *kwargs.items()]
    for key, value in arguments:
        if type(value) not in _PLAIN and (found := _find(value, _MAX_DEPTH)) is not None:
            path, what = found
            argument = clip(".".join([name_argument(target, key), *path]), _MAX_PATH_CHARACTERS)
            raise InvalidArguments(name_of(target), argument, f"a job cannot be given {what}.")


def _find(value: object, depth: int) -> tuple[list[str], str] | None:
    """The path to a borrowed object in the value, and the reason why a job cannot have it; `None` if there is none."""
    kind = type(value)
    reason = _reason(kind)
    if reason is not None:
        return [], f"this {kind.__name__}: {reason}"
    for name, part in islice(_list_parts(value), _MOST_PARTS) if depth else ():
        if type(part) not in _PLAIN and (found := _find(part, depth - 1)) is not None:
            return [str(name), *found[0]], found[1]
    return None


def _reason(kind: type) -> str | None:
    if issubclass(kind, _IN_MEMORY):
        return None
    for base in type.mro(kind):
        reason = _BY_CLASS.get(base) or _BY_NAME.get(f"{base.__module__}.{base.__qualname__}")
        if reason is not None:
            return reason
    return None


def _list_parts(value: Any) -> Iterable[tuple[object, object]]:
    kind = type(value)
    if issubclass(kind, dict):
        return list(islice(dict.items(value), _MOST_PARTS))
    if issubclass(kind, list | tuple):
        return enumerate(value[:_MOST_PARTS])
    if issubclass(kind, set | frozenset):
        return enumerate(list(islice(value, _MOST_PARTS)))
    return list(getattr(value, "__dict__", {}).items()) if has_fields(kind) else ()
