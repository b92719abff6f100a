"""What is done from time to time."""

import asyncio
import logging

from servicekit.engine.running_attempts import RunningAttempts
from servicekit.jobs.backoff import Backoff, FailureLog
from servicekit.jobs.retention import Retention
from servicekit.ports import StoreLiveness

_LONGEST_SECONDS = 60.0
_LONGEST_IF_SHARED_SECONDS = 2.0  # a file may get thousands of jobs a second, and drops what is too much only here
_SHORTEST_SECONDS = 0.05
_BATCH = 500
_RESCUE_SECONDS = 0.6

_log = logging.getLogger("servicekit.engine")


async def rescue_jobs(liveness: StoreLiveness) -> None:
    """Take over the jobs of processes that have died, within a second, until canceled."""
    backoff = Backoff(_RESCUE_SECONDS)
    while True:
        try:
            await liveness.rescue()
            backoff.reset()
            seconds = _RESCUE_SECONDS
        except OSError as error:  # `StoreUnavailable` is one; so is a lock that cannot be looked at
            _log.debug("It is not known which processes have died: %s", error)
            seconds = backoff.next_seconds()
        await asyncio.sleep(seconds)


async def sweep(liveness: StoreLiveness, retention: Retention, attempts: RunningAttempts) -> None:
    """Drop what is too old and settle what was cut off, until canceled: every minute, or more often if little is kept.

    An error is logged, and tried again the next time.
    """
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
