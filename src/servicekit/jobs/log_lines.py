"""A job's log: its lines, and a bounded buffer for lines on their way to the store."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, NamedTuple

from pydantic import Field

from servicekit.jobs.outcome import clip

# A line is for people to read, and one page of a log must not be filled by a single line.
MAX_LINE_CHARACTERS: Final = 2_000
_MAX_WORD_CHARACTERS: Final = 200  # levels and sources are short, but a logger can have any name
# The most that waits between two visits of the engine: a flood could else fill the memory before the engine takes it.
_MOST_LINES: Final = 1_000
_MOST_CHARACTERS: Final = 200_000
_CUT_OFF: Final = " ... (too long)"
# The text of a line that is written over (a progress bar) is taken at once, then a second later, then whenever the line
# is a sixtieth older, but at least once a minute. So a bar of hours leaves some hundred lines, and room for others.
_SHORTEST_STAND_SECONDS: Final = 1.0
_LONGEST_STAND_SECONDS: Final = 60.0
_STANDS_OF_AN_AGE: Final = 60


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
    """How many of the job's lines, the oldest ones, are not kept any more."""


class LineBuffer:
    """Lines that wait until the engine takes them. If there are too many, the oldest are left out, and counted.

    Every method may be called from any thread. Lines end with LF or CRLF. A progress bar writes over its line after a
    CR: its text is taken at once, then after a second and ever more rarely, down to once a minute, and once more when
    the line ends. The texts in between are not kept.
    """

    __slots__ = ("_characters", "_left_out", "_lines", "_lock", "_unfinished")

    def __init__(self) -> None:
        # An `RLock`, since a finalizer that prints can run at any moment, also on the thread that holds the lock.
        self._lock = threading.RLock()
        # Plain tuples, since most lines of a flood are left out; only those that are taken become `NewLine`s.
        self._lines: deque[tuple[float, str, str, str]] = deque()
        self._characters = 0
        self._left_out = 0
        # By thread as well, so that pieces of two threads do not get mixed in one line.
        self._unfinished: dict[_Place, _Unfinished] = {}

    def add(self, text: str, level: str, source: str) -> None:
        """Add a text as one line or several."""
        self._add(text.removesuffix("\n").split("\n"), level, source)

    def add_piece(self, text: str, level: str, source: str) -> bool:
        """Add a text that can begin or end within a line. Return whether there is something to take.

        A line that has not ended waits for its end, or for `finish`, unless it is written over.
        """
        place = (source, level, threading.get_ident())
        with self._lock:
            begun = self._unfinished.pop(place, None)
            *lines, rest = ((begun.text if begun else "") + text).split("\n")
            is_news = False
            if rest:
                line = begun if begun is not None and not lines else _Unfinished()
                is_news = line.go_on(rest)
                self._unfinished[place] = line
            if begun is not None and lines and begun.was_told(lines[0]):
                del lines[0]
        if lines:
            self._add(lines, level, source)
        return is_news or bool(lines)

    def finish(self) -> None:
        """Add the lines that have no line break yet: the attempt has ended, and nothing follows."""
        with self._lock:
            unfinished, self._unfinished = self._unfinished, {}
        for (source, level, _), line in unfinished.items():
            if line.text.strip() and not line.was_told(line.text):
                self._add([line.text], level, source)

    def seconds_to_next(self) -> float | None:
        """In how many seconds to `take` a line that is written over, even if nothing is added; `None` if there is none.

        A program that hangs writes no more, and its log must still show its last words.
        """
        with self._lock:
            moments = [line.next_at for line in self._unfinished.values() if line.has_news]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def take(self) -> list[NewLine]:
        """All lines that wait. If some were left out, the first line says how many."""
        with self._lock:
            self._add_standing()
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

    def _add_standing(self) -> None:
        now = time.monotonic()
        for (source, level, _), line in self._unfinished.items():
            if line.has_news and line.next_at <= now:
                self._add([line.tell(now)], level, source)
            line.is_called_for = line.has_news

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


_Place = tuple[str, str, int]
"""Where a line is written: source, level, thread."""


class _Unfinished:
    """A line that has not ended."""

    __slots__ = ("_began_at", "_is_written_over", "_told", "is_called_for", "next_at", "text")

    def __init__(self) -> None:
        self.text = ""
        self._told: str | None = None
        self._is_written_over = False
        self._began_at = time.monotonic()
        self.next_at = 0.0
        """The time from which the line may be taken again before it ends."""
        self.is_called_for = False
        """Whether the engine was told already that the line has news."""

    @property
    def has_news(self) -> bool:
        """Whether the line is written over, and has a text that was not taken yet."""
        return self._is_written_over and not self.was_told(self.text) and bool(_last_written(self.text).strip())

    def go_on(self, text: str) -> bool:
        """Set the line's text, and return whether the engine must be told of it."""
        self.text = _shorten(text)
        self._is_written_over = self._is_written_over or "\r" in text
        is_new = self.has_news and not self.is_called_for
        self.is_called_for = self.is_called_for or is_new
        return is_new

    def tell(self, now: float) -> str:
        """The line's present text, which counts as taken from now on."""
        self._told = _last_written(self.text)
        age = now - self._began_at
        self.next_at = now + min(max(_SHORTEST_STAND_SECONDS, age / _STANDS_OF_AN_AGE), _LONGEST_STAND_SECONDS)
        return self._told

    def was_told(self, text: str) -> bool:
        return self._told is not None and self._told == _last_written(text)


def _shorten(line: str) -> str:
    """A line that may go on, shortened. One character too many stays, to tell that it is too long; so does a CR."""
    if len(line) <= MAX_LINE_CHARACTERS and "\r" not in line:
        return line
    return _last_written(line)[: MAX_LINE_CHARACTERS + 1] + ("\r" if line.endswith("\r") else "")


def _last_written(line: str) -> str:
    """The text of a line after all that was written over it: what follows its last CR."""
    return line.rstrip("\r").rpartition("\r")[2]


def _clip_line(line: str) -> str:
    """The text of a line in at most `MAX_LINE_CHARACTERS`, without what UTF-8 cannot encode."""
    line = _last_written(line)
    if len(line) > MAX_LINE_CHARACTERS:
        line = line[: MAX_LINE_CHARACTERS - len(_CUT_OFF)] + _CUT_OFF
    return clip(line, MAX_LINE_CHARACTERS)[:MAX_LINE_CHARACTERS]  # `clip` can lengthen it: it spells surrogates out


def _clip_word(word: str) -> str:
    return clip(word, _MAX_WORD_CHARACTERS)[:_MAX_WORD_CHARACTERS]
