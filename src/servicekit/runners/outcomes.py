"""The outcome of a call on its way from a job's own process: a line of JSON, and the result after it.

The service does not trust this file. It reads no more than is allowed, checks it, and runs none of the job's code. The
job's process writes the result as JSON, and the service keeps that text.
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

# The service holds a result in memory, and the store keeps it. What is larger belongs in a file.
MAX_RESULT_BYTES: Final = 64 * 1024 * 1024
_ENDS: Final = (Transition.COMPLETE, Transition.FAIL, Transition.CANCEL)
# Far more than an error and a traceback need at their longest.
_MAX_HEADER_BYTES: Final = 256 * 1024
MAX_OUTCOME_BYTES: Final = MAX_RESULT_BYTES + _MAX_HEADER_BYTES
"""What is larger is no outcome."""
# So many bytes are read and checked within a millisecond, on the event loop. More are read in a thread.
_MOST_AT_ONCE: Final = 256 * 1024


class OutcomeHeader(BaseModel):
    """Everything but the result."""

    transition: Transition
    result_bytes: Annotated[int, Field(ge=-1, le=MAX_RESULT_BYTES)] | None
    """How many bytes follow. -1: there is a result, which cannot be kept. `None`: there is none."""
    artifact_id: str | None = None
    error: Annotated[str, StringConstraints(max_length=2 * MAX_ERROR_CHARACTERS)] | None = None
    error_traceback: Annotated[str, StringConstraints(max_length=2 * MAX_TRACEBACK_CHARACTERS)] | None = None
    error_types: tuple[tuple[str, ...], ...] = ()
    retry_after_seconds: Annotated[FiniteFloat, Field(ge=0)] | None = None


def write_outcome(outcome: Outcome, job: RunningJob, descriptor: int) -> None:
    """Write the outcome to a file, over whatever is there. The job's log says why a result is not kept."""
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
    if len(line) >= _MAX_HEADER_BYTES:  # the names of classes have no limit
        line = header.model_copy(update={"error_types": ()}).model_dump_json().encode()
    data = memoryview(line + b"\n" + (result or b""))
    os.ftruncate(descriptor, 0)
    at = 0
    while at < len(data):
        at += os.pwrite(descriptor, data[at:], at)


def _write_result(outcome: Outcome, job: RunningJob) -> bytes | None:
    try:
        data = b"" if outcome.result is None else write_result(outcome.result)
    except BaseException as error:  # writing may run the user's code
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
    """Read the outcome that a job's process has written; `None` if it is missing or incomplete."""
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
    except ValueError:  # `ValidationError` is one, and the error of a text that is not UTF-8 is another
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
