"""What is printed and logged in a job's own process."""

import io
import logging
import sys
from typing import Any, TextIO

from servicekit.jobs.current import CurrentJob
from servicekit.jobs.log_records import describe_record, is_logged


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
            job.log(describe_record(record), record.levelname.lower(), record.name)
        return record

    logging.setLogRecordFactory(make_and_log)


class _Output(io.TextIOWrapper):
    def write(self, text: str) -> int:
        return len(text) if is_logged(sys._getframe(1)) else super().write(text)
