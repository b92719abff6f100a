"""The console for servicekit's own lines, where logging is configured after the service has started."""

import logging

import pytest

from servicekit.observability.console import show_by

SERVICEKIT = "servicekit"


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


@pytest.mark.parametrize("name", [None, SERVICEKIT])
def test_a_handler_that_comes_later_takes_over(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for logger in (logging.getLogger(), logging.getLogger(SERVICEKIT)):
        monkeypatch.setattr(logger, "handlers", [])
    console, later = Lines(), Lines()
    with show_by([console]):
        logging.getLogger("servicekit.jobs").info("before")
        logging.getLogger(name).addHandler(later)
        logging.getLogger("servicekit.jobs").info("after")
    assert (console.told, later.told) == (["before"], ["after"])
