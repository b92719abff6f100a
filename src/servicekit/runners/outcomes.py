"""How a call has ended, on its way from a job's own process: a line of JSON, and the result behind it.

The service does not trust what stands there. It reads no more than fits, checks it, and runs none of the job's code:
the result is written as JSON where it was made, and kept like that.
"""

import os
from typing import Annotated, Final

from pydantic import BaseModel, Field, FiniteFloat, StringConstraints

from servicekit.jobs.current import RunningJob
from servicekit.jobs.outcome import (
    CANCELED,
    MAX_ERROR_CHARACTERS,
    MAX_TRACEBACK_CHARACTERS,
    Outcome,
    artifact_id_of,
    clip,
    describe_error,
)
from servicekit.jobs.results import WrittenResult, write_result
from servicekit.jobs.status import Transition
from servicekit.jobs.threads import call_in_thread

MAX_RESULT_BYTES: Final = 64 * 1024 * 1024
_ENDS: Final = (Transition.COMPLETE, Transition.FAIL, Transition.CANCEL)
_MAX_HEADER_BYTES: Final = 256 * 1024
_MOST_AT_ONCE: Final = 256 * 1024
"""So many bytes are read on the event loop; more take long enough to be read beside it."""


class OutcomeHeader(BaseModel):
    """All but the result."""

    transition: Transition
    result_bytes: Annotated[int, Field(ge=-1, le=MAX_RESULT_BYTES)] | None
    """How many follow; -1 if there is a result that cannot be kept."""
    artifact_id: str | None = None
    error: Annotated[str, StringConstraints(max_length=2 * MAX_ERROR_CHARACTERS)] | None = None
    error_traceback: Annotated[str, StringConstraints(max_length=2 * MAX_TRACEBACK_CHARACTERS)] | None = None
    error_types: tuple[tuple[str, ...], ...] = ()
    retry_after_seconds: Annotated[FiniteFloat, Field(ge=0)] | None = None


def write_outcome(outcome: Outcome, job: RunningJob, descriptor: int) -> None:
    """Leave the outcome in a file, whatever stands there already. A result that cannot be kept is told in the log."""
    result = _write_result(outcome, job)
    header = OutcomeHeader(
        transition=outcome.transition,
        result_bytes=None if outcome.result is None else -1 if result is None else len(result),
        artifact_id=outcome.artifact_id,
        error=outcome.error,
        error_traceback=outcome.error_traceback,
        error_types=outcome.error_types,
        retry_after_seconds=outcome.retry_after_seconds,
    )
    line = header.model_dump_json().encode()
    if len(line) >= _MAX_HEADER_BYTES:  # names of classes have no bound
        line = header.model_copy(update={"error_types": ()}).model_dump_json().encode()
    data = memoryview(line + b"\n" + (result or b""))
    os.ftruncate(descriptor, 0)
    at = 0
    while at < len(data):
        at += os.pwrite(descriptor, data[at:], at)


def _write_result(outcome: Outcome, job: RunningJob) -> bytes | None:
    try:
        data = b"" if outcome.result is None else write_result(outcome.result)
    except BaseException as error:  # it can ask the user's code
        job.log(f"The result is not kept, since it cannot be written as JSON: {describe_error(error)}", "warning")
        return None
    if len(data) > MAX_RESULT_BYTES:
        job.log(
            f"The result is not kept: it has {len(data):,} bytes as JSON, of at most {MAX_RESULT_BYTES:,}. "
            "Write it to a file, and return its path.",
            "warning",
        )
        return None
    return data


async def read_outcome(descriptor: int) -> Outcome | None:
    """The outcome that a job's process has left; `None` if it is not there, or not whole."""
    size = os.fstat(descriptor).st_size
    if size <= _MOST_AT_ONCE:
        return _read_outcome(descriptor, size)
    return await call_in_thread(_read_outcome, descriptor, size)


def _read_outcome(descriptor: int, size: int) -> Outcome | None:
    line, end, _ = os.pread(descriptor, _MAX_HEADER_BYTES, 0).partition(b"\n")
    try:
        header = OutcomeHeader.model_validate_json(line)
        result_bytes = max(0, header.result_bytes or 0)
        if header.transition not in _ENDS or size != len(line) + len(end) + result_bytes:
            return None
        text = os.pread(descriptor, result_bytes, len(line) + 1).decode()
    except ValueError:  # `ValidationError` is one
        return None
    if header.transition is Transition.CANCEL:
        return CANCELED
    return Outcome(
        header.transition,
        None if header.result_bytes is None else WrittenResult(None if header.result_bytes < 0 else text),
        result_bytes,
        artifact_id_of(header.artifact_id),
        None if header.error is None else clip(header.error, MAX_ERROR_CHARACTERS),
        None if header.error_traceback is None else clip(header.error_traceback, MAX_TRACEBACK_CHARACTERS),
        error_types=header.error_types,
        retry_after_seconds=header.retry_after_seconds,
    )
