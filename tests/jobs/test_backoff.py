"""Pauses that grow, and failures that are logged once a minute."""

import logging

import pytest

from servicekit.jobs import backoff
from servicekit.jobs.backoff import Backoff, FailureLog

log = logging.getLogger("servicekit.engine")


def test_each_pause_is_twice_as_long_as_the_last_one_up_to_the_longest() -> None:
    pauses = Backoff(0.5, 5.0)
    assert [pauses.next_seconds() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_after_a_success_the_pauses_begin_again() -> None:
    pauses = Backoff(1.0, 60.0)
    for _ in range(3):
        pauses.next_seconds()
    pauses.reset()
    assert pauses.next_seconds() == 1.0


def test_the_same_failure_is_logged_once_in_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = FailureLog(log)
    for _ in range(3):
        failures.warn("It failed: %s", "no disk")
    assert told(caplog) == ["It failed: no disk"]
    monkeypatch.setattr(backoff, "_QUIET_SECONDS", 0.0)
    others = FailureLog(log)
    for _ in range(3):
        others.warn("It failed: %s", "no disk")
    assert len(told(caplog)) == 1 + 3


def test_another_failure_is_news(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailureLog(log)
    for reason in ("no disk", "no memory", "no disk", "no memory"):
        failures.warn("It failed: %s", reason)
        failures.exception("It failed", ValueError(reason))
    assert [line.exc_info is not None for line in warnings(caplog)] == [False, True] * 2


def test_however_many_things_fail_the_lines_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailureLog(log)
    for number in range(1_000):
        failures.warn("Job %s failed", number)
    assert len(warnings(caplog)) == 100


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in warnings(caplog)]
