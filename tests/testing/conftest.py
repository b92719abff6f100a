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
    async with TestScheduler(url=url) as scheduler:
        yield scheduler
