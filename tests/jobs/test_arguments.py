"""Arguments that another process can read, and those that it cannot."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from servicekit.errors import ArgumentsUnfit
from servicekit.jobs.arguments import dump_arguments, load_arguments


class Colour(Enum):
    RED = "red"


class Request(BaseModel):
    day: date
    sizes: tuple[int, ...] = ()


@dataclass
class Point:
    x: int


def typed(
    body: Request,
    /,
    point: Point,
    size: tuple[int, int] = (0, 0),
    *rest: date,
    when: timedelta,
    price: Decimal,
    **more: date,
) -> None: ...


def of(kind: Any) -> Callable[[Any], None]:
    def target(value: Any) -> None: ...

    target.__annotations__ = {"value": kind}
    return target


def untyped(value, *rest, **more) -> None: ...  # type: ignore[no-untyped-def]


BODY = Request(day=date(2026, 1, 31), sizes=(1, 2))


@pytest.mark.parametrize("value", [None, True, 2**70, 0.1, "\ud800\0", [1, [2, {"a": [None]}]], {"": {}}])
def test_what_json_gives_back_needs_no_type(value: object) -> None:
    text = dump_arguments(untyped, (value,), {"value": value})
    assert text is not None
    assert load_arguments("m:f", untyped, text) == ((value,), {"value": value})


def test_each_argument_is_read_by_its_type() -> None:
    args = (BODY, Point(3), (1, 2))
    kwargs = {"when": timedelta(seconds=1.5), "price": Decimal("0.10")}
    text = dump_arguments(typed, args, kwargs)
    assert text is not None
    assert load_arguments("m:f", typed, text) == (args, kwargs)
    text = dump_arguments(typed, (BODY,), {**kwargs, "point": Point(4)})
    assert text is not None
    assert load_arguments("m:f", typed, text) == ((BODY,), {**kwargs, "point": Point(4)})


@pytest.mark.parametrize(
    ("kind", "value"),
    [(UUID, UUID(int=1)), (Colour, Colour.RED), (set[int], {1, 2}), (Request | None, BODY), ("Request", BODY)],
)
def test_whatever_pydantic_can_write_comes_back(kind: object, value: object) -> None:
    text = dump_arguments(of(kind), (value,), {})
    assert text is not None
    assert load_arguments("m:f", of(kind), text) == ((value,), {})


def list_of_itself() -> list[object]:
    itself: list[object] = []
    itself.append(itself)
    return itself


@pytest.mark.parametrize(
    ("target", "args"),
    [
        (untyped, (date(2026, 1, 1),)),  # no type is named
        (of(Any), (date(2026, 1, 1),)),
        (of(object), ((1, 2),)),
        (of(list[int]), ((1, 2),)),  # it would come back as a list
        (of(Point), (BODY,)),
        (of(lambda: None), (object(),)),  # no type of pydantic's
        (of("NoSuchType"), (BODY,)),
        (of(float), (float("nan"),)),
        (typed, (BODY, Point(1), (1, 2), date(2026, 1, 1))),  # a variable number of them has no place of its own
        (untyped, (list_of_itself(),)),
        (untyped, (10**5_000,)),
        (untyped, ({1: 2},)),
        (object(), (BODY,)),
    ],
)
def test_what_would_not_come_back_as_it_was_is_not_written(target: object, args: tuple[object, ...]) -> None:
    assert dump_arguments(target, args, {}) is None


def test_types_that_have_changed_are_named() -> None:
    text = dump_arguments(of(Request), (BODY,), {})
    assert text is not None
    with pytest.raises(ArgumentsUnfit, match=r"do not fit m:f any more: .*Input should be a valid integer"):
        load_arguments("m:f", of(int), text)
    with pytest.raises(ArgumentsUnfit, match="KeyError: 0"):
        load_arguments("m:f", untyped, text)
