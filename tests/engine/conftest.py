from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from servicekit import Scheduler, create_scheduler
from tests.fakes import Gate
from tests.places import STORES, url_of


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where jobs are kept: each test that asks for it runs with every store."""
    return url_of(request, tmp_path)


@pytest.fixture
async def scheduler(url: str) -> AsyncIterator[Scheduler]:
    async with create_scheduler(url, shutdown_grace=0) as scheduler:
        yield scheduler


@pytest.fixture
async def single(url: str) -> AsyncIterator[Scheduler]:
    """A scheduler with one slot."""
    async with create_scheduler(url, max_concurrency=1, shutdown_grace=0) as scheduler:
        yield scheduler


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()
