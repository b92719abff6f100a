"""Job ids: ULIDs as text, in the order of submission.

A job id is a plain `str`, so that it goes into JSON, URLs and f-strings as it is. The format is the ULID
specification's (https://github.com/ulid/spec): 48 bits of milliseconds and 80 bits of randomness in Crockford's
base 32, counted up by one within a millisecond, so that ids sort in the order in which they were made.
"""

import os
import time
from array import array
from datetime import datetime

from ulid import ULID

from servicekit.errors import InvalidJobId
from servicekit.jobs.this_process import this_process

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]  # ten bits at a time
_COUNTER_BITS = 20
_DRAWS = 128


def parse_job_id(value: "str | ULID") -> str:
    """Return the id in its canonical spelling (upper case); `InvalidJobId` if it is no ULID."""
    if isinstance(value, ULID):
        return str(value)
    try:
        # python-ulid reads only upper case, and takes any digit that `int` would; the specification's decoding
        # ignores case.
        return str(ULID.from_str(value.upper())) if value.isascii() else _refuse(value)
    except (ValueError, AttributeError):
        return _refuse(value)


def _refuse(value: object) -> str:
    raise InvalidJobId(str(value)) from None


class JobIds:
    """Makes the ids of one scheduler. Each is greater than all before it, also when the clock is set back.

    python-ulid makes one in 11 microseconds, which would be half of what a whole job costs. Here the text of the
    milliseconds and of the upper 60 random bits is kept for the millisecond, and the lower 20 bits are counted. Random
    bits are drawn for many milliseconds at once, since a service that takes jobs over HTTP has one or two in each.
    """

    def __init__(self) -> None:
        self._milliseconds = 0
        self._stem = ""
        self._counter = 1 << _COUNTER_BITS
        self._draws: list[tuple[str, int]] = []
        self._pid = 0

    def next_id(self) -> str:
        milliseconds = time.time_ns() // 1_000_000
        self._counter += 1
        if milliseconds > self._milliseconds or self._counter >> _COUNTER_BITS or self._pid != this_process.id:
            self._begin(milliseconds)
        return f"{self._stem}{_PAIRS[self._counter >> 10]}{_PAIRS[self._counter & 1023]}"

    def _begin(self, milliseconds: int) -> None:
        # The clock has not moved on only if half a million ids were made in one millisecond of it, as after it was
        # set back for long, or in a child: the ids then run ahead of it by a millisecond rather than out of order.
        self._milliseconds = max(milliseconds, self._milliseconds + 1)
        # A forked child must not draw what its parent draws, nor may one that was forked without Python's knowledge.
        if not self._draws or self._pid != os.getpid():
            self._pid, self._draws = os.getpid(), _draw()
        text, self._counter = self._draws.pop()
        self._stem = f"{_encode(self._milliseconds, 5)}{text}"


def _draw() -> list[tuple[str, int]]:
    """For each of many milliseconds 60 random bits as text, and the number at which its ids are counted from."""
    tens = [number & 1023 for number in array("H", os.urandom(2 * _DRAWS * 8))]
    draws = [tens[start : start + 8] for start in range(0, len(tens), 8)]
    # The number has a bit less than there is room for, so that half a million ids at least fit into the millisecond.
    return [("".join([_PAIRS[ten] for ten in draw[:6]]), (draw[6] >> 1) << 10 | draw[7]) for draw in draws]


def first_id_at(moment: datetime) -> str:
    """The smallest id that a job submitted at this time (to the millisecond) could have."""
    milliseconds = min(max(int(moment.timestamp() * 1_000), 0), (1 << 48) - 1)
    return _encode(milliseconds << 80, 13)


def _encode(number: int, pairs: int) -> str:
    return "".join([_PAIRS[number >> 10 * position & 1023] for position in range(pairs - 1, -1, -1)])
