"""Arguments that fit their target, and those that are refused when the job is submitted."""

import functools
import gc
import os
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Annotated, Any, Literal, NewType, ParamSpec, Protocol, TypeVar
from unittest.mock import Mock
from uuid import UUID

import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, JsonValue, validate_call
from typing_extensions import TypedDict

from servicekit.errors import InvalidArguments
from servicekit.jobs.signatures import signature_of

P = ParamSpec("P")
T = TypeVar("T", bound=str)
UserId = NewType("UserId", int)


def check_arguments(target: object, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    signature_of(target).check(target, args, kwargs)


class Row(BaseModel):
    id: int


class SubRow(Row):
    pass


@dataclass
class Point:
    x: int


class Size(TypedDict):
    width: int


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 1


class Word(StrEnum):
    YES = "yes"


class HasRun(Protocol):
    def run(self) -> None: ...


class Table:
    """Of no use to pydantic."""


class Odd(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("not now")


class Undecided(metaclass=Odd):
    pass


def raise_error(_value: object) -> object:
    raise RuntimeError("a bug in a validator")


NOW = datetime(2026, 1, 31, tzinfo=UTC)


def of(annotation: Any, *default: object) -> FunctionType:
    """A target that other processes can import, with one argument of this type."""

    def target(value: Any) -> None: ...

    assert isinstance(target, FunctionType)
    target.__defaults__ = default
    target.__annotations__ = {"value": annotation}
    target.__qualname__ = "importable"
    globals()["importable"] = target
    return target


def refusal(target: object, *args: Any, **kwargs: Any) -> InvalidArguments:
    with pytest.raises(InvalidArguments) as caught:
        check_arguments(target, args, kwargs)
    return caught.value


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (int, True),
        (int, Level.HIGH),
        (float, 3),
        (complex, 3.0),
        (str, Word.YES),
        (bytes, bytearray(b"x")),
        (date, NOW),
        (Path, Path("x")),
        (os.PathLike[str], Path("x")),
        (UUID, UUID(int=1)),
        (Decimal, Decimal(1)),
        (Colour, Colour.RED),
        (Literal["a", 1], "a"),
        (UserId, 3),
        (T, "x"),
        (type[Row], SubRow),
        (int | None, None),
        (str | list[int], [1]),
        (Row, SubRow(id=1)),
        (Row | dict[str, int], {"id": 1}),
        (Point, Point(1)),
        (Size, {"width": 1}),
        (JsonValue, {"a": [None, 1.5]}),
        (Annotated[int, Field(gt=0)], 1),
        (Annotated[str, AfterValidator(str.upper)], "x"),
        (list[int], [True, Level.HIGH]),
        (list[float], [1, float("nan"), Fraction(1, 2), 2**53 + 1]),
        (list[complex], [1, 1.0]),
        (list[date], [NOW]),
        (list[int] | None, [True]),
        (list[Any], [object()]),
        (list["Row"], [Row(id=1)]),
        ("list[Row]", [Row(id=1)]),
        (dict[str, int], OrderedDict(a=1)),
        (dict[str, int], defaultdict(int)),
        (Mapping[str, int], MappingProxyType({"a": 1})),
        (Sequence[int], (1, 2)),
        (Sequence[int], range(3)),
        (Sequence[int], deque([1])),
        (Sequence[str], "text"),
        (Set[int], {1: 2}.keys()),
        (Set[int], frozenset({1})),
        (tuple[int, ...], (1, 2)),
        (Iterable[int], iter([1])),
        (Callable[[int], str], str),
    ],
)
def test_what_a_type_checker_takes_is_taken(annotation: Any, value: object) -> None:
    check_arguments(of(annotation), (value,), {})
    check_arguments(of(annotation), (), {"value": value})


