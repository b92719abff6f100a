"""Objects taken apart into their values, and put together again without running the code of their classes."""

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, lru_cache
from inspect import getattr_static
from types import MemberDescriptorType
from typing import Any, Final, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from servicekit.jobs.classes import EXTENDABLE, CannotRead, base_of

_HIDDEN: Final = ("__dict__", "__weakref__")


class Parts(NamedTuple):
    """The values of an object. For a model also its given fields by name, its extras and its private attributes."""

    fields: dict[str, object]
    more: dict[str, object]
    """Attributes that are not fields."""
    given: frozenset[str] | None = None
    extra: dict[str, object] | None = None
    private: dict[str, object] | None = None


class Field(NamedTuple):
    """A field of a class, and its default for an object that was written before the class had the field."""

    is_required: bool
    make_default: Any = None


def take_apart(value: Any) -> Parts:
    """The values of an object whose class is data. Values of a `cached_property` are left out: they are made again."""
    kind: Any = type(value)
    plan = _plan_of(kind)
    fields: dict[str, object] = {}
    more: dict[str, object] = {}
    for name, part in _list_attributes(value, plan):
        (fields if name in plan.fields else more)[name] = part
    if not plan.is_model:
        return Parts(fields, more)
    private = value.__pydantic_private__
    if private is not None:
        private = {name: part for name, part in private.items() if part is not PydanticUndefined}
    return Parts(fields, more, frozenset(value.__pydantic_fields_set__), value.__pydantic_extra__, private)


class _Plan(NamedTuple):
    """Where the instances of a class keep their values."""

    is_model: bool
    fields: frozenset[str]
    slots: tuple[str, ...]
    made_anew: frozenset[str]


@lru_cache(maxsize=512)  # a walk over the whole class; bounded, since classes can be made at run time
def _plan_of(kind: type) -> _Plan:
    is_model = issubclass(kind, BaseModel)
    owners = type.mro(kind)
    slots = [name for owner in owners for name in _slots_of(owner)] if not is_model else []
    names = {name for owner in owners for name in owner.__dict__}
    made_anew = frozenset(name for name in names if isinstance(getattr_static(kind, name), cached_property))
    return _Plan(is_model, frozenset(fields_of(kind)), tuple(slots), made_anew)


def _slots_of(owner: type) -> list[str]:
    slots = owner.__dict__.get("__slots__", ())
    names = [slots] if isinstance(slots, str) else [*slots]
    mangled = f"_{owner.__name__.lstrip('_')}"  # as Python does with names that begin with two underscores
    return [
        f"{mangled}{name}" if name.startswith("__") and not name.endswith("__") else name
        for name in names
        if name not in _HIDDEN
    ]


def put_together(kind: type, parts: Parts) -> object:
    """The object with these values. A field that the class no longer has is left out; a new field gets its default.

    `CannotRead` if a new field has no default.
    """
    known = fields_of(kind)
    fields = {name: part for name, part in parts.fields.items() if name in known}
    for name, field in known.items():
        if name in fields or _is_made_by_class(kind, name):
            continue
        if field.is_required:
            raise CannotRead(f"{kind.__qualname__} has a field {name!r} by now, which was not given. Field required")
        if field.make_default is not None:
            fields[name] = field.make_default()
    if issubclass(kind, BaseModel):
        return _put_model_together(kind, fields, parts)
    value = object.__new__(kind)
    set_attributes(value, fields | parts.more)
    return value


def _is_made_by_class(kind: type, name: str) -> bool:
    """Whether the field is a property or the like. Its value comes from other attributes, so it needs no default."""
    found = getattr_static(kind, name, None)
    return hasattr(type(found), "__set__") and not isinstance(found, MemberDescriptorType)


def _put_model_together(kind: type[BaseModel], fields: dict[str, object], parts: Parts) -> BaseModel:
    model: BaseModel = object.__new__(kind)
    state = {
        "__dict__": fields | parts.more,
        "__pydantic_fields_set__": {
            name for name in parts.given or () if name in fields or name in (parts.extra or ())
        },
        "__pydantic_extra__": (parts.extra or {}) if kind.model_config.get("extra") == "allow" else None,
        "__pydantic_private__": _private_attributes(kind, parts.private),
    }
    BaseModel.__setstate__(model, state)
    return model


def _private_attributes(kind: type[BaseModel], held: dict[str, object] | None) -> dict[str, object] | None:
    if not kind.__private_attributes__:
        return held
    defaults = {name: attribute.get_default() for name, attribute in kind.__private_attributes__.items()}
    return {name: part for name, part in (defaults | (held or {})).items() if part is not PydanticUndefined}


def set_attributes(value: Any, attributes: dict[str, object]) -> None:
    """Set attributes where `take_apart` found them, also of a frozen object. No setter of a property is called."""
    kind: Any = type(value)
    slots = _plan_of(kind).slots
    for name, part in attributes.items():
        if name in slots:
            object.__setattr__(value, name, part)
        else:
            object.__getattribute__(value, "__dict__")[name] = part


def extend(kind: type, base_value: Any, attributes: dict[str, object]) -> object:
    """An instance of a class that extends one of Python itself, such as `str`, with this value and these attributes.

    `CannotRead` if the class does not extend the value's class any more.
    """
    base: Any = base_of(kind)
    if base not in EXTENDABLE or type(base_value) is not base:
        raise CannotRead(f"{kind.__qualname__} does not extend what was written")
    if base is tuple and len(getattr(kind, "_fields", base_value)) != len(base_value):
        raise CannotRead(f"{kind.__qualname__} has another number of fields by now")
    value: Any = base.__new__(kind) if base in (list, dict) else base.__new__(kind, base_value)
    if base is list:
        list.extend(value, base_value)
    elif base is dict:
        dict.update(value, base_value)
    set_attributes(value, attributes)
    return value


def base_value_of(value: Any, base: Any) -> object:
    """The value as an instance of the class of Python itself that its own class extends: a plain `str`, `list`, ..."""
    if base is list or base is tuple or base is bytes:
        return base.__getitem__(value, slice(None))
    if base is dict:
        return dict(dict.items(value))
    return {str: str.__str__, int: int.__int__, float: float.__float__}[base](value)


def attributes_of(value: object) -> dict[str, object]:
    """The attributes of an instance whose class extends one of Python itself."""
    kind: Any = type(value)
    return dict(_list_attributes(value, _plan_of(kind)))


def _list_attributes(value: Any, plan: _Plan) -> Iterator[tuple[str, object]]:
    for name in plan.slots:
        with suppress(AttributeError):  # a slot that was never set
            yield name, object.__getattribute__(value, name)
    for name, part in getattr(value, "__dict__", {}).items():
        if name not in plan.made_anew:
            yield name, part


def fields_of(kind: Any) -> dict[str, Field]:
    """The fields of a class of data, by name."""
    if issubclass(kind, BaseModel):
        return {
            name: Field(field.is_required(), lambda field=field: field.get_default(call_default_factory=True))
            for name, field in kind.__pydantic_fields__.items()
        }
    if dataclasses.is_dataclass(kind):
        return {each.name: _field_of_dataclass(each) for each in dataclasses.fields(kind)}
    return {each.name: Field(is_required=False) for each in getattr(kind, "__attrs_attrs__", ())}


def _field_of_dataclass(field: "dataclasses.Field[Any]") -> Field:
    if field.default_factory is not dataclasses.MISSING:
        return Field(is_required=False, make_default=field.default_factory)
    if field.default is not dataclasses.MISSING:
        return Field(is_required=False, make_default=lambda: field.default)
    return Field(is_required=field.init)
