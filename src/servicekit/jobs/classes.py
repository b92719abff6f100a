"""Classes by their names, and which of them are data.

A class is written as `module:name`, a class of Python itself by its name alone, and a generic class with its
parameters: `["app.models:Page", ["int"]]`. A class that was read is used only if it is data: a model, a dataclass, a
class of attrs, an enum, or a class that extends a text, a number, a list or the like. Its module is imported for that,
as the module of a target is.
"""

import dataclasses
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import reduce
from operator import or_
from pathlib import Path
from types import EllipsisType, NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel

from servicekit.jobs.outcome import describe_error
from servicekit.jobs.references import explain_no_reference, find_reference, load_reference

EXTENDABLE: Final = (str, int, float, bytes, tuple, list, dict)
"""Classes of Python itself that a class of data may extend."""

_OF_PYTHON: Final[dict[str, Any]] = {
    "Any": Any,
    "None": NoneType,
    "...": ...,
    **{
        kind.__name__: kind
        for kind in (
            *EXTENDABLE, bool, complex, bytearray, set, frozenset, deque, OrderedDict, defaultdict, Counter, object,
            date, datetime, time, timedelta, Decimal, Path, UUID,
        )
    },
}  # fmt: skip
_NAMES: Final = {kind: name for name, kind in _OF_PYTHON.items()}
_HEAP_TYPE: Final = 1 << 9
"""CPython's `Py_TPFLAGS_HEAPTYPE`: the flag of a class that was made by a class statement, rather than in C."""


class CannotKeep(Exception):
    """A value cannot be written. `reason` says why, and `path` leads from the outermost value to it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []


class TooDeep(CannotKeep):
    """A value contains itself, or is nested so deeply that reading it could fail."""

    def __init__(self) -> None:
        super().__init__("it contains itself, or is nested too deeply")


class CannotRead(Exception):
    """A text does not fit the classes of this program any more, or servicekit has not written it."""


def describe_type(kind: Any) -> object:
    """The name of a class, or of a type with parameters, as JSON. `CannotKeep` if other processes could not find it."""
    if kind is None:
        return "None"
    if kind in _NAMES:
        return _NAMES[kind]
    generic = getattr(kind, "__pydantic_generic_metadata__", None) if isinstance(kind, type) else None
    if generic and generic["origin"] is not None:
        return _describe_model(kind, generic)
    origin = get_origin(kind)
    if origin is Union or origin is UnionType:
        return {"union": [describe_type(each) for each in get_args(kind)]}
    if origin is Literal:
        return {"literal": list(get_args(kind))}
    if origin is not None and isinstance(origin, type):
        return [describe_type(origin), [describe_type(each) for each in get_args(kind)]]
    return _name(kind)


def _describe_model(kind: type, generic: dict[str, Any]) -> object:
    described = [_name(generic["origin"]), [describe_type(each) for each in generic["args"]]]
    if find_type(described) is not kind:
        raise CannotKeep(f"its class {kind.__qualname__} has parameters that cannot be written")
    return described


def _name(kind: Any) -> str:
    if not is_data(kind):
        raise CannotKeep(f"{kind!r} is no class of data")
    reference = find_reference(kind)
    if reference is None:
        raise CannotKeep(f"its class {explain_no_reference(kind)}")
    return reference


def find_type(data: Any) -> Any:
    """The type that `describe_type` has described. `CannotRead` if there is no such class now, or it is no data."""
    if type(data) is str:
        return _OF_PYTHON[data] if data in _OF_PYTHON else _find_class(data)
    if type(data) is dict and type(data.get("union")) is list:
        return reduce(or_, map(find_type, data["union"]))
    if type(data) is dict and type(data.get("literal")) is list:
        return Literal[tuple(data["literal"])]
    if type(data) is list and len(data) == 2:
        arguments = tuple(map(find_type, data[1]))
        return find_type(data[0])[arguments if len(arguments) != 1 else arguments[0]]
    raise CannotRead(f"{data!r} is no type")


def _find_class(reference: str) -> Any:
    try:
        kind = load_reference(reference)
    except BaseException as error:  # an import runs the user's code, which can raise anything, also `SystemExit`
        raise CannotRead(f"{reference} cannot be imported: {describe_error(error)}") from error
    if not is_data(kind):
        raise CannotRead(f"{reference} is no class of data" if kind else f"there is no {reference}")
    return kind


def is_data(kind: object) -> bool:
    """Whether an instance of the class is fully described by the values that it holds."""
    if not isinstance(kind, type) or not kind.__flags__ & _HEAP_TYPE:
        return False
    if issubclass(kind, Enum):
        return True
    base = base_of(kind)
    return base in EXTENDABLE or (base is object and has_fields(kind))


def base_of(kind: type) -> type | None:
    """The class in C that a class extends: `object` if it extends no other, `None` if it extends several."""
    bases = [base for base in type.mro(kind) if not base.__flags__ & _HEAP_TYPE and base is not object]
    return object if not bases else bases[0] if len(bases) == 1 else None


def has_fields(kind: type) -> bool:
    """Whether the class is a model, a dataclass, or a class of attrs."""
    return issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind) or hasattr(kind, "__attrs_attrs__")


def is_type(value: object) -> bool:
    """Whether a value is a type, a generic type, or `...`, rather than an instance of one."""
    return issubclass(type(value), type | EllipsisType) or get_origin(value) is not None
