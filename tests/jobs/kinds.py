"""Classes of arguments, as users have them."""

import re
from collections import UserDict
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, IntFlag, StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    FutureDatetime,
    PrivateAttr,
    RootModel,
    Secret,
    SecretStr,
)
from pydantic import field_validator as validator

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = re.compile("blue")  # a value that is no JSON


class Level(StrEnum):
    HIGH = "high"


class Access(IntFlag):
    READ = 1
    WRITE = 2


class Patch(BaseModel):
    name: str | None = None
    email: str | None = None


class Order(BaseModel):
    item_id: int = Field(alias="itemId")
    note: str = Field(default="", validation_alias=AliasChoices("note", "remark"), serialization_alias="Note")


class Appointment(BaseModel):
    at: FutureDatetime
    file: FilePath | None = None


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")

    size: int = 1
    _seen: list[int] = PrivateAttr(default_factory=list)
    _never: int = PrivateAttr()

    @cached_property
    def square(self) -> int:
        return self.size**2


class Shape(BaseModel):
    name: str = "shape"


class Circle(Shape):
    radius: float = 1.0
    inner: Shape | None = None


class Twice(BaseModel):
    """Whose validator must not run again."""

    value: int

    @validator("value")
    @classmethod
    def double(cls, value: int) -> int:
        return value * 2


class Token(SecretStr):
    """A secret with code of its own."""


class Login(BaseModel):
    password: SecretStr
    pin: Secret[int] = Secret(4711)


class Page(BaseModel, Generic[T]):
    items: list[T]


class Names(RootModel[list[str]]):
    pass


@dataclass
class Point:
    x: Any
    y: Any = None


@dataclass(frozen=True, slots=True)
class Span:
    first: date
    last: date = field(compare=False)


@dataclass
class Counted:
    """Whose `__post_init__` must not run again."""

    given: list[int]
    runs: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.runs += len(self.given)
        self.note = "made by __post_init__"


@dataclass
class Box(Generic[T]):
    content: T


class Pair(NamedTuple):
    left: Any
    right: Any = None


class Text(str):
    """A text that knows its language."""

    language: str


class Basket(list[Any]):
    __slots__ = ("owner",)

    owner: Any


class Table(dict[str, Any]):
    pass


class Plain:
    """No data: nobody knows what its instances hold."""

    def __init__(self, path: Path) -> None:
        self.path = path


class Users(UserDict[str, Any]):
    pass


def make_local_class() -> Any:
    class Local(BaseModel):
        x: int = 1

    return Local


class Asking:
    """Keeps what it is given under its own name, and tells that it was asked to."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return 1.0 if instance is None else instance.__dict__[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        Kept.asked.append(value)
        instance.__dict__[self.name] = value


@dataclass
class Kept:
    """A dataclass with a field that is looked after, and one that is a property."""

    asked: ClassVar[list[object]] = []

    size: float = Asking()  # type: ignore[assignment] # as its documentation has it
    area: float = 0.0
    note: str = "new"

    def __post_init__(self) -> None:
        self._area = self.size**2


def _set_area(self: Kept, value: float) -> None:
    Kept.asked.append(value)
    self._area = value


Kept.area = property(lambda self: self._area, _set_area)  # type: ignore[assignment]


class KeptList(list[int]):
    size = Asking()


@dataclass
class Exiting:
    """To look for one in a set ends the program."""

    def __hash__(self) -> int:
        raise SystemExit
