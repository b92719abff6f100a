"""Job ids: ULIDs as text, in the order of submission.

A job id is a plain `str`, so that it goes into JSON, URLs and f-strings as it is. The format is the ULID
specification's (https://github.com/ulid/spec): 48 bits of milliseconds and 80 bits of randomness in Crockford's
base 32, counted up by one within a millisecond, so that ids sort in the order in which they were made.
"""

import os
import time
from datetime import datetime

from ulid import ULID

from servicekit.errors import InvalidJobId

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]  # ten bits at a time
_COUNTER_BITS = 20


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
    milliseconds and of the upper 60 random bits is kept for the millisecond, and the lower 20 bits are counted.
    """

    def __init__(self) -> None:
        self._milliseconds = 0
        self._stem = ""
        self._counter = 1 << _COUNTER_BITS

    def next_id(self) -> str:
        milliseconds = time.time_ns() // 1_000_000
        self._counter += 1
        if milliseconds > self._milliseconds or self._counter >> _COUNTER_BITS:
            self._begin(milliseconds)
        return f"{self._stem}{_PAIRS[self._counter >> 10]}{_PAIRS[self._counter & 1023]}"

    def _begin(self, milliseconds: int) -> None:
        # The clock has not moved on only if half a million ids were made in one millisecond of it, as after it was
        # set back for long: the ids then run ahead of it by a millisecond rather than out of order.
        self._milliseconds = max(milliseconds, self._milliseconds + 1)
        random_bits = int.from_bytes(os.urandom(10))
        self._stem = _encode(self._milliseconds << 60 | random_bits >> 20, 11)
        self._counter = random_bits & (1 << _COUNTER_BITS - 1) - 1


def first_id_at(moment: datetime) -> str:
    """The smallest id that a job submitted at this time (to the millisecond) could have."""
    milliseconds = min(max(int(moment.timestamp() * 1_000), 0), (1 << 48) - 1)
    return _encode(milliseconds << 80, 13)


def _encode(number: int, pairs: int) -> str:
    return "".join([_PAIRS[number >> 10 * position & 1023] for position in range(pairs - 1, -1, -1)])
