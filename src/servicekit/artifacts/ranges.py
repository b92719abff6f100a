"""Parts of a file that a client asks for, and whether it has the file already (RFC 9110, sections 13 and 14)."""

import re
from typing import Final, NamedTuple

# More digits than any file has bytes are no position. `int` would refuse thousands of them.
_RANGE: Final = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)
_ETAG: Final = re.compile(r'(?:W/)?("[^"]*")')


class Part(NamedTuple):
    """The bytes from `start` up to, and without, `stop`."""

    start: int
    stop: int


class RangeNotSatisfiable(Exception):
    """The file has not a single byte of the range: 416."""


def find_part(header: str | None, size: int) -> Part | None:
    """The part that a `Range` asks for; `None` if it asks for none that is understood, and gets the whole file.

    Several ranges at once, other units and nonsense are not understood. The standard allows a server to ignore them.
    `RangeNotSatisfiable` if the part begins behind the end of the file.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        part = Part(max(0, size - int(last)), size)
    elif last and int(last) < int(first):
        return None
    else:
        part = Part(int(first), min(int(last) + 1, size) if last else size)
    if part.start >= part.stop:
        raise RangeNotSatisfiable
    return part


def may_have_part(if_range: str | None, etag: str) -> bool:
    """Whether a client that has a part of a file may get another part of this one: `If-Range`.

    A date never fits, since files have none.
    """
    return if_range is None or if_range.strip() == etag


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has the file already, and gets 304: `If-None-Match`."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _ETAG.findall(if_none_match)
