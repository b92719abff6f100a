"""Whether two values are the same: of the same types, to any depth."""

import dataclasses
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Set
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import GenericAlias
from typing import Any, Final

from pydantic import BaseModel


def look_at(value: Any) -> object:
    """What there is to see of a value: equal for two values only if they are the same."""
    kind = type(value)
    if isinstance(value, type | Enum | GenericAlias):
        return value
    return [kind, *_facts(value), getattr(value, "__dict__", None) and sorted(map(_named, vars(value).items()))]


def _named(item: tuple[str, Any]) -> tuple[str, str]:
    return item[0], repr(look_at(item[1]))


def _facts(value: Any) -> list[object]:
    for kind, look in _LOOKS.items():
        if isinstance(value, kind):
            return look(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in dataclasses.fields(value)]
        return [look_at(getattr(value, name, "unset")) for name in names]
    return [value]


def _look_at_model(value: BaseModel) -> list[object]:
    return [sorted(value.model_fields_set), look_at(value.__pydantic_extra__), look_at(value.__pydantic_private__)]


def _look_at_moment(value: datetime | time) -> list[object]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, type(value.tzinfo), str(value.tzinfo)]


def _look_at_mapping(value: Mapping[Any, Any]) -> list[object]:
    factory = value.default_factory if isinstance(value, defaultdict) else None
    return [factory, [[look_at(key), look_at(part)] for key, part in value.items()]]


def _look_at_sequence(value: Any) -> list[object]:
    return [getattr(value, "maxlen", None), [look_at(part) for part in value]]


_LOOKS: Final[dict[type, Callable[[Any], list[object]]]] = {
    BaseModel: _look_at_model,
    int: lambda value: [hex(value)],
    Fraction: lambda value: [hex(value.numerator), hex(value.denominator)],
    float: lambda value: [repr(float(value))],  # which tells -0.0 from 0.0; the sign of a NaN says nothing (IEEE 754)
    complex: lambda value: [repr(value)],
    datetime: _look_at_moment,
    time: _look_at_moment,
    Decimal: lambda value: [value.as_tuple()],
    Mapping: _look_at_mapping,
    Set: lambda value: [sorted(repr(look_at(part)) for part in value)],
    list: _look_at_sequence,
    tuple: _look_at_sequence,
    deque: _look_at_sequence,
}
