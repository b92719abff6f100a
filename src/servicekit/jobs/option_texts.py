"""Options as JSON. Only those that differ from the defaults are written."""

import json
from dataclasses import asdict, fields
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from servicekit.jobs.metadata import Metadata
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions
from servicekit.jobs.resources import Resources
from servicekit.jobs.retry import Retry

_NAMES: Final = tuple(field.name for field in fields(JobOptions))


def dump_options(options: JobOptions) -> str | None:
    """The options as text for `load_options`; `None` if all have their defaults."""
    return None if options is DEFAULT_OPTIONS else _dump(options)


@lru_cache(maxsize=256)  # a program has a few sets of options, and every job is submitted with one of them
def _dump(options: JobOptions) -> str | None:
    values = {name: value for name in _NAMES if (value := getattr(options, name)) != getattr(DEFAULT_OPTIONS, name)}
    return json.dumps(values, default=_spell) if values else None


def _spell(value: object) -> object:
    match value:
        case Retry() | Resources():
            return asdict(value)
        case Metadata():
            return value.as_dict()
        case datetime():
            return value.isoformat()
        case _:
            raise TypeError(f"an option of type {type(value).__name__}")


@lru_cache(maxsize=256)  # as for `_dump`: rows of a file repeat the same few texts
def load_options(text: str | None) -> JobOptions:
    """The options that `dump_options` has written."""
    return parse_options(text)


def parse_options(text: str | None) -> JobOptions:
    """The options of a text that may come from elsewhere: it is not cached. A wrong text can raise anything."""
    if text is None:
        return DEFAULT_OPTIONS
    values: dict[str, Any] = json.loads(text)
    if "retry" in values:
        values["retry"] = Retry(**values["retry"])
    if "start_at" in values:
        values["start_at"] = datetime.fromisoformat(values["start_at"])
    return JobOptions(**values)
