"""Arguments written as JSON, and read back exactly as they were.

The form is `{"args": [...], "kwargs": {...}}`. If JSON would not give the values back unchanged, there is also
`"form": 2`, and the values are written by `servicekit.jobs.values`. Earlier versions wrote `"typed"`, a list of the
arguments that pydantic must read by the types of the target's signature. These are still read.
"""

import inspect
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from servicekit.errors import ArgumentsUnfit
from servicekit.jobs.classes import CannotKeep, CannotRead, TooDeep
from servicekit.jobs.outcome import describe_error
from servicekit.jobs.values import is_plain, outline_value, read_value, sketch_value, write_value

Key = int | str
"""An argument's position, or its name if it is given by keyword."""

NO_ARGUMENTS: Final = '{"args": [], "kwargs": {}}'
_FORM: Final = 2  # 1 is that of `"typed"`, which had no number


class ArgumentNotKept(Exception):
    """An argument cannot be written."""

    def __init__(self, key: Key, path: list[str], reason: str, *, is_too_deep: bool) -> None:
        super().__init__(reason)
        self.key = key
        self.path = path
        self.reason = reason
        self.is_too_deep = is_too_deep


def dump_arguments(args: tuple[object, ...], kwargs: dict[str, object]) -> str:
    """The arguments as text. `ArgumentNotKept` if one of them could not be read back unchanged."""
    if not (args or kwargs):
        return NO_ARGUMENTS
    try:
        if all(map(is_plain, args)) and (not kwargs or all(map(is_plain, kwargs.values()))):
            return json.dumps({"args": args, "kwargs": kwargs})
    except (RecursionError, ValueError):  # a value contains itself, or a number has too many digits for Python's `str`
        pass
    written = [_write(index, value) for index, value in enumerate(args)]
    named = {name: _write(name, value) for name, value in kwargs.items()}
    return json.dumps({"args": written, "kwargs": named, "form": _FORM})


def _write(key: Key, value: object) -> object:
    try:
        return write_value(value)
    except CannotKeep as obstacle:
        path, reason, is_too_deep = obstacle.path, obstacle.reason, isinstance(obstacle, TooDeep)
    except RecursionError:
        path, reason, is_too_deep = [], TooDeep().reason, True
    except Exception as error:  # it can be the user's code, such as the `__getattr__` of a proxy
        path, reason, is_too_deep = [], f"it cannot be looked at: {type(error).__name__}: {error}", False
    raise ArgumentNotKept(key, path, reason, is_too_deep=is_too_deep)


def sketch_arguments(args: tuple[object, ...], kwargs: dict[str, object]) -> str:
    """A text to compare calls by, if some argument cannot be written: that argument counts by its type alone."""
    named = {name: sketch_value(value) for name, value in kwargs.items()}
    return json.dumps({"args": list(map(sketch_value, args)), "kwargs": named})


def outline_arguments(args: tuple[object, ...], kwargs: dict[str, object]) -> str:
    """A text like that of `dump_arguments`, to be shown: an argument that cannot be written is the name of its type."""
    named = {name: outline_value(value) for name, value in kwargs.items()}
    return json.dumps({"args": list(map(outline_value, args)), "kwargs": named, "form": _FORM})


def load_arguments(reference: str, target: object, text: str) -> tuple[tuple[object, ...], dict[str, object]]:
    """The arguments that `dump_arguments` has written. `ArgumentsUnfit` if this program's classes do not fit them."""
    if text == NO_ARGUMENTS:
        return (), {}
    try:
        return _load(target, json.loads(text))
    except CannotRead as error:
        raise ArgumentsUnfit(reference, str(error)) from error
    except ValidationError as error:
        raise ArgumentsUnfit(reference, "; ".join(each["msg"] for each in error.errors())) from error
    # Another program can have written a text of any shape. And the classes that it names are the user's: an import of
    # their modules, a hash of an instance and a default of a new field can raise anything, also `SystemExit`.
    except BaseException as error:
        raise ArgumentsUnfit(reference, describe_error(error)) from error


def _load(target: Any, values: dict[str, Any]) -> tuple[tuple[object, ...], dict[str, object]]:
    args, kwargs = values["args"], values["kwargs"]
    if "form" in values:
        if values["form"] != _FORM:
            raise CannotRead("a newer servicekit has written them")
        return tuple(map(read_value, args)), {key: read_value(part) for key, part in kwargs.items()}
    if "typed" in values:
        _convert_typed(target, args, kwargs, values["typed"])
    return tuple(args), dict(kwargs)


def _convert_typed(target: Any, args: Any, kwargs: Any, typed: list[Key]) -> None:
    """Read the arguments that an earlier version has written."""
    for key in typed:
        adapter = _adapters(target)[key]
        place = args if isinstance(key, int) else kwargs
        place[key] = adapter.validate_json(json.dumps(place[key]))


@lru_cache(maxsize=256)  # pydantic needs a millisecond to prepare for a type
def _adapters(target: Callable[..., object]) -> dict[Key, TypeAdapter[object]]:
    """A reader for each argument whose type the target's signature names."""
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
