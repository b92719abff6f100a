"""Results as JSON: as a file keeps them, and as a job's own process sends them."""

import json
from dataclasses import dataclass
from typing import Final

from pydantic_core import to_json

from servicekit.errors import JobFailed, JobNotFinished
from servicekit.jobs.status import JobStatus, Transition, move_of

_COMPLETED: Final = move_of(Transition.COMPLETE).target


@dataclass(frozen=True, slots=True)
class WrittenResult:
    """A result that a job's own process has written as JSON. This process has never had the value."""

    text: str | None
    """`None`: the result could not be written, or was too large."""


def write_result(result: object) -> bytes:
    """The result as JSON. NumPy's numbers and arrays become numbers and lists.

    It can call the user's code. It raises what that code raises, and an error for a value that is no JSON.
    """
    return to_json(result, fallback=_simplify)


def show_result(result: object) -> bytes:
    """The result as JSON for clients. NaN is `null`, since JSON has none. Raises what `write_result` does."""
    return to_json(result, inf_nan_mode="null", fallback=_simplify)


def _simplify(value: object) -> object:
    """A value that JSON does not know, as one that it knows."""
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} is no JSON")


def read_result(text: str) -> object:
    """The result that `write_result` has written. `ValueError` if the text is no JSON, or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def check_completed(job_id: str, status: JobStatus, error: str | None) -> None:
    """`JobNotFinished` or `JobFailed` if the job has no result; the latter tells its error."""
    if not status.is_terminal:
        raise JobNotFinished(job_id, status)
    if status is not _COMPLETED:
        raise JobFailed(job_id, status, error)
