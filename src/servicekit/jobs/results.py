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
    """The result as JSON; NumPy's numbers and arrays are numbers and lists. What is no JSON raises.

    It may call the user's code, and raises whatever that does.
    """
    return to_json(result, fallback=_simplify)


def show_result(result: object) -> bytes:
    """The result as JSON for clients, in which there is no NaN: it is `null`. Raises what `write_result` does."""
    return to_json(result, inf_nan_mode="null", fallback=_simplify)


def _simplify(value: object) -> object:
    """What JSON can say of a value for which it has no word."""
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} is no JSON")


def read_result(text: str) -> object:
    """What `write_result` has written. `ValueError` for what is no JSON, or none that Python would read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
