"""Results as JSON: as files keep them, and as they come from a job's own process."""

import json
from dataclasses import dataclass

from pydantic_core import to_json


@dataclass(frozen=True, slots=True)
class WrittenResult:
    """A result that was written where it was made: this process has never seen the value."""

    text: str | None
    """`None`: there is one that could not be written, or was too large."""


def write_result(result: object) -> bytes:
    """The result as JSON. Whatever the user's code raises that it may call; what is no JSON raises, too."""
    return to_json(result)


def read_result(text: str) -> object:
    """What `write_result` has written. `ValueError` for what is no JSON, or none that Python would read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
