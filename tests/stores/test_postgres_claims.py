"""Claims of stores in PostgreSQL that are told of what is ready: no ready job is left until something else happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Unpack

from servicekit.engine.clock import SystemClock
from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import DEFAULT_OPTIONS, OptionChanges, changed
from servicekit.jobs.retention import Retention
from servicekit.jobs.submission import Claim
from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.store import PostgresStore
from servicekit.testing.stores.fakes import RecordingPublisher, RecordingSignals, submission
from tests.needs import needs

pytestmark = needs("postgresql")

ids = JobIds()


@asynccontextmanager
async def opened(url: str, signals: RecordingSignals | None = None) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(read_address("url", url), RecordingPublisher(), SystemClock(), Retention())
    await store.liveness.open(signals or RecordingSignals())
    try:
        yield store
    finally:
        await store.liveness.close()


async def insert(store: PostgresStore, **options: Unpack[OptionChanges]) -> str:
    return await store.submissions.insert(submission(ids.next_id(), options=changed(DEFAULT_OPTIONS, options)))


async def claim_when_told(store: PostgresStore, signals: RecordingSignals) -> list[Claim]:
    """Claim as a worker does: again whenever it is told that there may be something to claim."""
    claims: list[Claim] = []
    while not claims:
        await signals.woken.wait()
        signals.woken.clear()
        claims = await store.attempts.claim(10, ())
    return claims


async def test_a_slot_of_a_job_in_a_paused_queue_is_passed_on_soon(postgres_url: str) -> None:
    signals = RecordingSignals()
    async with opened(postgres_url, signals) as one, opened(postgres_url) as other:
        await other.queues.set_queue_paused("slow", is_paused=True)
        await insert(other, queue="slow", concurrency_key="k")
        assert await one.attempts.claim(10, ()) == []  # it looks for such slots as well
        job_id = await insert(other, concurrency_key="k")
        claims = await asyncio.wait_for(claim_when_told(one, signals), 30)
        assert [claim.submission.id for claim in claims] == [job_id]


async def test_coroutines_are_claimed_in_large_numbers_up_to_all_limits(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        for _ in range(9):
            await insert(store)
        assert len(await store.attempts.claim(1, (), 2, {}, 5)) == 2
        assert len(await store.attempts.claim(1, (), None, {"default": 3}, 5)) == 1
        assert len(await store.attempts.claim(1, (), None, {}, 4)) == 4
        assert len(await store.attempts.claim(1, ())) == 1
