"""Arguments that another process can read, those that it cannot, and those that an earlier version has written."""

import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from servicekit.errors import ArgumentsUnfit, InvalidArguments, InvalidTarget
from servicekit.jobs.arguments import NO_ARGUMENTS, ArgumentNotKept, dump_arguments, load_arguments
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.restartable import describe_call, refuse
from servicekit.jobs.submission import CallDescription, CallProblem, Submission
from tests.jobs.kinds import Order, Patch, Point


class Request(BaseModel):
    day: date
    sizes: tuple[int, ...] = ()


def typed(body: Request, /, point: Point, *, when: timedelta, price: Decimal) -> None: ...


def unresolved(day: date, frame: "NoSuchType | None" = None) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def untyped(value, *rest, **more) -> None: ...  # type: ignore[no-untyped-def]


BODY = Request(day=date(2026, 1, 31), sizes=(1, 2))


@pytest.mark.parametrize("value", [None, True, 2**70, 0.1, "\ud800\0", [1, [2, {"a": [None]}]], {"": {}}, {"$set": 1}])
def test_what_json_gives_back_stands_as_it_is(value: object) -> None:
    text = dump_arguments((value,), {"value": value})
    assert "form" not in text
    assert load_arguments("m:f", untyped, text) == ((value,), {"value": value})


def test_no_arguments_are_always_the_same_text() -> None:
    assert dump_arguments((), {}) is NO_ARGUMENTS
    assert load_arguments("m:f", untyped, NO_ARGUMENTS) == ((), {})


def test_whatever_is_data_comes_back_without_the_help_of_a_signature() -> None:
    args, kwargs = (BODY, 1, [Point(1, (2,))]), {"patch": Patch(name="Ada"), "day": BODY.day, "plain": {"$set": [1]}}
    assert load_arguments("m:f", untyped, dump_arguments(args, kwargs)) == (args, kwargs)


CALL = ("m:f", untyped)


def test_a_form_that_is_not_known_is_told() -> None:
    with pytest.raises(ArgumentsUnfit, match="a newer servicekit has written them"):
        load_arguments("m:f", untyped, '{"args": [], "kwargs": {}, "form": 99}')
    with pytest.raises(ArgumentsUnfit, match=r"do not fit m:f any more: .*KeyError"):
        load_arguments(*CALL, '{"args": [{"$object": ["tests.jobs.kinds:Point", {}]}], "kwargs": {}, "form": 2}')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "[" * 100_000,
        '{"args": 7, "kwargs": {}}',
        '{"args": [], "kwargs": [1]}',
        '{"args": [], "kwargs": {}, "typed": 7}',
        '{"args": 7, "kwargs": {}, "form": 2}',
        '{"args": [{"$type": "a_module_that_exits:Model"}], "kwargs": {}, "form": 2}',
        '{"args": [{"$object": ["a_module_that_exits:Model", {"fields": {}}]}], "kwargs": {}, "form": 2}',
        '{"args": [{"$set": [{"$object": ["tests.jobs.kinds:Exiting", {"fields": {}}]}]}], "kwargs": {}, "form": 2}',
    ],
    ids=lambda text: text[:80],
)
def test_what_somebody_else_has_written_is_unfit_whatever_it_is(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_module_that_exits.py").write_text("import sys; sys.exit('install something')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ArgumentsUnfit, match="do not fit m:f any more"):
        load_arguments("m:f", typed, text)


EARLIER = (
    '{"args": [{"day": "2026-01-31", "sizes": [1, 2]}], '
    '"kwargs": {"point": {"x": 3}, "when": "PT1.5S", "price": "0.10"}, "typed": [0, "point", "when", "price"]}'
)


def test_what_an_earlier_version_has_written_is_read_by_the_types_of_the_signature() -> None:
    expected = {"point": Point(3), "when": timedelta(seconds=1.5), "price": Decimal("0.10")}
    assert load_arguments("m:f", typed, EARLIER) == ((BODY,), expected)
    with pytest.raises(ArgumentsUnfit, match=r"do not fit m:f any more: .*Field required"):
        load_arguments("m:f", typed, EARLIER.replace('"x": 3', ""))
    with pytest.raises(ArgumentsUnfit, match="KeyError: 0"):
        load_arguments("m:f", untyped, EARLIER)


def cyclic() -> list[object]:
    itself: list[object] = []
    itself.append(itself)
    return itself


def deep() -> list[object]:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize("value", [cyclic(), deep(), [cyclic(), date(2026, 1, 1)]])
def test_what_has_no_end_is_not_written(value: object) -> None:
    with pytest.raises(ArgumentNotKept, match="it contains itself, or is nested too deeply") as caught:
        dump_arguments((1, value), {})
    assert (caught.value.key, caught.value.is_too_deep) == (1, True)


def describe(target: Any, *args: object, **kwargs: object) -> CallDescription | CallProblem:
    return describe_call(Submission("id", "name", target, args, kwargs, RunnerKind.THREAD))


def test_an_annotation_that_cannot_be_resolved_costs_nothing() -> None:
    assert isinstance(describe(unresolved, date(2026, 1, 1)), CallDescription)


def test_what_is_described_is_what_was_there_then() -> None:
    values = [(1, 2)]
    submission = Submission("id", "name", untyped, (values,), {}, RunnerKind.THREAD)
    described = describe_call(submission)
    values.clear()
    assert describe_call(submission) is described


class Target:
    def __call__(self) -> None: ...

    def run(self) -> None: ...


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (lambda: None, "the target is a lambda, which no other process can import."),
        (cyclic().append, "the target is a bound method, which no other process can import."),
        (Target().run, "the target is a bound method, which no other process can import."),
        (Target(), "the target is an object of the class Target, which no other process can import by a name."),
    ],
)
def test_a_target_that_nobody_else_can_import_says_why(target: Any, reason: str) -> None:
    problem = describe(target)
    assert isinstance(problem, CallProblem)
    assert problem.sentence.startswith(reason.rstrip("."))
    assert isinstance(refuse(target, problem), InvalidTarget)


def test_a_program_whose_name_cannot_be_imported_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from servicekit.jobs import references

    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", "/srv/my-service.py", raising=False)
    monkeypatch.setattr(main, "__spec__", None, raising=False)
    monkeypatch.setattr(main, "work", make_work(), raising=False)
    references.name_of_main.cache_clear()
    try:
        problem = describe(main.work)
    finally:
        references.name_of_main.cache_clear()
    assert isinstance(problem, CallProblem)
    assert problem.sentence == (
        "the target is work of the program my-service.py, which cannot be imported under that name: "
        "rename the file, without '-'."
    )


def make_work() -> Any:
    def work() -> None: ...

    work.__module__, work.__qualname__ = "__main__", "work"
    return work


def test_an_argument_that_cannot_be_kept_says_which_and_why() -> None:
    for problem, path in [
        (describe(typed, object()), "body"),
        (describe(untyped, 1, [Point(1, object())]), "rest.0.0.y"),
        (describe(untyped, more={"a": object()}), "more.a"),
    ]:
        assert isinstance(problem, CallProblem)
        assert problem.sentence.startswith(f"argument '{path}': an object cannot be kept in a file")
        assert isinstance(refuse(untyped, problem), InvalidArguments)


def test_an_object_of_the_users_that_cannot_be_looked_at_is_no_error() -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("do not look")

    problem = describe(untyped, Hostile())
    assert isinstance(problem, CallProblem)


def test_aliases_do_not_make_two_orders_one() -> None:
    assert describe(untyped, Order(itemId=7)) != describe(untyped, Order(itemId=8))
