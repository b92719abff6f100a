"""Where the logs of jobs end: what new lines need, and what of the oldest has to go."""

from collections.abc import Iterator
from typing import Final

from servicekit.stores.durable.requests import NewLines

_LINE_BYTES: Final = 64
"""The bytes that a line takes besides its text."""


class LogEnd:
    """The end of one job's log."""

    def __init__(self, job_id: str, number: int = 0, size: int = 0) -> None:
        self._job_id = job_id
        self._number = number
        self._size = size

    def add(self, batch: NewLines) -> Iterator[list[object]]:
        """The rows of new lines: the job, the attempt, the number, the bytes so far, and the line."""
        for line in batch.lines:
            self._number += 1
            self._size += len(line.text.encode()) + _LINE_BYTES
            yield [batch.id, batch.attempt, self._number, self._size, *line]

    def find_excess(self, max_bytes: int | None) -> dict[str, object] | None:
        """What is to be dropped until the rest fits into so many bytes; `None` if it does. The newest line stays."""
        if max_bytes is None or self._size <= max_bytes:
            return None
        return {"job_id": self._job_id, "most": self._number - 1, "excess": self._size - max_bytes}
