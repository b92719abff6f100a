"""A scheduler whose time is the test's."""

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Unpack, cast

from servicekit.engine.factory import make_parts
from servicekit.engine.options import SchedulerOptionChanges, SchedulerOptions
from servicekit.engine.scheduler import Scheduler
from servicekit.errors import ConfigurationError, check_count, check_seconds
from servicekit.jobs.current import RunningJob
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import JobStatus, Transition, move_of
from servicekit.ports import JobStore
from servicekit.testing.clock import FakeClock
from servicekit.testing.runner import WatchedRunner
from servicekit.testing.store import WatchedStore

_LOOK_SECONDS: Final = 0.005
_QUIET_TURNS: Final = 100
_MOST_TURNS: Final = 250
_MOST_AT_ONCE: Final = 10_000
_CENTURY: Final = timedelta(days=36_525)
_NAMED: Final = 10
_ALL: Final = sys.maxsize
_RUNNING: Final = move_of(Transition.CLAIM).target
_UNFINISHED: Final = frozenset(status for status in JobStatus if not status.is_terminal)


class NotDrained(AssertionError):
    """Jobs do not end, and so the test has failed. The text names them."""

    def __init__(self, reason: str, records: Sequence[JobRecord]) -> None:
        self.records = records
        lines = [f"  {_describe(record)}" for record in records[:_NAMED]]
        if len(records) > _NAMED:
            lines.append(f"  and {len(records) - _NAMED:,} more")
        super().__init__("\n".join([reason, *lines]))


class TestScheduler(Scheduler):
    """A scheduler in memory, or at another `url`, on a `FakeClock`: time passes only by `advance` and `drain`.

    Jobs really run; the package's page says what happens to time meanwhile. An attempt that neither ends nor sleeps by
    the clock for `patience_seconds` of real time is taken to hang. The options are those of every scheduler; unless
    they say otherwise, running jobs get no grace time when it is closed.
    """

    __test__ = False  # it is no test, whatever pytest makes of its name

    def __init__(
        self,
        max_concurrency: int | None = None,
        *,
        url: str = "memory://",
        patience_seconds: float = 5.0,
        **options: Unpack[SchedulerOptionChanges],
    ) -> None:
        clock = options.get("clock") or FakeClock()
        if not isinstance(clock, FakeClock):
            raise ConfigurationError("clock", clock, "a FakeClock")
        defaults = SchedulerOptions(max_concurrency=max_concurrency, shutdown_grace=0.0, clock=clock)
        parts = make_parts(url, defaults.changed({**options, "clock": clock}))
        self._watched_store = WatchedStore(parts.store)
        self._running_jobs: dict[str, RunningJob] = {}
        watched = replace(
            parts,
            store=cast("JobStore", self._watched_store),
            runners={kind: WatchedRunner(runner, self._running_jobs) for kind, runner in parts.runners.items()},
            # Nobody sets this clock, and no other process has jobs of its own in the store.
            longest_wait_seconds=math.inf,
        )
        super().__init__(watched)
        self.clock = clock
        """Targets may sleep by it: `await jobs.clock.sleep(3600)` is an hour's work."""
        self.patience_seconds = check_seconds("patience_seconds", patience_seconds)
        self._drained: set[str] = set()
        self._at_work_since: dict[_AtWork, float] = {}
        clock.settle_with(self._settle)

    def check_runner(self, kind: RunnerKind | None) -> None:
        """Say nothing: most tests of a service submit no job for its cluster. One that does is refused there."""

    async def advance(self, duration: float | timedelta) -> None:
        """Let so many seconds pass. What is due meanwhile happens in order, each at its own time."""
        await self.clock.advance(duration)

    async def drain(self, *, max_time: float | timedelta = _CENTURY, max_jobs: int = 1_000) -> list[JobRecord]:
        """Run until every job has ended; return the records of those that have since the last call, the oldest first.

        Time jumps to whatever comes next: the start of a delayed job, the next attempt, a time limit. Schedules go on
        for ever and are not waited for; of those whose ticks come to pass meanwhile the jobs are.

        `NotDrained` if a job neither ends nor waits for a time (it hangs and has no time limit, or its queue is
        paused), if it takes longer than `max_time` by the clock, or if more than `max_jobs` are submitted meanwhile.
        """
        check_count("max_jobs", max_jobs)
        until = self.clock.now() + timedelta(seconds=check_seconds("max_time", max_time))
        most = self._watched_store.submitted + max_jobs
        while True:
            is_working = await self._is_working()
            unfinished = await self._list_unfinished()
            if not unfinished:
                return await self._take_ended()
            if self._watched_store.submitted > most:
                raise NotDrained(f"More than {max_jobs:,} jobs were submitted, and these have not ended:", unfinished)
            if is_working:
                await asyncio.sleep(_LOOK_SECONDS)
            elif not self.clock.wake_next(until):
                raise NotDrained(self._why_not(until), unfinished)

    async def _take_ended(self) -> list[JobRecord]:
        ended = [record for record in reversed(await self.get_all_records()) if record.id not in self._drained]
        self._drained.update(record.id for record in ended)
        return ended

    async def _settle(self) -> None:
        """Wait until nothing more happens without time."""
        most = self._watched_store.submitted + _MOST_AT_ONCE
        while await self._is_working():
            if self._watched_store.submitted > most:
                raise NotDrained("Jobs are submitted without end:", await self._list_unfinished())
            await asyncio.sleep(_LOOK_SECONDS)

    async def _is_working(self) -> bool:
        """Let others have their turns; say whether some attempt is still at work, and not for too long."""
        is_quiet = await self._take_turns()
        now, at_work = time.monotonic(), []
        for record in await self.list_records(status=_RUNNING, limit=_ALL):
            job = self._running_jobs.get(record.id)
            is_report_due = job is not None and job.is_report_due
            if is_report_due or not self.clock.is_sleeping(record.id):
                is_asked_to_stop = job is None or job.is_cancel_requested
                at_work.append(_AtWork(record.id, record.attempt, is_asked_to_stop=is_asked_to_stop))
        self._at_work_since = {work: self._at_work_since.get(work, now) for work in at_work}
        return not is_quiet or any(now - since < self.patience_seconds for since in self._at_work_since.values())

    async def _take_turns(self) -> bool:
        """Let others have their turns until the store is asked for nothing any more; `False`: that takes too many."""
        quiet_turns = 0
        for _ in range(_MOST_TURNS):
            calls = self._watched_store.calls
            await asyncio.sleep(0)
            await self._watched_store.wait_answer()
            is_quiet = self._watched_store.is_idle and self._watched_store.calls == calls
            quiet_turns = quiet_turns + 1 if is_quiet else 0
            if quiet_turns == _QUIET_TURNS:
                return True
        return False

    async def _list_unfinished(self) -> list[JobRecord]:
        return (await self.list_records(status=_UNFINISHED, limit=_ALL))[::-1]

    def _why_not(self, until: datetime) -> str:
        if self.clock.next_moment is None:
            return "These jobs have not ended, and wait for nothing that time brings:"
        return f"These jobs have not ended by {until:%Y-%m-%d %H:%M:%S} (max_time):"


class _AtWork(NamedTuple):
    """An attempt that runs. When it is asked to stop it is another one, for which the test waits anew."""

    job_id: str
    attempt: int
    is_asked_to_stop: bool


def _describe(record: JobRecord) -> str:
    place = f"attempt {record.attempt}" if record.status is _RUNNING else f"queue {record.queue!r}"
    return f"{record.name} {record.id}: {record.status} ({place})"
