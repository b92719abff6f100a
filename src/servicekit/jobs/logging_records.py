"""Log records of Python's `logging`, as text for a job's log."""

import logging
from types import FrameType
from typing import Final

from servicekit.jobs.outcome import describe_traceback

_HANDLING: Final = logging.Logger.callHandlers.__code__
_FRAMES_OF_A_HANDLER: Final = 20
"""How far from the call of a logging handler the stream's `write` may be; those of rich are halfway."""


def is_logged(frame: FrameType | None) -> bool:
    """Whether it is a logging handler that writes."""
    for _ in range(_FRAMES_OF_A_HANDLER):
        if frame is None:
            return False
        if frame.f_code is _HANDLING:
            return True
        frame = frame.f_back
    return False


def describe_record(record: logging.LogRecord) -> str:
    """The message, and the traceback and the stack if there are any."""
    try:
        text = record.getMessage()
    except Exception as error:  # arguments that do not fit, or cannot be shown: the handlers will say so
        text = f"{record.msg if type(record.msg) is str else '(a message)'} (cannot be shown: {type(error).__name__})"
    error_told = record.exc_info[1] if record.exc_info else None
    if isinstance(error_told, BaseException):
        text += f"\n{describe_traceback(error_told)}"
    return f"{text}\n{record.stack_info}" if record.stack_info else text