@pytest.mark.parametrize(
    ("annotation", "value", "argument", "reason"),
    [
        (int, "3", "value", "Input should be a valid integer, not str"),
        (int, 3.0, "value", "Input should be a valid integer, not float"),
        (float, "3", "value", "Input should be a valid number, not str"),
        (str, 3, "value", "Input should be a valid string, not int"),
        (bool, 1, "value", "Input should be a valid boolean, not int"),
        (date, "2026-01-31", "value", "Input should be a valid date, not str"),
        (datetime, date(2026, 1, 31), "value", "Input should be a valid datetime, not datetime.date"),
        (Path, "x", "value", "Input should be an instance of Path, not str"),
        (Colour, "red", "value", "Input should be an instance of Colour, not str"),
        (Literal["a", "b"], "c", "value", "Input should be 'a' or 'b'"),
        (int | str, None, "value", "Input should be a valid integer; Input should be a valid string, not NoneType"),
        (Annotated[int, Field(gt=0)], 0, "value", "Input should be greater than 0"),
        (Row, {"id": 1}, "value", "Input should be an instance of Row, not dict"),
        (Row, Point(1), "value", f"Input should be a valid dictionary or instance of Row, not {__name__}.Point"),
        (Point, {"x": 1}, "value", "Input should be an instance of Point, not dict"),
        (list[int], (1, 2), "value", "Input should be a valid list, not tuple"),
        (list[int], "12", "value", "Input should be a valid list, not str"),
        (frozenset[int], {1}, "value", "Input should be a valid frozenset, not set"),
        (list[Size], [{"width": 1}, {"width": "x"}], "value.1.width", "Input should be a valid integer, not str"),
        (list[Size], [{}], "value.0.width", "Field required"),
        (dict[str, list[int]] | None, {"a": [1, "x"]}, "value.a.1", "Input should be a valid integer, not str"),
        (str | list[int], [1, "x"], "value.1", "Input should be a valid integer, not str"),
        (
            dict[str, tuple[Row, ...]],
            {"a": (Row(id=1), {"id": 2})},
            "value.a.1",
            "Input should be an instance of Row, not dict",
        ),
        ("list[Row]", [3], "value.0", "Input should be a valid dictionary or instance of Row, not int"),
    ],
)
def test_what_is_of_another_type_is_refused_by_name(annotation: Any, value: object, argument: str, reason: str) -> None:
    error = refusal(of(annotation), value)
    assert (error.target, error.argument, error.reason) == ("target", argument, reason)
    assert str(refusal(of(annotation), value=value)) == f"Invalid argument {argument!r} of target: {reason}"


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Table, "another"),
        (Iterator[Table], []),
        (HasRun, 3),
        (Undecided, 3),
        ("NoSuchName", 3),
        ("not python", 3),
        (P, 3),
        (3, 4),
        (raise_error, 3),
        (callable, 3),
        (Annotated[int, AfterValidator(raise_error)], 3),
        (dict[str, Any], {"a": Mock()}),
    ],
)
def test_what_cannot_be_decided_is_let_through(annotation: Any, value: object) -> None:
    check_arguments(of(annotation), (value,), {})


def test_a_default_may_be_given_whatever_its_type() -> None:
    check_arguments(of(int, None), (None,), {})
    assert refusal(of(int, 3), None).argument == "value"


def test_a_list_that_contains_itself_is_let_through() -> None:
    itself: list[Any] = []
    itself.append(itself)
    check_arguments(of(list[Any]), (itself,), {})
    check_arguments(of(JsonValue), (itself,), {})


def test_a_generator_is_not_used_up() -> None:
    numbers = iter([1, 2])
    check_arguments(of(Iterable[int]), (numbers,), {})
    assert list(numbers) == [1, 2]


def test_one_wrong_value_of_a_million_is_enough() -> None:
    seen: list[object] = []

    def see(value: object) -> object:
        seen.append(value)
        return value

    error = refusal(of(list[Annotated[int, BeforeValidator(see)]]), ["x"] * 1_000_000)
    assert (error.argument, seen) == ("value.0", ["x"])


def test_what_is_told_is_short() -> None:
    assert len(str(refusal(of(dict[str, int]), {"k" * 1_000_000: "x"}))) < 500
    assert len(str(refusal(of(Literal["a" * 100_000]), "x"))) < 500


