import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from servicekit.errors import JobCanceled
from servicekit.jobs.outcome import (
    MAX_ERROR_CHARACTERS,
    MAX_TRACEBACK_CHARACTERS,
    artifact_id_of,
    clip,
    completion,
    failure,
    is_cancellation,
)
from servicekit.jobs.status import Transition


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise SystemExit("not even this")


class StubbornGroup(BaseExceptionGroup[BaseException]):
    exceptions = ()

    def split(self, condition: object) -> Any:
        raise SystemExit("not even this")


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        return raised


def test_an_error_reads_as_its_class_and_text() -> None:
    assert failure(caught(ValueError("Invalid input"))).error == "ValueError: Invalid input"


def test_an_error_without_text_reads_as_its_class() -> None:
    assert failure(caught(KeyboardInterrupt())).error == "KeyboardInterrupt"


def test_line_breaks_in_an_error_are_kept() -> None:
    assert failure(caught(ValueError("one\ntwo\r\n"))).error == "ValueError: one\ntwo\r\n"


def test_a_traceback_reads_as_python_prints_it() -> None:
    text = failure(caught(ValueError("Invalid input"))).error_traceback
    assert text is not None
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("ValueError: Invalid input\n")
    assert "in caught" in text


def test_an_error_is_told_without_colours() -> None:
    outcome = failure(caught(ValueError("\x1b[1;31mno\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07\x9b2J\tand\nmore")))
    assert outcome.error == "ValueError: no link\tand\nmore"
    assert str(outcome.error_traceback).endswith("ValueError: no link\tand\nmore\n")


def test_of_an_error_of_megabytes_only_what_is_kept_is_looked_through() -> None:
    outcome = failure(caught(ValueError("begin" + "\x1b[31mno" * 1_000_000 + "\x1b]0;title\x07end")))
    for text in (str(outcome.error), str(outcome.error_traceback)):
        assert "ValueError: begin" in text
        assert text.rstrip().endswith("noend")
        assert "\n... (7,000," in text  # its escapes are counted, which nobody has looked for
        assert not {"\x1b", "\x07"} & set(text)


def test_an_error_that_cannot_be_printed_is_still_told() -> None:
    outcome = failure(caught(UnprintableError()))
    assert outcome.transition is Transition.FAIL
    assert outcome.error is not None
    assert outcome.error.startswith("UnprintableError: ")
    assert outcome.error_traceback is not None


def test_a_group_of_errors_is_told_with_what_is_in_it() -> None:
    inner = ExceptionGroup("inner", [OSError("refused"), OSError("refused"), UnprintableError()])
    group = BaseExceptionGroup("outer", [ValueError("no"), inner, SystemExit(3)])
    assert failure(group).error == (
        "BaseExceptionGroup: outer (3 sub-exceptions): ValueError: no; OSError: refused; "
        "UnprintableError: (its text cannot be shown: str() of it raised); SystemExit: 3"
    )


def test_a_large_group_of_errors_is_told_in_part() -> None:
    group = ExceptionGroup[Exception]("many", [ValueError(f"{number} {'x' * 1_000}") for number in range(2_000)])
    for _ in range(100):
        group = ExceptionGroup("twice", [group, group])
    error = failure(group).error
    assert error is not None
    assert (len(error) <= 1_000, error.count("ValueError: "), error[-5:]) == (True, 5, "; ...")
    assert len(failure(group).error_types) == 1
    assert str(failure(caught(group)).error_traceback).startswith("Traceback (most recent call last):\n  File ")


def test_a_group_that_hides_its_errors_is_seen_through() -> None:
    outcome = failure(StubbornGroup("stubborn", [OSError("refused")]))
    assert "builtins.OSError" in outcome.error_types[0]


def test_the_whole_group_of_errors_is_in_the_traceback() -> None:
    error = caught(ExceptionGroup("two at once", [ValueError("first"), KeyError("second")]))
    error.add_note("and a note")
    text = failure(error).error_traceback
    assert text is not None
    assert all(part in text for part in ("two at once", "first", "second", "and a note"))


@given(st.text(st.characters(codec=None), max_size=50).map(lambda text: text * 1_000))
def test_whatever_an_error_says_is_bounded_and_encodable(text: str) -> None:
    outcome = failure(caught(ValueError(text)))
    assert outcome.error is not None
    assert outcome.error_traceback is not None
    assert len(outcome.error) <= 2 * MAX_ERROR_CHARACTERS
    assert len(outcome.error_traceback) <= 2 * MAX_TRACEBACK_CHARACTERS
    json.dumps([outcome.error, outcome.error_traceback], ensure_ascii=False).encode()


def test_a_text_of_what_is_spelled_longer_is_bounded_all_the_same() -> None:
    assert clip("\0" * 1_000, 1_000) == "\\x00" * 500
    assert clip("\ud800" * 1_000, 1_000) == "\\ud800" * 333 + "\\u"


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    text = clip("begin" + "x" * 1_000_000 + "end", 1_000)
    assert text.startswith("begin")
    assert text.endswith("end")
    assert "1,000,008 characters" in text
    assert len(text) <= 1_000


@pytest.mark.parametrize("make", [ULID, lambda: str(ULID())])
def test_a_result_that_is_a_ulid_is_the_artifact(make: type) -> None:
    ulid = make()
    assert artifact_id_of(ulid) == str(ulid)


@pytest.mark.parametrize("result", [None, 1, "text", "01jqrs7xk5n8z3vq2m4t6w8y0a", ["01JQRS7XK5N8Z3VQ2M4T6W8Y0A"]])
def test_another_result_is_no_artifact(result: object) -> None:
    assert artifact_id_of(result) is None


def test_a_result_of_none_is_a_result() -> None:
    assert completion(None).transition is completion(1).transition is Transition.COMPLETE


def test_a_cancellation_is_told_from_other_errors_also_in_groups() -> None:
    canceled, asked = asyncio.CancelledError(), JobCanceled("01JQRS7XK5N8Z3VQ2M4T6W8Y0A")
    inner = BaseExceptionGroup("inner", [canceled, asked])
    outer = BaseExceptionGroup("outer", [canceled, inner])
    assert [error for error in (canceled, asked, inner, outer) if not is_cancellation(error)] == []
    mixed = BaseExceptionGroup("mixed", [outer, ValueError("Invalid input")])
    stubborn = StubbornGroup("stubborn", [canceled])
    assert [error for error in (ValueError("x"), mixed, stubborn) if is_cancellation(error)] == []
