"""What a job has to say while it runs: lines, kept with it and bounded."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, NamedTuple

from pydantic import Field

from servicekit.jobs.outcome import clip

MAX_LINE_CHARACTERS: Final = 2_000
_MAX_WORD_CHARACTERS: Final = 200
_MOST_LINES: Final = 1_000
_MOST_CHARACTERS: Final = 200_000
_CUT_OFF: Final = " ... (too long)"


class NewLine(NamedTuple):
    """A line on its way into the store. Its text has at most `MAX_LINE_CHARACTERS`, and no line break in it."""

    at: datetime
    level: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log."""

    number: Annotated[int, Field(description="Counts the lines of the job, from 1.", examples=[1])]
    at: Annotated[datetime, Field(description="When it was written (UTC).")]
    attempt: Annotated[int, Field(description="The attempt that wrote it.", examples=[1])]
    level: Annotated[str, Field(description="A level of Python's logging, in lower case.", examples=["info"])]
    source: Annotated[
        str, Field(description="`stdout`, `stderr`, `log`, or the name of a logger.", examples=["stdout"])
    ]
    text: Annotated[str, Field(description="The line, bounded.", examples=["epoch 3 of 10"])]


class LogPage(NamedTuple):
    """Some lines of a job's log, in order."""

    lines: list[LogLine]
    is_last: bool
    """Whether there are no more lines so far."""
    dropped: int
    """How many lines of the job, the oldest, are not kept."""


class LineBuffer:
    """Lines that wait to be taken: the newest, bounded in number and size, and how many had to go for them.

    Every method may be called from any thread. Lines end with LF or CRLF; of one that was written over after a CR, as
    progress bars are, what was written last is kept.
    """

    __slots__ = ("_characters", "_left_out", "_lines", "_lock", "_unfinished")

    def __init__(self) -> None:
        # A finalizer that prints can run in the midst of anything, on the thread that holds the lock.
        self._lock = threading.RLock()
        self._lines: deque[tuple[float, str, str, str]] = deque()  # cheap: of a flood, few are ever taken
        self._characters = 0
        self._left_out = 0
        # Pieces of different threads are not mixed.
        self._unfinished: dict[tuple[str, str, int], str] = {}

    def add(self, text: str, level: str, source: str) -> None:
        """Add a text as one line or several."""
        self._add(text.removesuffix("\n").split("\n"), level, source)

    def add_piece(self, text: str, level: str, source: str) -> bool:
        """Add a text that does not begin or end where lines do, and say whether a line has ended with it.

        One that has not waits for its end, or for `finish`.
        """
        key = (source, level, threading.get_ident())
        with self._lock:
            *lines, rest = (self._unfinished.pop(key, "") + text).split("\n")
            if rest:
                self._unfinished[key] = _shorten(rest)
        if lines:
            self._add(lines, level, source)
        return bool(lines)

    def finish(self) -> None:
        """Add what has not been ended by a line break: nothing more will come."""
        with self._lock:
            unfinished, self._unfinished = self._unfinished, {}
        for (source, level, _), text in unfinished.items():
            if text.strip():
                self._add([text], level, source)

    def take(self) -> list[NewLine]:
        """All lines that are there. In the place of those that were left out is one that says how many."""
        with self._lock:
            lines, left_out = list(self._lines), self._left_out
            self._lines.clear()
            self._characters = self._left_out = 0
        if left_out:
            note = f"... {left_out:,} {'line' if left_out == 1 else 'lines'} left out ..."
            lines.insert(0, (time.time(), "warning", "log", note))
        return [
            NewLine(datetime.fromtimestamp(at, UTC), _clip_word(level), _clip_word(source), _clip_line(text))
            for at, level, source, text in lines
        ]

    def _add(self, lines: list[str], level: str, source: str) -> None:
        at = time.time()
        with self._lock:
            for line in lines:
                text = _shorten(line)
                self._lines.append((at, level, source, text))
                self._characters += len(text)
                while len(self._lines) > _MOST_LINES or self._characters > _MOST_CHARACTERS:
                    self._characters -= len(self._lines.popleft()[-1])
                    self._left_out += 1


def _shorten(line: str) -> str:
    """What is to be kept of a line that may go on: enough to tell whether it is too long, and whether CRLF ends it."""
    if len(line) <= MAX_LINE_CHARACTERS and "\r" not in line:
        return line
    return _last_written(line)[: MAX_LINE_CHARACTERS + 1] + ("\r" if line.endswith("\r") else "")


def _last_written(line: str) -> str:
    """What a line reads after all that was written over it."""
    return line.rstrip("\r").rpartition("\r")[2]


def _clip_line(line: str) -> str:
    """What a line reads, in at most `MAX_LINE_CHARACTERS`, and without what UTF-8 cannot say."""
    line = _last_written(line)
    if len(line) > MAX_LINE_CHARACTERS:
        line = line[: MAX_LINE_CHARACTERS - len(_CUT_OFF)] + _CUT_OFF
    return clip(line, MAX_LINE_CHARACTERS)[:MAX_LINE_CHARACTERS]


def _clip_word(word: str) -> str:
    return clip(word, _MAX_WORD_CHARACTERS)[:_MAX_WORD_CHARACTERS]