def plain(first: int, /, second: int, third: str = "", *, fourth: float, fifth: None = None) -> None: ...


def variable(first: int, *rest: date, **more: date) -> None: ...


def test_arguments_have_to_have_a_place() -> None:
    check_arguments(plain, (1, 2), {"fourth": 1.0})
    check_arguments(plain, (1,), {"second": 2, "third": "x", "fourth": 1, "fifth": None})
    for args, kwargs, argument, reason in [
        ((), {}, "first", "it is missing"),
        ((1,), {"fourth": 1.0}, "second", "it is missing"),
        ((1, 2), {}, "fourth", "it is missing"),
        ((1, 2, "", 4), {"fourth": 1.0}, None, "there are too many without a name"),
        ((1, 2), {"fourth": 1.0, "second": 2}, "second", "it is given twice"),
        ((1, 2), {"fourth": 1.0, "sixth": 2}, "sixth", "the target takes none of this name"),
        ((), {"first": 1, "second": 2, "fourth": 1.0}, "first", "the target takes none of this name"),
    ]:
        error = refusal(plain, *args, **kwargs)
        assert (error.argument, error.reason) == (argument, reason)
    assert str(refusal(plain, 1, 2, "", 4)) == "Invalid arguments of plain: there are too many without a name"
    assert len(str(refusal(plain, 1, 2, **{"x" * 1_000_000: 1}))) < 500


def test_a_variable_number_of_arguments_has_one_type() -> None:
    check_arguments(variable, (1, NOW, NOW), {"rest": NOW, "other": NOW})
    assert refusal(variable, 1, NOW, 2).argument == "rest"
    assert refusal(variable, 1, other="today").argument == "other"


class Service:
    def __init__(self, name: str) -> None: ...

    def __call__(self, number: int) -> None: ...

    def method(self, number: int) -> None: ...

    @classmethod
    def of_class(cls, number: int) -> None: ...

    @staticmethod
    def static(number: int) -> None: ...

    __hash__ = None  # type: ignore[assignment]


class Loose(type):
    def __call__(cls, *args: object) -> object: ...


class OfLoose(metaclass=Loose):
    def __init__(self) -> None: ...


@pytest.mark.parametrize(
    "target",
    [
        Service("x"),
        Service("x").method,
        Service.of_class,
        Service.static,
        Service,
        functools.partial(plain, 1, fourth=1.0),
        lambda number: None,
        os.fspath,
    ],
)
def test_every_kind_of_callable_has_places_for_arguments(target: Any) -> None:
    for _ in range(2):
        check_arguments(target, (1,), {})
        assert "it is missing" in str(refusal(target))
        assert "too many" in str(refusal(target, 1, 2, 3))


@pytest.mark.parametrize("target", [dict, Mock(), OfLoose, Row, validate_call(plain)])
def test_who_does_not_tell_its_signature_is_not_checked(target: Any) -> None:
    check_arguments(target, (1, 2, 3) if target is not Row else (), {})


def with_session(target: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(target)
    def wrapper(*args: object, **kwargs: object) -> object:
        return target("session", *args, **kwargs)

    return wrapper


@with_session
def decorated(session: str, number: int, args: str) -> None: ...


def test_a_decorator_may_change_what_its_function_takes() -> None:
    check_arguments(decorated, (3, "x"), {})
    check_arguments(validated, ("3",), {})


@validate_call
def validated(number: int) -> None: ...


def test_types_are_checked_only_of_what_stands_in_a_module() -> None:
    def local(number: int) -> None: ...

    check_arguments(local, ("3",), {})
    assert refusal(Service("x").method, "3").argument == "number"
    assert refusal(local).argument == "number"


def test_what_is_made_for_one_job_is_not_kept() -> None:
    def local(number: int) -> None: ...

    check_arguments(local, (1,), {})
    gone = weakref.ref(local)
    del local
    gc.collect()
    assert gone() is None
