"""Records of Python's `logging` as text for a job's log."""

import logging
from types import FrameType
from typing import Final

from servicekit.jobs.outcome import describe_traceback

_HANDLING: Final = logging.Logger.callHandlers.__code__
_FRAMES_OF_A_HANDLER: Final = 20
"""How many frames may lie between a logging handler's call and the stream's `write`. rich's handler needs half of them.
The search has a limit since every print pays for it."""


def is_logged(frame: FrameType | None) -> bool:
    """Whether a logging handler does this write, so that the job's log has the record already."""
    for _ in range(_FRAMES_OF_A_HANDLER):
        if frame is None:
            return False
        if frame.f_code is _HANDLING:
            return True
        frame = frame.f_back
    return False


def describe_record(record: logging.LogRecord) -> str:
    """The record's message, with its traceback and its stack if it has them."""
    try:
        text = record.getMessage()
    except Exception as error:  # the arguments do not fit the message, or cannot be shown; the handlers will say so
        text = f"{record.msg if type(record.msg) is str else '(a message)'} (cannot be shown: {type(error).__name__})"
    error_told = record.exc_info[1] if record.exc_info else None
    if isinstance(error_told, BaseException):
        text += f"\n{describe_traceback(error_told)}"
    return f"{text}\n{record.stack_info}" if record.stack_info else text
