"""Values written as JSON, and read back exactly as they were: of the same types, to any depth.

A value that JSON gives back unchanged is written as it is. Every other value is an object with one key that names its
kind:

    {"$datetime": ["2026-03-28T09:00:00", 0, {"$zone": "Europe/Berlin"}]}
    {"$object": ["app.models:Patch", {"fields": {"name": "Ada", "email": null}, "given": ["name"]}]}

No validator, no `__init__` and no `__post_init__` runs when a value is read: the value was valid when it was accepted,
and is not checked again.

A text that an attacker has written can decide which data a target gets, and nothing else. Each kind is in the table of
this module. A class is looked up by its name, as a target is, and used only if it is data (`servicekit.jobs.classes`).
Its instances are put together without its code, with two exceptions: they may be hashed and compared, and a field that
is new in the class gets its default from the class. Nothing that the text names is called.
"""

import ipaddress
import json
import pathlib
import re
from base64 import b64decode, b64encode
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from math import isfinite
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import Secret, SecretBytes, SecretStr, networks
from pydantic_core import MultiHostUrl, TzInfo, Url
from ulid import ULID

from servicekit.jobs.classes import (
    CannotKeep,
    CannotRead,
    TooDeep,
    base_of,
    describe_type,
    find_type,
    has_fields,
    is_data,
    is_type,
)
from servicekit.jobs.objects import Parts, attributes_of, base_value_of, extend, put_together, take_apart

_MAX_DEPTH: Final = 100  # each level needs some frames of Python, which allows a thousand in all
# Larger numbers are written in hexadecimal. Python refuses decimal ones above a limit that users can lower to 640
# digits; 2,000 bits are 603 digits.
_MAX_INT_BITS: Final = 2_000
_MOST_OUTLINED: Final = 20_000  # as many values are written in some ten milliseconds
_MAX_OUTLINED_DEPTH: Final = 30  # so that a value that contains itself has an end

Write = Callable[[Any], object]


def is_plain(value: Any) -> bool:
    """Whether JSON gives the value back unchanged."""
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:
        return True
    if kind is float:
        return isfinite(value)
    if kind is list:
        return all(map(is_plain, value))
    return kind is dict and all(type(key) is str and is_plain(part) for key, part in value.items())


def write_value(value: object) -> object:
    """The value as JSON. `CannotKeep`, with the reason and the path, if a part of it could not be read back."""
    return _Writer().write(value)


def sketch_value(value: object) -> object:
    """The value as JSON, in which each part that cannot be written is replaced by the name of its type."""
    try:
        return _Sketcher().write(value)
    except (TooDeep, RecursionError):
        return _sketch(value)


def outline_value(value: object) -> object:
    """The same to be shown, and with all secrets. Not all of a value is written if it has many parts, or is deep."""
    try:
        return _Outliner().write(value)
    except RecursionError:
        return _sketch(value)


def read_value(data: Any) -> Any:
    """The value that was written. `CannotRead` if it does not fit this program's classes, or was never written."""
    if type(data) is list:
        return [read_value(part) for part in data]
    if type(data) is not dict:
        return data
    if len(data) == 1:
        ((key, content),) = data.items()
        if key.startswith("$"):
            return _read_kind(key[1:], content)
    return {key: read_value(part) for key, part in data.items()}


def _read_kind(tag: str, content: object) -> object:
    read = _READERS.get(tag)
    if read is None:
        raise CannotRead(f"{tag!r} is no kind of value: a newer servicekit has written it")
    return read(content)


