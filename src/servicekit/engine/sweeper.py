"""The sweeper: it takes over the jobs of dead processes, and drops old jobs, from time to time."""

import asyncio
import logging

from servicekit.engine.running_attempts import RunningAttempts
from servicekit.jobs.backoff import Backoff, FailureLog
from servicekit.jobs.retention import Retention
from servicekit.ports import StoreLiveness

_LONGEST_SECONDS = 60.0  # in memory, jobs beyond `max_count` are dropped at once; only their age is looked at here
_LONGEST_IF_SHARED_SECONDS = 2.0  # a file can get thousands of jobs a second, and drops those beyond `max_count` here
_SHORTEST_SECONDS = 0.05  # for a retention of milliseconds, as in tests: the loop must not spin
_BATCH = 500  # other writes wait for this one, so it must be short
_RESCUE_SECONDS = 0.6  # jobs of a dead process must go on within a second

_log = logging.getLogger("servicekit.engine")


async def rescue_jobs(liveness: StoreLiveness) -> None:
    """Take over the jobs of processes that have died, within a second, until canceled."""
    backoff = Backoff(_RESCUE_SECONDS)
    while True:
        try:
            await liveness.rescue()
            backoff.reset()
            seconds = _RESCUE_SECONDS
        except OSError as error:  # from the store (`StoreUnavailable`), or from the lock of another process
            _log.debug("It is not known which processes have died: %s", error)
            seconds = backoff.next_seconds()
        await asyncio.sleep(seconds)


async def sweep(liveness: StoreLiveness, retention: Retention, attempts: RunningAttempts) -> None:
    """Drop jobs that are too old, and settle attempts that were cut off, until canceled.

    It does so every minute with a store in memory, every two seconds with a file or a database, and more often if jobs
    are kept for a short time only. An error is logged, and the next turn tries again.
    """
    # A tenth of the shortest age: so a job is kept at most a tenth longer than it should.
    ages = [bounds.max_age.total_seconds() / 10 for _, bounds in retention.groups() if bounds.max_age is not None]
    longest_seconds = _LONGEST_IF_SHARED_SECONDS if liveness.is_durable else _LONGEST_SECONDS
    interval_seconds = max(_SHORTEST_SECONDS, min([longest_seconds, *ages]))
    failures = FailureLog(_log)
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            await attempts.settle()
            while await liveness.prune(_BATCH):  # noqa: ASYNC110
                await asyncio.sleep(0)
        except OSError as error:
            _log.debug("Old jobs could not be dropped: %s", error)
        except Exception as error:
            failures.exception("Old jobs could not be dropped", error)
