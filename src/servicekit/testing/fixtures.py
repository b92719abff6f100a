"""The pytest fixture `jobs`: `pytest_plugins = ["servicekit.testing.fixtures"]` in `conftest.py`.

No entry point loads it: every run of pytest would import servicekit, and have a fixture of this name.
"""

import asyncio
from collections.abc import Iterator

import pytest

from servicekit.testing.scheduler import TestScheduler


@pytest.fixture
def jobs() -> Iterator[TestScheduler]:
    """A scheduler in memory, on a fake clock; it starts with its first job.

    It needs no event loop of its own, so that it serves every plugin for asynchronous tests, and tests that are not.
    """
    scheduler = TestScheduler()
    yield scheduler
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:  # which leaves the test's own alone
        runner.run(scheduler.close())
