"""Lines on their way into a job's log: where they end, and what becomes of those that are written over."""

import time
from types import SimpleNamespace

import pytest

from servicekit.jobs.log_lines import LineBuffer


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("servicekit.jobs.log_lines.time", SimpleNamespace(time=time.time, monotonic=clock.monotonic))
    return clock


@pytest.fixture
def lines(clock: Clock) -> LineBuffer:
    return LineBuffer()


def write(lines: LineBuffer, *pieces: str) -> list[bool]:
    return [lines.add_piece(piece, "info", "stdout") for piece in pieces]


def take(lines: LineBuffer) -> list[str]:
    return [line.text for line in lines.take()]


def test_what_stands_on_a_line_that_is_written_over_is_taken_now_and_then(lines: LineBuffer, clock: Clock) -> None:
    assert write(lines, "10%\r", "20%\r") == [True, False]
    assert (lines.seconds_to_next(), take(lines), lines.seconds_to_next()) == (0, ["20%"], None)
    assert write(lines, "30%", "\r", "40%\r") == [True, False, False]
    assert (take(lines), lines.seconds_to_next()) == ([], 1)
    clock.now += 1
    assert (take(lines), take(lines)) == (["40%"], [])
    assert write(lines, "100%\n") == [True]
    assert take(lines) == ["100%"]


def test_a_state_that_was_taken_is_not_taken_again_at_the_end(lines: LineBuffer) -> None:
    write(lines, "\r50%", "\r100%")
    assert take(lines) == ["100%"]
    write(lines, "\n", "next\r")
    assert take(lines) == ["next"]
    lines.finish()
    assert take(lines) == []


@pytest.mark.parametrize("pieces", [["one\r\ntwo\r\n"], ["one\r", "\ntwo", "\r", "\n"], ["one", "\r\ntwo\r\n"]])
def test_cr_and_lf_are_one_end_however_they_come(lines: LineBuffer, pieces: list[str]) -> None:
    told = []
    for piece in pieces:
        write(lines, piece)
        told += take(lines)
    assert told == ["one", "two"]


def test_what_has_come_of_a_plain_line_waits_for_its_end(lines: LineBuffer) -> None:
    assert write(lines, "Password: ") == [False]
    assert (take(lines), lines.seconds_to_next()) == ([], None)
    assert write(lines, "***", "\n") == [False, True]
    assert take(lines) == ["Password: ***"]


def test_a_bar_that_goes_on_for_hours_leaves_room_for_other_lines(lines: LineBuffer, clock: Clock) -> None:
    taken = 0
    for tenth in range(5 * 36_000):
        write(lines, f"\r{tenth}")
        taken += len(take(lines))
        clock.now += 0.1
    assert 100 < taken < 1_000
    write(lines, "\rdone\n")
    assert take(lines)[-1] == "done"
