"""Procrastinate, on psycopg. It has no limit of jobs over several processes."""

import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.peers.served import Arrangement, Served, main

_LIST = 1_000
_OPEN = "SELECT count(*) AS number FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"


def _app(url: str, connections: int) -> Any:
    module = importlib.import_module("procrastinate")
    return module.App(connector=module.PsycopgConnector(conninfo=url, min_size=connections, max_size=connections))


class _Opened:
    def __init__(self, app: Any, job: Callable[[], Awaitable[None]]) -> None:
        self._app = app

        @app.task(name="noop")  # type: ignore[untyped-decorator]
        async def noop() -> None:
            await job()

        self._task: Any = noop

    async def submit(self) -> object:
        return await self._task.defer_async()

    async def submit_many(self, count: int) -> None:
        for start in range(0, count, _LIST):
            await self._task.batch_defer_async(*[{}] * min(_LIST, count - start))

    async def work(self, limit: int, width: int) -> None:
        assert not limit, "it has none"
        await self._app.run_worker_async(concurrency=width, install_signal_handlers=False)

    async def count_open(self) -> int:
        row: dict[str, int] = await self._app.connector.execute_query_one_async(_OPEN)
        return row["number"]


async def install(url: str) -> None:
    async with _app(url, 1).open_async() as app:
        await app.schema_manager.apply_schema_async()


@asynccontextmanager
async def open_app(url: str, job: Callable[[], Awaitable[None]], connections: int) -> AsyncIterator[_Opened]:
    async with _app(url, connections).open_async() as app:
        yield _Opened(app, job)


ARRANGEMENTS = [Arrangement(first, width) for first in (True, False) for width in (10, 100)]


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    main(Served(install, open_app, ARRANGEMENTS))
