"""PgQueuer, on asyncpg: a pool for submissions, a connection of its own for the work."""

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from benchmarks.peers.served import Arrangement, Served, main

_NAME = "noop"
_LIST = 1_000


class _Opened:
    def __init__(self, url: str, pool: Any, job: Callable[[], Awaitable[None]]) -> None:
        self._pool = pool
        self._module = importlib.import_module("pgqueuer.db")
        self._queries = importlib.import_module("pgqueuer.queries").Queries(self._module.AsyncpgPoolDriver(pool))
        self._url = url
        self._job = job

    async def submit(self) -> object:
        return await self._queries.enqueue(_NAME, None)

    async def submit_many(self, count: int) -> None:
        for start in range(0, count, _LIST):
            jobs = min(_LIST, count - start)
            await self._queries.enqueue([_NAME] * jobs, [None] * jobs, [0] * jobs)

    async def work(self, limit: int, width: int) -> None:
        connection = await importlib.import_module("asyncpg").connect(self._url)
        engine = importlib.import_module("pgqueuer").PgQueuer(self._module.AsyncpgDriver(connection))
        engine.entrypoint(_NAME, concurrency_limit=limit)(self._run)
        try:
            await engine.run(batch_size=width, dequeue_timeout=timedelta(seconds=1))
        finally:
            await connection.close()

    async def count_open(self) -> int:
        number: int = await self._pool.fetchval("SELECT count(*) FROM pgqueuer")
        return number

    async def _run(self, _: Any) -> None:
        await self._job()


async def install(url: str) -> None:
    """Its tables, as its own command makes them: they are logged, and so as durable as ours."""
    connection = await importlib.import_module("asyncpg").connect(url)
    driver = importlib.import_module("pgqueuer.db").AsyncpgDriver(connection)
    await importlib.import_module("pgqueuer.queries").Queries(driver).install()
    await connection.close()


@asynccontextmanager
async def open_pool(url: str, job: Callable[[], Awaitable[None]], connections: int) -> AsyncIterator[_Opened]:
    async with importlib.import_module("asyncpg").create_pool(url, min_size=connections, max_size=connections) as pool:
        yield _Opened(url, pool, job)


ARRANGEMENTS = [Arrangement(first, width) for first in (True, False) for width in (100, 1_000)]


if __name__ == "__main__":
    main(Served(install, open_pool, ARRANGEMENTS))
