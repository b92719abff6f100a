"""Values that are written and read again: the same by type and by value, to any depth."""

import json
import re
import socket
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from pydantic import AnyUrl, HttpUrl, PostgresDsn, Secret, SecretBytes, SecretStr, TypeAdapter
from ulid import ULID

from servicekit.jobs.classes import CannotKeep, CannotRead
from servicekit.jobs.values import read_value, write_value
from tests.jobs import kinds
from tests.jobs.drawn import DRAWN
from tests.jobs.kinds import Box, Circle, Colour, Loose, Order, Page, Pair, Patch, Point, Shape
from tests.jobs.same import look_at


def again(value: object) -> Any:
    return read_value(json.loads(json.dumps(write_value(value), allow_nan=False)))


def loose() -> Loose:
    value = Loose.model_validate({"size": 3, "colour": (1, 2)})
    value._seen.append(1)
    return value


def text() -> kinds.Text:
    value = kinds.Text("bonjour")
    value.language = "fr"
    return value


def basket() -> kinds.Basket:
    value = kinds.Basket([(1, 2)])
    value.owner = Point(1)
    return value


BERLIN = ZoneInfo("Europe/Berlin")
VALUES = [
    None, True, 0, -1, 2**70, 10**5_000, 0.1, -0.0, float("nan"), float("inf"), -float("inf"), 1 + 2j, complex("nan"),
    "", "\ud800\0", b"", b"\xff\x00", bytearray(b"\xff"),
    [], [1, [2.0, {"a": [None]}]], (), (1, (2, [3])), {1, 2.5, "x"}, frozenset({(1, 2)}), range(1, 10, 2),
    {}, {"a": {"$date": 1}}, {"$date": "2026-01-01"}, {"$": 1}, {1: "a", (2, 3): b"x", None: 1.5},
    deque([1, 2], maxlen=3), deque("ab"), OrderedDict(b=1, a=2), Counter("abba"), Counter(a=-1),
    defaultdict(list, {"a": [1], "b": (2,)}), defaultdict(None, {1: 2}),
    date(2026, 1, 31), datetime(2026, 3, 28, 9, tzinfo=BERLIN), datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
    datetime.fromisoformat("2026-01-01T00:00:00.000001"), datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-3, minutes=30))),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=5), "mine")),
    TypeAdapter(datetime).validate_json('"2026-01-01T12:00:00+02:00"'),
    TypeAdapter(datetime).validate_json('"2026-01-01T12:00:00Z"'),
    time(2, 3, 4, 5, tzinfo=UTC, fold=1), timedelta(days=-1, microseconds=1), BERLIN, UTC,
    Decimal("0.10"), Decimal("-0E+5"), Decimal("NaN"), Fraction(10**5_000, 3), UUID(int=1), ULID(),
    Path("/tmp/a b"), PurePosixPath("x"), ip_address("10.0.0.1"), ip_address("fe80::1%eth0"), ip_network("10.0.0.0/8"),
    ip_interface("::1/64"), re.compile("a(b)", re.IGNORECASE), re.compile(b"\xff"),
    AnyUrl("https://example.com/ä?q=1"), HttpUrl("http://example.com"), PostgresDsn("postgres://a:b@c,d/e"),
    Colour.RED, Colour.BLUE, kinds.Level.HIGH, kinds.Access.READ, kinds.Access.READ | kinds.Access.WRITE,
    Patch(name="Ada"), Patch(), Order(itemId=7), Order.model_validate({"itemId": 7, "remark": "now"}), loose(),
    Circle(name="c", inner=Circle(radius=2)), kinds.Twice(value=2), kinds.Names(["a"]),
    Page[int](items=[1]), Page[tuple[int, str] | None](items=[(1, "a"), None]), Page[Shape](items=[Circle()]),
    Page[Page[Colour]](items=[Page[Colour](items=[Colour.RED])]), Page(items=[1, "b"]),
    Patch.model_construct(name=b"not valid"),
    Point(1, (2, {3})), kinds.Span(date(2026, 1, 1), date(2026, 1, 2)), kinds.Counted([1, 2]), Box[int](1),
    Pair((1, 2)), Pair(Pair(1), {"a": Order(itemId=1)}), text(), basket(), kinds.Table(a=(1,)),
    SecretStr("hunter2"), SecretBytes(b"\xff"), Secret((1, "a")), kinds.Login(password=SecretStr("hunter2")),
    int, Patch, Page[int], list[int],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=[f"{index}-{type(value).__name__}" for index, value in enumerate(VALUES)])
def test_a_value_comes_back_as_it_was(value: object) -> None:
    assert look_at(again(value)) == look_at(value)
    nested = [{"a": (value,)}, Point(value), Loose.model_construct(extra=deque([value], 5)), Pair(value)]
    assert look_at(again(nested)) == look_at(nested)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(value=DRAWN)
def test_whatever_is_drawn_comes_back_as_it_was(value: object) -> None:
    assert look_at(again(value)) == look_at(value)


def test_a_member_a_zone_and_a_class_are_the_very_ones() -> None:
    for value in (Colour.RED, kinds.Level.HIGH, BERLIN, UTC, Page[int], Patch):
        assert again(value) is value


def test_a_day_later_is_the_same_time_of_day_in_its_zone() -> None:
    before_summer = again(datetime(2026, 3, 28, 9, tzinfo=BERLIN))
    assert (before_summer + timedelta(days=1)).isoformat() == "2026-03-29T09:00:00+02:00"


