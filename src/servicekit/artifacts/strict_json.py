"""JSON as the standard has it (RFC 8259): no NaN, nothing that a reader of another language could not read.

What is nested too deeply is refused as well: clients, databases and browsers each have a limit of their own, and some
crash at it.
"""

import gc
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from math import isfinite
from typing import Final, NamedTuple

from servicekit.errors import InvalidContent

MAX_DEPTH: Final = 200  # far more than data needs, and what pydantic reads

_TOO_DEEP: Final = f"it is nested more than {MAX_DEPTH} deep"
# What begins a string is skipped, also without an end. Else a text without one is looked through from each quote in it.
_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+"?', re.DOTALL)
_BRACKETS: Final = b"[]{}"
_OTHER_BYTES: Final = bytes(byte for byte in range(256) if byte not in _BRACKETS)
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


@contextmanager
def without_collector() -> Iterator[None]:
    """A block that reads JSON, in which Python does not look for cycles: there are none.

    Else it looks through all that was read again and again. For millions of small lists that takes four times as long
    as to read them, and in that time nothing else runs.
    """
    if not gc.isenabled():  # perhaps since another thread is in such a block, and switches it on again at any moment
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def write_json(value: object, place: str = "data") -> str:
    """The value as JSON. `InvalidContent`, with the place within `place`, if that is not possible.

    Tuples become lists, and numbers as keys become texts. NumPy's numbers and arrays become numbers and lists.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_simplify)
        is_good = not _is_too_deep(text.encode())  # to encode it finds lone surrogates
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise _explain(value, place, str(error)) from None
    if not is_good:
        raise _explain(value, place, _TOO_DEEP)
    return text


def read_json(content: bytes | str, place: str = "data") -> object:
    """The value of a JSON text. `InvalidContent`, with the place, if it is none, or is nested too deeply.

    NaN and infinite numbers are read, and refused by `write_json`.
    """
    try:
        raw = content.encode() if isinstance(content, str) else content
        text = raw.decode()
        if _is_too_deep(raw):
            raise InvalidContent((place,), _TOO_DEEP)
        return json.loads(text)
    except UnicodeError:
        raise InvalidContent((place,), "it is no UTF-8") from None
    except RecursionError:
        raise InvalidContent((place,), _TOO_DEEP) from None
    except InvalidContent:
        raise
    except ValueError as error:
        raise InvalidContent((place,), f"it is no JSON: {error}") from None


def _simplify(value: object) -> object:
    """A value of NumPy's as one that JSON knows."""
    if _is_of_numpy(value):
        simple: object = value.tolist()  # type: ignore[attr-defined] # it has one
        return simple
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} is no JSON")


def _is_of_numpy(value: object) -> bool:
    return type(value).__module__ == "numpy" and hasattr(value, "tolist")


def _is_too_deep(text: bytes) -> bool:
    # Counted in the text, in C: Python's own limit differs with its version, and with what calls this.
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRINGS.sub(b"", text).translate(None, _OTHER_BYTES)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH


class _Part(NamedTuple):
    value: object
    key: str | int
    whole: "_Part | None"
    depth: int


def _explain(value: object, place: str, reason: str) -> InvalidContent:
    """The error with the place of the first part that is no JSON. It walks through the value, which can be deep."""
    waiting = [_Part(value, place, None, 0)]
    while waiting:
        part = waiting.pop()
        problem = _TOO_DEEP if part.depth > MAX_DEPTH else _find_problem(part.value)
        if problem is not None:
            return InvalidContent(_path_of(part), problem)
        waiting += reversed(list(_parts_of(part)))
    return InvalidContent((place,), reason)


def _parts_of(whole: _Part) -> Iterator[_Part]:
    value = whole.value
    if _is_of_numpy(value):
        value = _simplify(value)
    if isinstance(value, Mapping):
        yield from (_Part(each, str(key), whole, whole.depth + 1) for key, each in value.items())
    elif isinstance(value, list | tuple):
        yield from (_Part(each, index, whole, whole.depth + 1) for index, each in enumerate(value))


def _path_of(part: _Part) -> tuple[str | int, ...]:
    path: list[str | int] = []
    at: _Part | None = part
    while at is not None:
        path.append(at.key)
        at = at.whole
    return tuple(reversed(path))


def _find_problem(value: object) -> str | None:
    if value is None or isinstance(value, bool | int | list | tuple | dict):
        return None
    if isinstance(value, float):
        return None if isfinite(value) else f"{value} is no JSON. Use null for what is missing"
    if isinstance(value, str):
        return None if _is_unicode(value) else "the text has a lone surrogate, which is no Unicode"
    try:
        simple = _simplify(value)
    except TypeError as error:
        return str(error)
    return _find_problem(simple)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
