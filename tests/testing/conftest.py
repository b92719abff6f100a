from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from servicekit.testing import TestScheduler
from servicekit.testing.fixtures import jobs
from tests.places import STORES, url_of

__all__ = ["jobs"]


@pytest.fixture(params=STORES)
async def scheduler(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TestScheduler]:
    """One with each store."""
    # Nothing in these tests hangs without being meant to, and the start of a process takes seconds on a busy machine.
    async with TestScheduler(url=url_of(request, tmp_path), patience_seconds=20) as scheduler:
        yield scheduler
