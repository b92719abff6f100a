"""Job ids: ULIDs as text, which sort in the order of submission.

A job id is a plain `str`, so that it goes into JSON, URLs and f-strings as it is. The format is that of the ULID
specification (https://github.com/ulid/spec): 48 bits of milliseconds and 80 random bits, in Crockford's base 32. Within
one millisecond, the random part counts up by one, so that ids sort in the order in which they were made.

The milliseconds are those of this machine's clock. So ids of several machines sort as their clocks do: lists, and
filters by the time of submission, are as exact. The order in which jobs are claimed does not depend on ids.
"""

import os
import time
from array import array
from datetime import datetime

from ulid import ULID

from servicekit.errors import InvalidArtifactId, InvalidJobId
from servicekit.jobs.this_process import this_process

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]  # two characters are ten bits
_COUNTER_BITS = 20  # two pairs, which `next_id` spells without a loop
# Milliseconds for which random bits are drawn at once. Over HTTP nearly each job has a millisecond of its own, and
# would pay for a call of the system's.
_DRAWS = 128


def parse_job_id(value: "str | ULID") -> str:
    """Return the id in its canonical spelling (upper case); `InvalidJobId` if it is no ULID."""
    parsed = _parse(value)
    if parsed is None:
        raise InvalidJobId(str(value))
    return parsed


def parse_artifact_id(value: "str | ULID") -> str:
    """Return the id in its canonical spelling (upper case); `InvalidArtifactId` if it is no ULID."""
    parsed = _parse(value)
    if parsed is None:
        raise InvalidArtifactId(str(value))
    return parsed


def _parse(value: "str | ULID") -> str | None:
    if isinstance(value, ULID):
        return str(value)
    try:
        # By the specification, case does not count, but python-ulid reads upper case only. It also takes digits of
        # other scripts, as `int` does, so these are refused here.
        return str(ULID.from_str(value.upper())) if value.isascii() else None
    except (ValueError, AttributeError):
        return None


class JobIds:
    """Makes the ids of one scheduler. Each id is greater than all before it, also after the clock was set back.

    python-ulid needs 11 microseconds for an id, half of what a whole job costs. Here, the text of the milliseconds and
    of the upper 60 random bits is made once for each millisecond, and only the lower 20 bits are counted.
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
        # Usually the clock has moved on. It has not if the counter is used up (half a million ids, as while a clock
        # that was set back catches up), or in a forked child. Then the ids run ahead of the clock, so that they stay in
        # order.
        self._milliseconds = max(milliseconds, self._milliseconds + 1)
        # A forked child must not use the random bits of its parent. `os.getpid()`, and not `this_process`, which does
        # not know of a child that code in C has forked.
        if not self._draws or self._pid != os.getpid():
            self._pid, self._draws = os.getpid(), _draw()
        text, self._counter = self._draws.pop()
        self._stem = f"{_encode(self._milliseconds, 5)}{text}"


def _draw() -> list[tuple[str, int]]:
    """For each of `_DRAWS` milliseconds, 60 random bits as text, and a random number from which its ids are counted."""
    tens = [number & 1023 for number in array("H", os.urandom(2 * _DRAWS * 8))]
    draws = [tens[start : start + 8] for start in range(0, len(tens), 8)]
    # The number has 19 of 20 bits, so that at least half a million ids fit into the millisecond before it overflows.
    return [("".join([_PAIRS[ten] for ten in draw[:6]]), (draw[6] >> 1) << 10 | draw[7]) for draw in draws]


def first_id_at(moment: datetime) -> str:
    """The smallest id of a job that is submitted in the millisecond of this time. Times beyond a ULID's are clamped."""
    milliseconds = min(max(int(moment.timestamp() * 1_000), 0), (1 << 48) - 1)
    return _encode(milliseconds << 80, 13)


def _encode(number: int, pairs: int) -> str:
    return "".join([_PAIRS[number >> 10 * position & 1023] for position in range(pairs - 1, -1, -1)])
