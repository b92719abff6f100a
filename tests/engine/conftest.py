from collections.abc import AsyncIterator

import pytest

from servicekit import InMemoryScheduler
from tests.fakes import Gate


@pytest.fixture
async def scheduler() -> AsyncIterator[InMemoryScheduler]:
    async with InMemoryScheduler(shutdown_grace=0) as scheduler:
        yield scheduler


@pytest.fixture
async def single() -> AsyncIterator[InMemoryScheduler]:
    """A scheduler with one slot."""
    async with InMemoryScheduler(max_concurrency=1, shutdown_grace=0) as scheduler:
        yield scheduler


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()
