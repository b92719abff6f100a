"""Arguments as JSON, and back exactly as they were.

`{"args": [...], "kwargs": {...}}`. If JSON alone would not give them back, there is `"form": 2` beside, and they are
written as `servicekit.jobs.values` says. Earlier versions named under `"typed"` which arguments pydantic has to read by
the types of the target's signature; these are still read.
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
from servicekit.jobs.values import is_plain, read_value, sketch_value, write_value

Key = int | str
"""Which argument: its place among those without a name, or its name."""

NO_ARGUMENTS: Final = '{"args": [], "kwargs": {}}'
_FORM: Final = 2


class ArgumentNotKept(Exception):
    """An argument cannot be written."""

    def __init__(self, key: Key, path: list[str], reason: str, *, is_too_deep: bool) -> None:
        super().__init__(reason)
        self.key = key
        self.path = path
        self.reason = reason
        self.is_too_deep = is_too_deep


def dump_arguments(args: tuple[object, ...], kwargs: dict[str, object]) -> str:
    """The arguments as text; `ArgumentNotKept` if one of them would not come back as it is."""
    if not (args or kwargs):
        return NO_ARGUMENTS
    try:
        if all(map(is_plain, args)) and (not kwargs or all(map(is_plain, kwargs.values()))):
            return json.dumps({"args": args, "kwargs": kwargs})
    except (RecursionError, ValueError):  # it contains itself, or a number of too many digits
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
    except Exception as error:  # of the user's code: a proxy's __getattr__, say
        path, reason, is_too_deep = [], f"it cannot be looked at: {type(error).__name__}: {error}", False
    raise ArgumentNotKept(key, path, reason, is_too_deep=is_too_deep)


def sketch_arguments(args: tuple[object, ...], kwargs: dict[str, object]) -> str:
    """A text by which calls are told apart of which something cannot be written: that counts by its type alone."""
    named = {name: sketch_value(value) for name, value in kwargs.items()}
    return json.dumps({"args": list(map(sketch_value, args)), "kwargs": named})


def load_arguments(reference: str, target: object, text: str) -> tuple[tuple[object, ...], dict[str, object]]:
    """What `dump_arguments` was given; `ArgumentsUnfit` if the classes are not what they were."""
    if text == NO_ARGUMENTS:
        return (), {}
    try:
        return _load(target, json.loads(text))
    except CannotRead as error:
        raise ArgumentsUnfit(reference, str(error)) from error
    except ValidationError as error:
        raise ArgumentsUnfit(reference, "; ".join(each["msg"] for each in error.errors())) from error
    # What somebody else has written can have any shape, and the classes that it names are the user's: to import their
    # modules, to hash their instances or to fill a new field can raise anything, `sys.exit()` included.
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
    """Read what an earlier version has written."""
    for key in typed:
        adapter = _adapters(target)[key]
        place = args if isinstance(key, int) else kwargs
        place[key] = adapter.validate_json(json.dumps(place[key]))


@lru_cache(maxsize=256)
def _adapters(target: Callable[..., object]) -> dict[Key, TypeAdapter[object]]:
    """What reads each argument of a target whose signature names its type."""
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
