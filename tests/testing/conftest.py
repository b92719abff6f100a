from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from servicekit.testing import TestScheduler
from servicekit.testing.fixtures import jobs

__all__ = ["jobs"]


@pytest.fixture(params=["memory", "sqlite"])
async def scheduler(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TestScheduler]:
    """One with each store."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/jobs.db"
    # Nothing in these tests hangs without being meant to, and the start of a process takes seconds on a busy machine.
    async with TestScheduler(url=url, patience_seconds=20) as scheduler:
        yield scheduler