class _Writer:
    """Writes one value, and counts how deep it is within it."""

    def __init__(self) -> None:
        self._depth = 0

    def write(self, value: Any) -> object:
        kind = type(value)
        if value is None or kind is str or kind is bool:
            return value
        if kind is int and value.bit_length() < _MAX_INT_BITS:
            return value
        if kind is float and isfinite(value):
            return value
        self._depth += 1
        try:
            return self._write_deep(kind, value)
        finally:
            self._depth -= 1

    def _write_deep(self, kind: Any, value: Any) -> object:
        if self._depth > _MAX_DEPTH:
            raise TooDeep
        if kind is list:
            return self._write_all(value)
        if kind is dict and all(type(key) is str for key in value):
            data = self.write_named(value)
            return {"$dict": list(map(list, data.items()))} if _looks_tagged(value) else data
        known = _KINDS.get(kind)
        if known is not None:
            return {f"${known.tag}": known.write(self, value)}
        return self._write_object(kind, value)

    def _write_object(self, kind: Any, value: Any) -> object:
        if issubclass(kind, Enum):
            return _write_member(kind, value)
        if is_type(value):
            return {"$type": describe_type(value)}
        if not is_data(kind):
            raise CannotKeep(_explain(value))
        if has_fields(kind) and base_of(kind) is object:
            return {"$object": [describe_type(kind), self._write_parts(take_apart(value))]}
        plain = base_value_of(value, base_of(kind))
        try:
            extend(kind, plain, {})
        except TypeError as error:  # some classes in C do not let other code make instances; reading would fail
            raise CannotKeep(_explain(value)) from error
        return {"$extended": [describe_type(kind), self.write(plain), self.write_named(attributes_of(value))]}

    def _write_parts(self, parts: Parts) -> dict[str, object]:
        data: dict[str, object] = {"fields": self.write_named(parts.fields)}
        if parts.more:
            data["more"] = self.write_named(parts.more)
        if parts.given is not None:
            data["given"] = sorted(parts.given)
        if parts.extra is not None:
            data["extra"] = self.write_named(parts.extra)
        if parts.private is not None:
            data["private"] = self.write_named(parts.private)
        return data

    def write_named(self, parts: dict[str, Any]) -> dict[str, object]:
        """The values of a dictionary. The error of a value that cannot be written has its name in the path."""
        return {name: self._write_part(name, part) for name, part in parts.items()}

    def _write_all(self, parts: Iterable[object]) -> list[object]:
        return [self._write_part(index, part) for index, part in enumerate(parts)]

    def _write_part(self, name: object, part: object) -> object:
        try:
            return self.write(part)
        except CannotKeep as obstacle:
            obstacle.path.insert(0, str(name))
            raise

    def write_pairs(self, pairs: dict[Any, Any]) -> list[list[object]]:
        return [[self.write(key), self._write_part(key, part)] for key, part in pairs.items()]

    def write_set(self, parts: Iterable[object]) -> list[object]:
        """The elements, sorted: the order of a set differs between processes, and fingerprints are compared."""
        return sorted(map(self.write, parts), key=lambda part: json.dumps(part, sort_keys=True))

    def write_sequence(self, parts: Sequence[object]) -> list[object]:
        return self._write_all(parts)


class _Sketcher(_Writer):
    def write(self, value: Any) -> object:
        try:
            return super().write(value)
        except TooDeep:  # a value that contains itself several times would take for ever, if this went on beside it
            raise
        except Exception:  # it can be raised by the user's code too
            return _sketch(value)


class _Outliner(_Sketcher):
    """Also takes apart what no other process could put together again: it can have secrets in it."""

    def __init__(self) -> None:
        super().__init__()
        self._left = _MOST_OUTLINED
        self._seen: set[int] = set()  # by `id`, since the objects live as long as this

    def write(self, value: Any) -> object:
        self._left -= 1
        return super().write(value) if self._left >= 0 and self._depth < _MAX_OUTLINED_DEPTH else _sketch(value)

    def _write_object(self, kind: Any, value: Any) -> object:
        name = f"{kind.__module__}:{kind.__qualname__}"
        if issubclass(kind, SecretStr | SecretBytes | Secret):
            return {"$secret": _text_of(value.get_secret_value())}
        if issubclass(kind, Enum):
            return {"$enum": [name, value._name_]}
        if not is_data(kind):
            return self._write_vars(value)
        if base_of(kind) is object:
            return {"$object": [name, self._write_parts(take_apart(value))]}
        plain = base_value_of(value, base_of(kind))
        return {"$extended": [name, self.write(plain), self.write_named(attributes_of(value))]}

    def _write_vars(self, value: object) -> object:
        """The name of a value's class, and its attributes, which are not shown."""
        is_code = is_type(value) or isinstance(value, FunctionType | ModuleType)
        if is_code or id(value) in self._seen or not hasattr(value, "__dict__"):
            return _sketch(value)
        self._seen.add(id(value))
        return {"$?": [_name_class(value), self.write_named(dict(vars(value)))]}


def _text_of(secret: object) -> str:
    return secret.decode(errors="replace") if isinstance(secret, bytes) else str(secret)


def _sketch(value: object) -> object:
    return {"$?": _name_class(value)}


