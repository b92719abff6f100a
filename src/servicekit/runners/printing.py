"""What is printed and logged in a job's own process."""

import io
import logging
import sys
from types import FrameType
from typing import Any, Final, TextIO

from servicekit.jobs.current import CurrentJob
from servicekit.jobs.outcome import describe_traceback

_HANDLING: Final = logging.Logger.callHandlers.__code__
_FRAMES_OF_A_HANDLER: Final = 20


def open_output(descriptor: int) -> TextIO:
    """A stream that writes each line at once, but nothing that a logging handler wants to write there.

    The job's log has what is logged from elsewhere: see `log_records`.
    """
    stream = io.BufferedWriter(io.FileIO(descriptor, "w"))
    return _Output(stream, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def log_records(job: CurrentJob) -> None:
    """Make every log record lines of the job's log, where it is made.

    No handler does that, since with one on the root logger, `logging.basicConfig` in a target's module did nothing.
    """
    make = logging.getLogRecordFactory()

    def make_and_log(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if isinstance(record.name, str):  # one without is empty, and filled with what comes from elsewhere
            job.log(_describe(record), record.levelname.lower(), record.name)
        return record

    logging.setLogRecordFactory(make_and_log)


class _Output(io.TextIOWrapper):
    def write(self, text: str) -> int:
        return len(text) if _is_logged(sys._getframe(1)) else super().write(text)


def _is_logged(frame: FrameType | None) -> bool:
    """Whether it is a logging handler that writes."""
    for _ in range(_FRAMES_OF_A_HANDLER):
        if frame is None or frame.f_code is _HANDLING:
            return frame is not None
        frame = frame.f_back
    return False


def _describe(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception as error:  # arguments that do not fit, or cannot be shown
        text = f"{record.msg if type(record.msg) is str else '(a message)'} (cannot be shown: {type(error).__name__})"
    error_told = record.exc_info[1] if record.exc_info else None
    return text if error_told is None else f"{text}\n{describe_traceback(error_told)}"
