"""The capture of what jobs print and log. It goes to the job's log, and still goes where it went before.

Standard output, standard error and `logging` belong to the process. So one capture serves all schedulers of a process,
from the first `install` to the last `uninstall`. Each line goes to the job in whose context it was written. A thread
that a job starts by itself has no such context, unless it is started by `asyncio.to_thread` or with a copy of the
context.

- Streams: the `write` of the stream object is replaced. So code that has got hold of the stream before (a logging
  handler, loguru, pytest) is captured too, and all else about the stream is as it was. If a program puts another object
  in the place of `sys.stdout`, its output is not captured from then on. The `write` of the stream's `buffer` is
  replaced too, for programs that write bytes. Bytes that the stream itself writes there are not taken a second time.
- Log records: they are taken where a logger hands them to its handlers, after the logger's own filters. So a secret
  that such a filter has masked is masked in the job's log too. A handler on the root logger would be simpler, but then
  `logging.basicConfig` would do nothing. What handlers then write to a stream is not taken a second time.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from logging import LogRecord
from typing import Any, Final
from weakref import WeakSet

from servicekit.jobs.current import RunningJob, running_job
from servicekit.jobs.logging_records import describe_record, is_logged

_STREAMS: Final = {"stdout": "info", "stderr": "warning"}
_OURS: Final = "servicekit"
_passing = threading.local()
"""`is_heard`: whether this thread is within the `write` of a text stream, which writes captured text to its buffer."""


class _Tap:
    """Replaces a method of one object until it is closed."""

    def __init__(self, owner: object, name: str) -> None:
        self.owner = owner
        self.is_open = True
        self.call: Callable[..., Any] = getattr(owner, name)
        self._name = name
        self._replaced = vars(owner).get(name)
        setattr(owner, name, self)

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)

    def call_as_heard(self, *args: Any) -> Any:
        """Call the method, and mark what it writes to a buffer as captured."""
        was_heard = getattr(_passing, "is_heard", False)  # it can be set already: one stream may write to another
        _passing.is_heard = True
        try:
            return self.call(*args)
        finally:
            _passing.is_heard = was_heard

    def close(self) -> None:
        self.is_open = False
        # Other code has replaced the method after this, and calls this object: it must stay, and only pass on.
        if vars(self.owner).get(self._name) is not self:
            return
        if self._replaced is None:
            delattr(self.owner, self._name)
        else:
            setattr(self.owner, self._name, self._replaced)


class _StreamTap(_Tap):
    """Captures text that is written to a stream."""

    def __init__(self, stream: object, source: str) -> None:
        super().__init__(stream, "write")
        self._source = source

    def __call__(self, text: str) -> Any:
        written = self.call_as_heard(text)
        job = running_job()
        if job is not None and self.is_open and isinstance(text, str) and not is_logged(sys._getframe(1)):
            job.log_piece(text, _STREAMS[self._source], self._source)
        return written


class _FlushTap(_Tap):
    """Marks text as captured that a stream has kept, and writes to its buffer when it is flushed."""

    def __init__(self, stream: object) -> None:
        super().__init__(stream, "flush")

    def __call__(self) -> Any:
        return self.call_as_heard()


class _BufferTap(_Tap):
    """Captures bytes that a program writes to the buffer of a stream. The stream's own writes are captured already."""

    def __init__(self, stream: Any, source: str) -> None:
        super().__init__(stream.buffer, "write")
        self._source = source
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    def __call__(self, data: bytes) -> Any:
        written = self.call(data)
        job = running_job()
        if job is not None and self.is_open and not getattr(_passing, "is_heard", False):
            self._hear(job, data)
        return written

    def _hear(self, job: RunningJob, data: bytes) -> None:
        if not is_logged(sys._getframe(2)):
            with suppress(TypeError, LookupError):  # the data are no bytes, or Python does not know the encoding
                job.log_piece(bytes(data).decode(self._encoding, "replace"), _STREAMS[self._source], self._source)


def _tap_stream(stream: Any, source: str, others: Collection[int]) -> list[_Tap]:
    """Capture what is written to a stream, and to its buffer if that is possible."""
    taps: list[_Tap] = [_StreamTap(stream, source)]
    with suppress(AttributeError, TypeError):  # the stream has no buffer, or one whose methods cannot be replaced
        if id(stream.buffer) not in others:  # two streams can share a buffer, which must be captured once
            taps.append(_BufferTap(stream, source))
        taps.append(_FlushTap(stream))
    return taps


class _LoggingTap:
    """Captures the records that loggers hand to handlers, until it is closed."""

    def __init__(self) -> None:
        self._is_open = True
        self._call = call = logging.Logger.callHandlers

        def hear_and_call(logger: logging.Logger, record: LogRecord) -> None:
            job = running_job()
            if job is not None and self._is_open and _is_theirs(record.name):
                job.log(describe_record(record), str(record.levelname), record.name)
            call(logger, record)

        self._hear = hear_and_call
        logging.Logger.callHandlers = hear_and_call  # type: ignore[assignment]

    def close(self) -> None:
        self._is_open = False
        # Else other code has replaced the method after this, and calls it: it must stay, and only pass on.
        if logging.Logger.callHandlers is self._hear:
            logging.Logger.callHandlers = self._call  # type: ignore[method-assign]


def _is_theirs(logger: object) -> bool:
    """Whether the logger is not servicekit's own, whose records are about jobs and not by them."""
    return type(logger) is str and logger != _OURS and not logger.startswith(f"{_OURS}.")


class _Capture:
    """The capture of this process, and the engines that want it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: WeakSet[object] = WeakSet()
        self._logging: _LoggingTap | None = None
        self._taps: list[_Tap] = []

    def install(self, owner: object) -> None:
        """Capture what jobs print and log, until `owner` calls `uninstall`. An owner may install twice.

        `sys.stdout` may be another object than at the last call, so the streams are looked at each time.
        """
        with self._lock:
            self._owners.add(owner)
            self._logging = self._logging or _LoggingTap()
            for source in _STREAMS:
                stream = getattr(sys, source)
                owners = [id(tap.owner) for tap in self._taps]
                # Without a `__dict__`, a method of the object cannot be replaced; `None` has none either.
                if hasattr(stream, "__dict__") and id(stream) not in owners:
                    self._taps += _tap_stream(stream, source, owners)

    def uninstall(self, owner: object) -> None:
        """End the capture for this owner. With the last owner, everything that was replaced is put back."""
        with self._lock:
            self._owners.discard(owner)
            if not self._owners:
                self._close_taps()

    def forget(self) -> None:
        """End the capture in a forked child. The parent's jobs are copies here, whose logs nobody would read."""
        self._lock = threading.Lock()  # another thread of the parent may have held the old one, and is not here
        self._owners.clear()
        self._close_taps()

    def _close_taps(self) -> None:
        if self._logging is not None:
            self._logging.close()
        for tap in self._taps:
            tap.close()
        self._logging, self._taps = None, []


_capture = _Capture()
os.register_at_fork(after_in_child=_capture.forget)
install, uninstall = _capture.install, _capture.uninstall
