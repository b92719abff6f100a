"""Functions and models for the tests of tasks, in a module that a job's own process can import."""

from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SecretStr

from servicekit import current_job


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    number: int = 1


def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    The second line is not shown.
    """
    return a + b


async def add_later(a: int, b: int = 1) -> int:
    return a + b


def describe(
    color: Color,
    size: Literal["s", "m"],
    count: Annotated[int, Field(ge=1, le=9, description="How many.")],
    day: date,
    address: Address,
    labels: list[str] | None = None,
    ratio: float = Field(0.5, gt=0),
    untyped: Any = None,
) -> list[str]:
    """Say what came, and of which types."""
    values = (color, size, count, day, address, labels, ratio, untyped)
    return [f"{type(value).__name__} {value!r}" for value in values]


def login(
    user: str,
    password: SecretStr,
    pin: Annotated[str, Field(json_schema_extra={"writeOnly": True}, min_length=4)] = "1234-5678",
) -> str:
    return f"{user} {password.get_secret_value()} {pin}"


def fail(text: str) -> None:
    raise ValueError(text)


def tags() -> list[str]:
    return list(current_job().tags)