def test_nothing_is_validated_or_made_again() -> None:
    appointment = kinds.Appointment.model_construct(at=datetime(2020, 1, 1, tzinfo=UTC), file=Path("/no/such/file"))
    assert again(appointment) == appointment
    counted = again(kinds.Counted([1, 2, 3]))
    assert (counted.runs, counted.note) == (3, "made by __post_init__")


def test_no_setter_is_asked_what_an_object_holds() -> None:
    kept = kinds.Kept(2.5)
    kinds.Kept.asked.clear()
    back = again(kept)
    assert (vars(back), back.size, kinds.Kept.asked) == ({"size": 2.5, "_area": 6.25, "note": "new"}, 2.5, [])
    assert vars(again(kinds.KeptList([1]))) == {}
    read_value({"$extended": ["tests.jobs.kinds:KeptList", [1], {"size": 7}]})
    read_value({"$object": ["tests.jobs.kinds:Kept", {"fields": {"size": 7}, "more": {"area": 7}}]})
    assert kinds.Kept.asked == []


def test_what_a_cached_property_keeps_is_made_anew() -> None:
    value = Loose(size=3)
    assert value.square == 9
    back = again(value)
    assert "square" not in vars(back)
    assert back.square == 9


def test_a_set_is_written_in_one_order_in_every_process() -> None:
    assert write_value({"b", "a", "c"}) == {"$set": ["a", "b", "c"]}


def nest(depth: int) -> tuple[Any, ...]:
    value: tuple[Any, ...] = ()
    for _ in range(depth):
        value = (value,)
    return value


def cyclic() -> list[object]:
    value: list[object] = [()]
    value += [value, value]
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "an object cannot be kept in a file"),
        (kinds.Plain(Path()), "a Plain cannot be kept in a file or a database: it is neither plain data nor a model"),
        (kinds.Users(), "a Users cannot be kept in a file"),
        (len, "a function cannot be kept in a file"),
        (lambda: None, "a function cannot be kept in a file"),
        (Lock(), "a lock cannot be kept in a file"),
        (kinds.Token("hunter2"), "a Token cannot be kept in a file or a database: its class is one of your own"),
        (defaultdict(lambda: 1), "the function with which a defaultdict makes its defaults"),
        (kinds.make_local_class()(), "its class is make_local_class.<locals>.Local, defined inside of a function"),
        (nest(150), "it contains itself, or is nested too deeply"),
        (cyclic(), "it contains itself, or is nested too deeply"),
        (sys.float_info, "a float_info cannot be kept in a file"),
        (socket, "a module cannot be kept in a file"),
    ],
)
def test_what_cannot_be_written_says_so(value: object, reason: str) -> None:
    with pytest.raises(CannotKeep, match=re.escape(reason)):
        write_value(value)


def test_the_way_to_what_cannot_be_written_is_told() -> None:
    with pytest.raises(CannotKeep) as caught:
        write_value({"orders": [Point(1), Point(1, {2: object()})]})
    assert caught.value.path == ["orders", "1", "y", "2"]


@pytest.mark.parametrize(
    "data",
    [
        {"$nothing": 1},
        {"$object": ["os:system", {"fields": {}}]},
        {"$object": ["tests.jobs.kinds:Plain", {"fields": {}, "more": {"path": "x"}}]},
        {"$object": ["tests.jobs.kinds:Colour", {"fields": {}}]},
        {"$object": ["no.such:Module", {"fields": {}}]},
        {"$object": ["tests.jobs.kinds:Nothing", {"fields": {}}]},
        {"$object": [7, {"fields": {}}]},
        {"$extended": ["tests.jobs.kinds:Text", [1], {}]},
        {"$extended": ["tests.jobs.kinds:Pair", {"$tuple": [1, 2, 3]}, {}]},
        {"$enum": ["tests.jobs.kinds:Colour", "GREEN"]},
        {"$flag": ["tests.jobs.kinds:Colour", 1]},
        {"$type": "subprocess:Popen"},
        {"$NameEmail": "x"},
        {"$zone": "No/Such"},
    ],
)
def test_only_data_is_read(data: object) -> None:
    with pytest.raises(CannotRead):
        read_value(data)


def test_a_class_may_change_between_the_two(monkeypatch: pytest.MonkeyPatch) -> None:
    model, point = write_value(Patch(name="Ada")), write_value(Point(1, 2))
    replace = monkeypatch.setattr
    replace(kinds, "Patch", with_fields("Patch", Shape, {"colour": (str, "red")}))
    assert read_value(model).model_dump() == {"name": "Ada", "colour": "red"}
    assert read_value(model).model_fields_set == {"name"}
    replace(kinds, "Patch", with_fields("Patch", Shape, {"colour": (str, ...)}))
    with pytest.raises(CannotRead, match="has a field 'colour' by now, which was not given"):
        read_value(model)
    replace(kinds, "Point", kinds.Counted)
    with pytest.raises(CannotRead, match="Counted has a field 'given' by now, which was not given"):
        read_value(point)


def with_fields(name: str, base: Any, fields: dict[str, Any]) -> Any:
    from pydantic import create_model

    make: Callable[..., Any] = create_model
    return make(name, __base__=base, **fields)
