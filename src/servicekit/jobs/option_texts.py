"""Options as JSON: those that were asked for, and only these."""

import json
from dataclasses import asdict, fields
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from servicekit.jobs.metadata import Metadata
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions
from servicekit.jobs.retry import Retry

_NAMES: Final = tuple(field.name for field in fields(JobOptions))


def dump_options(options: JobOptions) -> str | None:
    """The options as `load_options` reads them; `None` if all are as they are by default."""
    return None if options is DEFAULT_OPTIONS else _dump(options)


@lru_cache(maxsize=256)
def _dump(options: JobOptions) -> str | None:
    values = {name: value for name in _NAMES if (value := getattr(options, name)) != getattr(DEFAULT_OPTIONS, name)}
    return json.dumps(values, default=_spell) if values else None


def _spell(value: object) -> object:
    match value:
        case Retry():
            return asdict(value)
        case Metadata():
            return value.as_dict()
        case datetime():
            return value.isoformat()
        case _:
            raise TypeError(f"an option of type {type(value).__name__}")


@lru_cache(maxsize=256)
def load_options(text: str | None) -> JobOptions:
    """What `dump_options` has written."""
    return parse_options(text)


def parse_options(text: str | None) -> JobOptions:
    """The same of a text from elsewhere, which is not remembered. Whatever a wrong one raises."""
    if text is None:
        return DEFAULT_OPTIONS
    values: dict[str, Any] = json.loads(text)
    if "retry" in values:
        values["retry"] = Retry(**values["retry"])
    if "start_at" in values:
        values["start_at"] = datetime.fromisoformat(values["start_at"])
    return JobOptions(**values)
