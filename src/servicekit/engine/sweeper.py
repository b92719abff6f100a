"""What is done from time to time."""

import asyncio
import logging

from servicekit.engine.worker import Worker
from servicekit.jobs.retention import Retention
from servicekit.ports import JobStore

_LONGEST_SECONDS = 60.0
_SHORTEST_SECONDS = 0.05
_BATCH = 500
_RESCUE_SECONDS = 0.4

_log = logging.getLogger("servicekit.engine")


async def rescue_jobs(store: JobStore) -> None:
    """Take over the jobs of processes that have died, within half a second, until canceled."""
    while True:
        try:
            await store.rescue()
        except OSError as error:  # `StoreUnavailable` is one; so is a lock that cannot be looked at
            _log.debug("It is not known which processes have died: %s", error)
        await asyncio.sleep(_RESCUE_SECONDS)


async def sweep(store: JobStore, retention: Retention, worker: Worker) -> None:
    """Drop what is too old and settle what was cut off, until canceled: every minute, or more often if little is kept.

    An error is logged, and tried again the next time.
    """
    max_age_seconds = _LONGEST_SECONDS if retention.max_age is None else retention.max_age.total_seconds()
    interval_seconds = min(_LONGEST_SECONDS, max(_SHORTEST_SECONDS, max_age_seconds / 10))
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await worker.settle()
            while await store.prune(_BATCH):  # noqa: ASYNC110
                await asyncio.sleep(0)
        except Exception:
            _log.exception("Old jobs could not be dropped")
