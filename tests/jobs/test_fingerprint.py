"""What makes two submissions with one idempotency key the same."""

from typing import Any

import pytest

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.restartable import fingerprint
from servicekit.jobs.submission import Submission
from tests.jobs.kinds import Order, Patch


def first(*args: object, **kwargs: object) -> None: ...


def second(*args: object, **kwargs: object) -> None: ...


def fingerprint_of(target: Any, *args: object, **kwargs: object) -> str:
    return fingerprint(Submission("id", "name", target, args, kwargs, RunnerKind.THREAD))


def cyclic() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value", [None, 1.5, "ä\ud800", [1, {"a": 2}], (1, 2), {1: 2, "1": 3}, object(), b"x", cyclic()]
)
def test_the_same_call_has_the_same_fingerprint(value: object) -> None:
    text = fingerprint_of(first, value, option=value)
    assert text == fingerprint_of(first, value, option=value)
    assert len(text) == 64
    for other in (
        fingerprint_of(second, value, option=value),
        fingerprint_of(first, value),
        fingerprint_of(first, value, other=value),
        fingerprint_of(first, value, value, option=value),
        fingerprint_of(first, "something else", option=value),
        fingerprint_of(first, value, option="something else"),
    ):
        assert other != text


def test_the_order_of_names_does_not_matter() -> None:
    assert fingerprint_of(first, {"a": 1, "b": 2}, c=1, d=2) == fingerprint_of(first, {"b": 2, "a": 1}, d=2, c=1)


def test_what_is_written_counts_to_the_depth() -> None:
    assert fingerprint_of(first, Order(itemId=7)) == fingerprint_of(first, Order(itemId=7))
    assert fingerprint_of(first, Order(itemId=7)) != fingerprint_of(first, Order(itemId=8))
    assert fingerprint_of(first, Patch()) != fingerprint_of(first, Patch(name=None))
    assert fingerprint_of(first, {"b", "a"}) == fingerprint_of(first, {"a", "b"})
    assert fingerprint_of(lambda _: 1, Order(itemId=7)) != fingerprint_of(lambda _: 1, Order(itemId=8))
    assert fingerprint_of(first, [object(), Order(itemId=7)]) != fingerprint_of(first, [object(), Order(itemId=8)])


def test_what_cannot_be_written_counts_by_its_type() -> None:
    assert fingerprint_of(first, object()) == fingerprint_of(first, object())
    assert fingerprint_of(first, [object]) != fingerprint_of(first, [object()])
    assert fingerprint_of(lambda: 1) == fingerprint_of(lambda: 2)
    assert fingerprint_of(lambda: 1) != fingerprint_of(first)
