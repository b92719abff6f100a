"""The newest lines of a job's log."""

from collections import deque
from itertools import islice
from typing import Final

from servicekit.jobs.log_lines import LogLine, LogPage, NewLine

_LINE_BYTES: Final = 50
"""The bytes that a line takes in a file besides its text."""
_OBJECT_BYTES: Final = 200


class JobLog:
    """The newest lines of one job, bounded by what they would take in a file; one is kept whatever its size."""

    __slots__ = ("_bytes", "_count", "_lines", "_max_bytes")

    def __init__(self, max_bytes: int | None) -> None:
        self._max_bytes = max_bytes
        self._lines: deque[LogLine] = deque()
        self._bytes = 0
        self._count = 0

    @property
    def memory_bytes(self) -> int:
        return self._bytes + _OBJECT_BYTES * len(self._lines)

    def add(self, new: NewLine, attempt: int) -> None:
        self._count += 1
        line = LogLine(self._count, new.at, attempt, new.level, new.source, new.text)
        self._lines.append(line)
        self._bytes += _count_bytes(line)
        while self._max_bytes is not None and self._bytes > self._max_bytes and len(self._lines) > 1:
            self._bytes -= _count_bytes(self._lines.popleft())

    def read(self, after: int, limit: int) -> LogPage:
        dropped = self._count - len(self._lines)
        start = max(0, after - dropped)
        lines = list(islice(self._lines, start, start + limit))
        return LogPage(lines, start + len(lines) >= len(self._lines), dropped)

    def clear(self) -> None:
        """Keep nothing but how many lines there were."""
        self._lines.clear()
        self._bytes = 0


def _count_bytes(line: LogLine) -> int:
    return _LINE_BYTES + len(line.text.encode())