def _name_class(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _looks_tagged(value: dict[str, object]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith("$")


class _Kind(NamedTuple):
    """How instances of one class are written and read. Instances of subclasses are not: they have code of their own."""

    tag: str
    write: Callable[[_Writer, Any], object]
    read: Callable[[Any], object]


def _write_moment(writer: _Writer, value: datetime | time) -> object:
    return [value.replace(tzinfo=None).isoformat(), value.fold, writer.write(value.tzinfo)]


def _read_moment(kind: type[datetime] | type[time], data: Any) -> object:
    text, fold, zone = data
    return kind.fromisoformat(text).replace(fold=fold, tzinfo=read_value(zone))


def _write_zone(_: _Writer, value: ZoneInfo) -> object:
    if value.key is None:
        raise CannotKeep("its time zone has no name")
    return value.key


def _read_zone(key: str) -> ZoneInfo:
    try:
        return ZoneInfo(key)
    except Exception as error:
        raise CannotRead(f"this machine has no time zone {key!r}") from error


def _read_pairs(pairs: Iterable[tuple[object, object]]) -> list[tuple[Any, Any]]:
    return [(read_value(key), read_value(part)) for key, part in pairs]


def _write_default(writer: _Writer, value: "defaultdict[Any, Any]") -> object:
    factory = value.default_factory
    if factory is not None and factory not in _FACTORIES.values():
        raise CannotKeep(
            "the function with which a defaultdict makes its defaults cannot be kept in a file or a database"
        )
    return [factory and factory.__name__, writer.write_pairs(value)]


def _read_default(data: Any) -> "defaultdict[Any, Any]":
    name, pairs = data
    return defaultdict(None if name is None else _FACTORIES[name], _read_pairs(pairs))


_FACTORIES: Final[dict[str, Any]] = {
    kind.__name__: kind for kind in (int, float, complex, str, bytes, bool, list, tuple, dict, set, frozenset, deque)
}
_ADDRESSES: Final[dict[str, Any]] = {
    name: getattr(ipaddress, name) for version in "46" for name in (
        f"IPv{version}Address", f"IPv{version}Network", f"IPv{version}Interface",
    )
}  # fmt: skip
_URLS: Final[dict[str, Any]] = {
    name: kind for name, kind in vars(networks).items() if isinstance(kind, type) and hasattr(kind, "unicode_string")
}
_PATHS: Final = (pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath)


def _write_pattern(writer: _Writer, value: "re.Pattern[Any]") -> object:
    return [writer.write(value.pattern), value.flags]


def _read_pattern(data: Any) -> object:
    return re.compile(read_value(data[0]), data[1])


_KINDS: Final[dict[Any, _Kind]] = {
    int: _Kind("int", lambda _, value: hex(value), lambda text: int(text, 16)),
    float: _Kind("float", lambda _, value: repr(value), float),
    complex: _Kind(
        "complex",
        lambda writer, value: writer.write_sequence((value.real, value.imag)),
        lambda data: complex(*read_value(data)),
    ),
    bytes: _Kind("bytes", lambda _, value: b64encode(value).decode(), b64decode),
    bytearray: _Kind("bytearray", lambda _, value: b64encode(value).decode(), lambda text: bytearray(b64decode(text))),
    tuple: _Kind("tuple", lambda writer, value: writer.write_sequence(value), lambda data: tuple(read_value(data))),
    set: _Kind("set", lambda writer, value: writer.write_set(value), lambda data: set(read_value(data))),
    frozenset: _Kind(
        "frozenset", lambda writer, value: writer.write_set(value), lambda data: frozenset(read_value(data))
    ),
    deque: _Kind(
        "deque",
        lambda writer, value: [writer.write_sequence(value), value.maxlen],
        lambda data: deque(read_value(data[0]), data[1]),
    ),
    dict: _Kind("dict", lambda writer, value: writer.write_pairs(value), lambda data: dict(_read_pairs(data))),
    OrderedDict: _Kind(
        "OrderedDict", lambda writer, value: writer.write_pairs(value), lambda data: OrderedDict(_read_pairs(data))
    ),
    Counter: _Kind(
        "Counter", lambda writer, value: writer.write_pairs(value), lambda data: Counter(dict(_read_pairs(data)))
    ),
    defaultdict: _Kind("defaultdict", _write_default, _read_default),
    range: _Kind(
        "range", lambda _, value: [hex(value.start), hex(value.stop), hex(value.step)],
        lambda data: range(*(int(text, 16) for text in data)),
    ),
    date: _Kind("date", lambda _, value: value.isoformat(), date.fromisoformat),
    datetime: _Kind("datetime", _write_moment, lambda data: _read_moment(datetime, data)),
    time: _Kind("time", _write_moment, lambda data: _read_moment(time, data)),
    timedelta: _Kind(
        "timedelta", lambda _, value: [value.days, value.seconds, value.microseconds], lambda data: timedelta(*data)
    ),
    timezone: _Kind(
        "timezone",
        lambda writer, value: writer.write_sequence(value.__getinitargs__()),
        lambda data: timezone(*read_value(data)),
    ),
    ZoneInfo: _Kind("zone", _write_zone, _read_zone),
    TzInfo: _Kind("offset", lambda _, value: value.utcoffset(None).total_seconds(), TzInfo),
    Decimal: _Kind("decimal", lambda _, value: str(value), Decimal),
    Fraction: _Kind(
        "fraction",
        lambda writer, value: writer.write_sequence((value.numerator, value.denominator)),
        lambda data: Fraction(*read_value(data)),
    ),
    UUID: _Kind("uuid", lambda _, value: str(value), UUID),
    ULID: _Kind("ulid", lambda _, value: str(value), ULID.from_str),
    re.Pattern: _Kind("pattern", _write_pattern, _read_pattern),
    SecretStr: _Kind("secretstr", lambda _, value: value.get_secret_value(), SecretStr),
    SecretBytes: _Kind(
        "secretbytes", lambda _, value: b64encode(value.get_secret_value()).decode(),
        lambda text: SecretBytes(b64decode(text)),
    ),
    Secret: _Kind(
        "secret", lambda writer, value: writer.write(value.get_secret_value()), lambda data: Secret(read_value(data))
    ),
    Url: _Kind("url", lambda _, value: str(value), Url),
    MultiHostUrl: _Kind("multihosturl", lambda _, value: str(value), MultiHostUrl),
    **{
        kind: _Kind(kind.__name__, lambda _, value: str(value), kind)
        for kind in (*_PATHS, *_ADDRESSES.values(), *_URLS.values())
    },
}  # fmt: skip


def _write_member(kind: type[Enum], member: Enum) -> object:
    name = member._name_
    if name is not None and kind.__members__.get(name) is member:
        return {"$enum": [describe_type(kind), name]}
    if issubclass(kind, Flag):  # a combination of members, which has no name
        return {"$flag": [describe_type(kind), member._value_]}
    raise CannotKeep(f"it is no named member of {kind.__qualname__}")


def _read_member(data: Any) -> object:
    kind, name = find_type(data[0]), data[1]
    if not issubclass(kind, Enum) or name not in kind.__members__:
        raise CannotRead(f"{kind.__qualname__} has no {name!r} any more")
    return kind.__members__[name]


def _read_flag(data: Any) -> object:
    kind = find_type(data[0])
    if not issubclass(kind, Flag):
        raise CannotRead(f"{kind.__qualname__} has no combinations")
    return kind(data[1])


def _read_object(data: Any) -> object:
    kind, parts = find_type(data[0]), data[1]
    if not has_fields(kind):
        raise CannotRead(f"{data[0]} has no fields")
    given = parts.get("given")
    return put_together(
        kind,
        Parts(
            _read_named(parts["fields"]) or {}, _read_named(parts.get("more")) or {},
            None if given is None else frozenset(given),
            _read_named(parts.get("extra")), _read_named(parts.get("private")),
        ),
    )  # fmt: skip


def _read_named(parts: Any) -> dict[str, object] | None:
    return None if parts is None else {name: read_value(part) for name, part in parts.items()}


def _read_extended(data: Any) -> object:
    return extend(find_type(data[0]), read_value(data[1]), _read_named(data[2]) or {})


_READERS: Final[dict[str, Callable[[Any], object]]] = {
    **{kind.tag: kind.read for kind in _KINDS.values()},
    "enum": _read_member,
    "flag": _read_flag,
    "object": _read_object,
    "extended": _read_extended,
    "type": find_type,
}
_TABLES: Final = ("numpy", "pandas", "polars", "pyarrow", "torch", "xarray", "scipy")


def _explain(value: object) -> str:
    """Why a value cannot be kept in a file or a database, and what to pass instead."""
    kind = type(value)
    if isinstance(value, SecretStr | SecretBytes | Secret):
        return (
            f"a {kind.__name__} cannot be kept in a file or a database: its class is one of your own. Pass a SecretStr"
        )
    what = f"{_article(kind.__qualname__)} {kind.__qualname__}"
    if isinstance(value, FunctionType | BuiltinFunctionType | MethodType):
        return "a function cannot be kept in a file or a database"
    if kind.__module__.partition(".")[0] in _TABLES:
        return f"{what} cannot be kept in a file or a database. Write it to a file of your own, and pass its path"
    return (
        f"{what} cannot be kept in a file or a database: it is neither plain data nor a model, a dataclass or an enum"
    )


def _article(name: str) -> str:
    return "an" if name.lower().startswith(("a", "e", "i", "o", "up")) else "a"
