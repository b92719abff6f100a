"""Arguments as JSON, and back as they were.

Numbers, texts, booleans, `None`, lists and dictionaries of these come back from JSON by themselves. Of what else there
is, pydantic writes and reads what the target's signature names a type for: a model, a dataclass, a date, a tuple. It
counts only if reading it gives back the same; else the arguments cannot be written.
"""

import inspect
import json
from collections.abc import Callable
from functools import lru_cache
from math import isfinite
from typing import Any

from pydantic import TypeAdapter, ValidationError

from servicekit.errors import ArgumentsUnfit

Key = int | str
"""Which argument: its place among those without a name, or its name."""


def dump_arguments(target: object, args: tuple[object, ...], kwargs: dict[str, object]) -> str | None:
    """`{"args": [...], "kwargs": {...}}`, with the keys of arguments that need their type under `typed`.

    `None` if they would not come back as they are.
    """
    try:
        typed: list[Key] = [index for index, value in enumerate(args) if not _is_plain(value)]
        typed += [name for name, value in kwargs.items() if not _is_plain(value)]
        if not typed:
            return json.dumps({"args": args, "kwargs": kwargs})
        return _dump_typed(target, list(args), dict(kwargs), typed)
    except (
        Exception
    ):  # a list that contains itself, a type that is none of pydantic's, or what comes of the user's code
        return None


def load_arguments(reference: str, target: object, text: str) -> tuple[tuple[object, ...], dict[str, object]]:
    """What `dump_arguments` was given; `ArgumentsUnfit` if the target's types are not what they were."""
    values = json.loads(text)
    args, kwargs = values["args"], values["kwargs"]
    try:
        for key in values.get("typed", ()):
            adapter = _adapters(target)[key]
            place = args if isinstance(key, int) else kwargs
            place[key] = adapter.validate_json(json.dumps(place[key]))
    except ValidationError as error:
        raise ArgumentsUnfit(reference, "; ".join(each["msg"] for each in error.errors())) from error
    except Exception as error:
        raise ArgumentsUnfit(reference, f"{type(error).__name__}: {error}") from error
    return tuple(args), kwargs


def _dump_typed(target: object, args: list[object], kwargs: dict[str, object], typed: list[Key]) -> str | None:
    adapters = _adapters(target)
    for key in typed:
        if key not in adapters:
            return None
        if isinstance(key, int):
            args[key] = _write(adapters[key], args[key])
        else:
            kwargs[key] = _write(adapters[key], kwargs[key])
    return json.dumps({"args": args, "kwargs": kwargs, "typed": typed})


def _write(adapter: TypeAdapter[object], value: object) -> object:
    data = adapter.dump_python(value, mode="json")
    again = adapter.validate_json(json.dumps(data, allow_nan=False))
    if type(again) is not type(value) or again != value:
        raise ValueError("it would come back as something else")
    return data


@lru_cache(maxsize=256)
def _adapters(target: Callable[..., object]) -> dict[Key, TypeAdapter[object]]:
    """What writes and reads each argument of a target whose signature names its type."""
    adapters: dict[Key, TypeAdapter[object]] = {}
    for index, parameter in enumerate(inspect.signature(target, eval_str=True).parameters.values()):
        if parameter.annotation is parameter.empty or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        adapter = TypeAdapter(parameter.annotation)
        if parameter.kind is not parameter.KEYWORD_ONLY:
            adapters[index] = adapter
        if parameter.kind is not parameter.POSITIONAL_ONLY:
            adapters[parameter.name] = adapter
    return adapters


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:
        return True
    if kind is float:
        return isfinite(value)
    if kind is list:
        return all(map(_is_plain, value))
    return kind is dict and all(type(key) is str and _is_plain(part) for key, part in value.items())
