"""The limit: the least that could be called a job scheduler. It promises nothing."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any


class TaskDict:
    """A task per job, and a dict of small dicts that grows for ever."""

    def __init__(self, max_concurrency: int | None = None) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(max_concurrency) if max_concurrency else contextlib.nullcontext()

    async def add_job(self, target: Callable[..., Awaitable[Any]], *args: Any) -> str:
        job_id = f"{len(self.records):026}"
        self.records[job_id] = record = {"id": job_id, "status": "pending", "submitted_at": time.time()}
        task = asyncio.create_task(self._run(record, target, args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job_id

    async def _run(self, record: dict[str, Any], target: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        async with self._slots:
            record["status"] = "running"
            record["started_at"] = time.time()
            record["result"] = await target(*args)
            record["status"] = "completed"
            record["finished_at"] = time.time()
