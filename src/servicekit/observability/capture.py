"""Capturing what jobs print and log: it goes where it goes, and to the job's log as well.

Standard output, standard error and `logging` belong to the process. So one capture serves all schedulers in it, from
the first `install` to the last `uninstall`; each line goes to the job in whose context it was written. A thread that a
job starts by itself has no such context, unless by `asyncio.to_thread` or with a copy of it.

- Of a stream, `write` is replaced: whoever has taken hold of it before (a logging handler, loguru, pytest) is heard as
  well, and all else about it is as it was. Whoever puts another stream in its place is not heard from then on.
- Log records are seen where they are made. A handler on the root logger would keep `logging.basicConfig` from doing
  anything. What handlers then write to a stream has been heard already, and is not taken again.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable
from logging import LogRecord
from typing import Any, Final, Protocol
from weakref import WeakSet

from servicekit.jobs.current import current
from servicekit.jobs.log_records import describe_record, is_logged

_STREAMS: Final = {"stdout": "info", "stderr": "warning"}
_OURS: Final = "servicekit"


class _Stream(Protocol):
    """A text stream, as far as it matters here."""

    write: Callable[[str], int]


class _StreamTap:
    """Hears what is written to a text stream, until it is closed."""

    def __init__(self, stream: _Stream, source: str) -> None:
        self.stream = stream
        self._source = source
        self._level = _STREAMS[source]
        self._is_open = True
        self._write = stream.write
        self._replaced = vars(stream).get("write")
        stream.write = self.write

    def write(self, text: str) -> int:
        written = self._write(text)
        job = current.get(None)
        if job is not None and self._is_open and isinstance(text, str) and not is_logged(sys._getframe(1)):
            job.log_piece(text, self._level, self._source)
        return written

    def close(self) -> None:
        self._is_open = False
        if vars(self.stream).get("write") != self.write:  # somebody else has done the same, and calls this one
            return
        if self._replaced is None:
            del self.stream.write
        else:
            self.stream.write = self._replaced


class _LoggingTap:
    """Hears the log records that are made, until it is closed."""

    def __init__(self) -> None:
        self._is_open = True
        self._make = logging.getLogRecordFactory()
        logging.setLogRecordFactory(self)

    def __call__(self, name: str, level: int, *args: Any, **kwargs: Any) -> LogRecord:
        record: LogRecord = self._make(name, level, *args, **kwargs)
        job = current.get(None)
        if job is not None and self._is_open and _is_theirs(record.name):
            job.log(describe_record(record), str(record.levelname), record.name)
        return record

    def close(self) -> None:
        self._is_open = False
        if logging.getLogRecordFactory() is self:  # else somebody calls this one
            logging.setLogRecordFactory(self._make)


def _is_theirs(logger: object) -> bool:
    """Whether it is not ours, and not the empty record that is filled with one from elsewhere."""
    return type(logger) is str and logger != _OURS and not logger.startswith(f"{_OURS}.")


class _Capture:
    """What is installed in this process, and who wants it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: WeakSet[object] = WeakSet()
        self._logging: _LoggingTap | None = None
        self._streams: list[_StreamTap] = []

    def install(self, owner: object) -> None:
        """Capture what jobs print and log from now on, as long as `owner` wants it. It may say so twice."""
        with self._lock:
            self._owners.add(owner)
            self._logging = self._logging or _LoggingTap()
            for source in _STREAMS:
                stream = getattr(sys, source)
                if hasattr(stream, "__dict__") and not any(tap.stream is stream for tap in self._streams):
                    self._streams.append(_StreamTap(stream, source))

    def uninstall(self, owner: object) -> None:
        """This owner wants it no more. If nobody does, all is again as if it had never been."""
        with self._lock:
            self._owners.discard(owner)
            if not self._owners:
                self._close_taps()

    def forget(self) -> None:
        """This is a forked child: what its parent's jobs are here are copies, which nobody reads."""
        self._lock = threading.Lock()
        self._owners.clear()
        self._close_taps()

    def _close_taps(self) -> None:
        if self._logging is not None:
            self._logging.close()
        for tap in self._streams:
            tap.close()
        self._logging, self._streams = None, []


_capture = _Capture()
os.register_at_fork(after_in_child=_capture.forget)
install, uninstall = _capture.install, _capture.uninstall
