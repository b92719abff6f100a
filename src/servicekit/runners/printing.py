"""Printing and logging in a job's own process."""

import io
import logging
import sys
from typing import TextIO

from servicekit.jobs.current import RunningJob
from servicekit.jobs.logging_records import describe_record, is_logged


def open_output(descriptor: int) -> TextIO:
    """A stream that writes each line at once, except for what a logging handler writes.

    The job's log has the logged records by another way: see `log_records`.
    """
    stream = io.BufferedWriter(io.FileIO(descriptor, "w"))
    return _Output(stream, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def log_records(job: RunningJob) -> None:
    """Make every record that a logger passes to its handlers lines of the job's log.

    A handler on the root logger would not do: `logging.basicConfig` in a target's module does nothing if there is one.
    """
    call = logging.Logger.callHandlers

    def log_and_call(logger: logging.Logger, record: logging.LogRecord) -> None:
        job.log(describe_record(record), str(record.levelname).lower(), str(record.name))
        call(logger, record)

    logging.Logger.callHandlers = log_and_call  # type: ignore[assignment]


class _Output(io.TextIOWrapper):
    def write(self, text: str) -> int:
        # The caller tells a handler of the standard library from everything else that writes.
        return len(text) if is_logged(sys._getframe(1)) else super().write(text)
