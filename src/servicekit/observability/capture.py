"""Capturing what jobs print and log: it goes where it goes, and to the job's log as well.

Standard output, standard error and `logging` belong to the process. So one capture serves all schedulers in it, from
the first `install` to the last `uninstall`; each line goes to the job in whose context it was written. A thread that a
job starts by itself has no such context, unless by `asyncio.to_thread` or with a copy of it.

- Of a stream, `write` is replaced: whoever has taken hold of it before (a logging handler, loguru, pytest) is heard as
  well, and all else about it is as it was. Whoever puts another stream in its place is not heard from then on. Of its
  `buffer`, `write` is replaced too, for bytes; what the stream itself writes there has been heard already.
- Log records are seen where a logger hands them to handlers, after its own filters: what a filter has masked there is
  masked for clients too. A handler on the root logger would keep `logging.basicConfig` from doing anything. What
  handlers then write to a stream has been heard already, and is not taken again.
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
"""Whether this thread is within a text stream, which passes on to its buffer what has been heard."""


class _Tap:
    """Stands in the place of a method of one object, until it is closed."""

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
        """Call the method, and mark what it passes on to a buffer as heard. One stream may write to another."""
        was_heard = getattr(_passing, "is_heard", False)
        _passing.is_heard = True
        try:
            return self.call(*args)
        finally:
            _passing.is_heard = was_heard

    def close(self) -> None:
        self.is_open = False
        if vars(self.owner).get(self._name) is not self:  # somebody else has done the same, and calls this one
            return
        if self._replaced is None:
            delattr(self.owner, self._name)
        else:
            setattr(self.owner, self._name, self._replaced)


class _StreamTap(_Tap):
    """Hears what is written to a text stream."""

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
    """Marks what a text stream passes on to its buffer later on as heard."""

    def __init__(self, stream: object) -> None:
        super().__init__(stream, "flush")

    def __call__(self) -> Any:
        return self.call_as_heard()


class _BufferTap(_Tap):
    """Hears the bytes that are written to the buffer of a text stream, but not by the stream itself."""

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
            with suppress(TypeError, LookupError):  # it is no bytes, or the stream has an encoding of its own
                job.log_piece(bytes(data).decode(self._encoding, "replace"), _STREAMS[self._source], self._source)


def _tap_stream(stream: Any, source: str, others: Collection[int]) -> list[_Tap]:
    """Hear what is written to a stream, and to its buffer unless it is another's too, as far as that can be heard."""
    taps: list[_Tap] = [_StreamTap(stream, source)]
    with suppress(AttributeError, TypeError):  # it has no buffer, or one that takes no attributes
        if id(stream.buffer) not in others:
            taps.append(_BufferTap(stream, source))
        taps.append(_FlushTap(stream))
    return taps


class _LoggingTap:
    """Hears the records that loggers hand to handlers, until it is closed."""

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
        if logging.Logger.callHandlers is self._hear:  # else somebody calls this one
            logging.Logger.callHandlers = self._call  # type: ignore[method-assign]


def _is_theirs(logger: object) -> bool:
    """Whether it is not ours."""
    return type(logger) is str and logger != _OURS and not logger.startswith(f"{_OURS}.")


class _Capture:
    """What is installed in this process, and who wants it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: WeakSet[object] = WeakSet()
        self._logging: _LoggingTap | None = None
        self._taps: list[_Tap] = []

    def install(self, owner: object) -> None:
        """Capture what jobs print and log from now on, as long as `owner` wants it. It may say so twice."""
        with self._lock:
            self._owners.add(owner)
            self._logging = self._logging or _LoggingTap()
            for source in _STREAMS:
                stream = getattr(sys, source)
                owners = [id(tap.owner) for tap in self._taps]
                if hasattr(stream, "__dict__") and id(stream) not in owners:
                    self._taps += _tap_stream(stream, source, owners)

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
        for tap in self._taps:
            tap.close()
        self._logging, self._taps = None, []


_capture = _Capture()
os.register_at_fork(after_in_child=_capture.forget)
install, uninstall = _capture.install, _capture.uninstall
