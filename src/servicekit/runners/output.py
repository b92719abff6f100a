"""The output of a job's processes on its way into the job's log. Everything here takes bytes as they are read."""

import re
from codecs import getincrementaldecoder
from typing import Final

from servicekit.jobs.current import RunningJob
from servicekit.jobs.terminal import strip_escapes
from servicekit.runners.descriptors import TakeBytes

_MARK: Final = b"::progress "
# At most 15 digits, which a float keeps exactly.
_NUMBER: Final = rb"\d{1,15}(?:\.\d{1,15})?"
_PROGRESS: Final = re.compile(_MARK + rb"(%b)(?:/(%b))?(?: (.*?))?\r?" % (_NUMBER, _NUMBER))
# A longer line is no progress: it could be held back without end.
_MOST_BYTES: Final = 4_000
# How R ends when it fails; how Node and Java do; and what these write between the error and the end.
_HALTED: Final = re.compile(r"Execution halted|Calls: .*")
_END_OF_TRACE: Final = re.compile(r"Node\.js v\d.*|\s+at .*|\s+\.\.\. \d+ more")
_WITHIN_TRACE: Final = re.compile(r"\s|\}$|Node\.js v\d")


class OutputLog:
    """Makes lines of the job's log. Bytes that are not UTF-8 are replaced."""

    def __init__(self, job: RunningJob, source: str, level: str) -> None:
        self._job = job
        self._source = source
        self._level = level
        self._decoder = getincrementaldecoder("utf-8")(errors="replace")

    def __call__(self, data: bytes) -> None:
        text = self._decoder.decode(data, final=not data)
        if text:
            self._job.log_piece(text, self._level, self._source)


class ProgressReader:
    """Takes the lines that report progress, and passes on all others.

    The beginning of a line is held back only as long as the line may report progress.
    """

    def __init__(self, job: RunningJob, take_rest: TakeBytes) -> None:
        self._job = job
        self._take_rest = take_rest
        self._held = b""
        self._rest = bytearray()
        self._is_within_line = False

    def __call__(self, data: bytes) -> None:
        *lines, begun = (self._held + data).split(b"\n")
        self._held = b""
        for line in lines:
            self._sort(line, b"\n")
        if data and not self._is_within_line and _may_become_progress(begun):
            self._held = begun
        else:
            self._sort(begun, b"")
        rest, self._rest = bytes(self._rest), bytearray()
        if rest:
            self._take_rest(rest)
        if not data:
            self._take_rest(b"")

    def _sort(self, line: bytes, end: bytes) -> None:
        told = None if self._is_within_line else _PROGRESS.fullmatch(line)
        if told is None:
            self._rest += line + end
        else:
            done, total, message = told.groups()
            text = None if message is None else message.decode(errors="replace")
            self._job.progress(_number(done), None if total is None else _number(total), text)
        self._is_within_line = not end and (self._is_within_line or bool(line))


class OutputTail:
    """Keeps the last bytes, and passes on all bytes."""

    def __init__(self, limit: int, take_all: TakeBytes) -> None:
        self._limit = limit
        self._take_all = take_all
        self._data = bytearray()

    def __call__(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > 2 * self._limit:  # not each time, since it moves all that is kept
            del self._data[: -self._limit]
        self._take_all(data)

    @property
    def text(self) -> str:
        return self._data[-self._limit :].decode(errors="replace")

    @property
    def last_line(self) -> str:
        """The last line that is not empty, without colours. If a line was overwritten (`\\r`), its last state.

        What R, Node and Java write after the line that says what is wrong does not count.
        """
        lines = [line for each in self.text.splitlines() if (line := strip_escapes(each)).strip()]
        if lines and _END_OF_TRACE.fullmatch(lines[-1]):
            lines = [line for line in lines if not _WITHIN_TRACE.match(line)] or lines
        while len(lines) > 1 and _HALTED.fullmatch(lines[-1]):
            lines.pop()
        return lines[-1].strip() if lines else ""


def _number(digits: bytes) -> float:
    return float(digits) if b"." in digits else int(digits)


def _may_become_progress(line: bytes) -> bool:
    return len(line) <= _MOST_BYTES and (line.startswith(_MARK) or _MARK.startswith(line))
