"""The schedule runner: it submits the jobs of schedules at their ticks.

A schedule is kept in the store, with its next tick. Every process that shares the store has a schedule runner. At each
tick, all of them ask the store to fire the tick, and one succeeds. The store keeps the job in the same step. So no tick
gets two jobs, and no tick is lost, whichever process dies. If no process was there at the time, the first one that
starts sees how late it is, and follows the schedule's policy for missed ticks. The next tick is computed from the tick,
and not from the time at which it was fired, so that a schedule does not drift.

If a next tick is too far away, the clock was ahead when it was written: `next_after_setting` has the rule for that. It
is applied when the schedule runner starts, and whenever somebody has set the clock.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, assert_never
from urllib.parse import quote

from servicekit.engine.timekeeper import wait_for_change
from servicekit.errors import ScheduleNotFound, StoreUnavailable
from servicekit.jobs.backoff import Backoff, FailureLog
from servicekit.jobs.options import ISOLATED
from servicekit.jobs.schedules import FiredSchedule, Schedule, ScheduleState
from servicekit.jobs.timetable import MissedTicks, next_after_setting
from servicekit.ports import Clock, ClockSetting, ScheduleStore, StoreLiveness
from servicekit.runners.calls import refuse_while_loading

MISSED_AFTER: Final = timedelta(seconds=60)  # the finest step of cron: a later tick is one of another minute
_LONGEST_SECONDS: Final = 30.0  # somebody can set the clock, so a long wait must not be trusted
_LONGEST_IF_SHARED_SECONDS: Final = 2.0  # another process can fire a tick, or fail to
_LONGEST_IF_NONE_SECONDS: Final = 5.0  # another process can add a schedule, and does not tell this one
_AFTER_BUG_SECONDS: Final = 60.0  # often enough if the cause is removed, and rare enough not to fill the log
_TICKS_AT_ONCE: Final = 100  # a schedule of many missed ticks must not keep the others from their turn
_CORRECTION: Final = timedelta(days=1)  # a clock that was behind by more had not been set since the machine started

_log = logging.getLogger("servicekit.engine")


class ScheduleRunner:
    """Fires the ticks of schedules when they are due. `on_submit` is called with the id of each job."""

    def __init__(
        self,
        schedules: ScheduleStore,
        liveness: StoreLiveness,
        clock: Clock,
        next_id: Callable[[], str],
        on_submit: Callable[[str], Awaitable[None]],
        longest_seconds: float | None = None,
    ) -> None:
        self._schedules = schedules
        self._is_durable = liveness.is_durable
        self._now = liveness.now
        self._clock = clock
        self._next_id = next_id
        self._on_submit = on_submit
        own_seconds = _LONGEST_IF_SHARED_SECONDS if liveness.is_durable else _LONGEST_SECONDS
        self._longest_seconds = own_seconds if longest_seconds is None else longest_seconds
        self._declared: dict[str, Schedule] = {}
        self._setting: ClockSetting | None = None
        self._problems: dict[str, str] = {}  # those that were logged, by the schedule's name
        self._changed = asyncio.Event()
        self._backoff = Backoff()
        self._backoffs: dict[str, Backoff] = {}  # for schedules whose ticks could not be fired
        self._failures = FailureLog(_log)

    def wake(self) -> None:
        """A tick may be due earlier than the runner knows: look again."""
        self._changed.set()

    def declare(self, schedule: Schedule) -> None:
        """Put the schedule into the store as soon as it is open: see `put_declared`."""
        self._declared[schedule.name] = schedule

    async def put_declared(self) -> None:
        """Put the declared schedules into the store, which is open. One that has not changed goes on as before."""
        for schedule in self._declared.values():
            await self.put(schedule)

    async def put(self, schedule: Schedule) -> None:
        """Put the schedule into the store, which is open."""
        if schedule.options.runner in ISOLATED:
            refuse_while_loading(schedule.target)
        await self._schedules.put_schedule(schedule, schedule.timetable.next_after(self._now()))
        self.wake()

    async def run(self) -> None:
        """Fire ticks at their times until canceled. It may be run again, also on another event loop."""
        self._changed = asyncio.Event()  # a new one, since an event belongs to one event loop
        while True:
            self._changed.clear()
            await wait_for_change(self._clock, await self._fire_due(), self._changed)

    async def _fire_due(self) -> float | None:
        """Fire the ticks that are due. Return the seconds to the next look; `None`: look again after a `wake`."""
        try:
            found = await self._schedules.list_schedules()
        except StoreUnavailable as error:
            _log.debug("It is not known which schedules are due: %s", error)
            return self._backoff.next_seconds()
        except Exception as error:  # such as from a row that another version has written
            self._failures.exception("The schedules cannot be read, and no job of theirs is submitted", error)
            return _AFTER_BUG_SECONDS
        self._backoff.reset()
        self._warn_of(found)
        schedules = [state for state in found if not (state.is_paused or state.problem)]
        if not (schedules or self._is_durable):
            return None
        moved = self._look_at_clock()
        moments = [await self._try_to_fire(state, moved) for state in schedules]
        now = self._now()
        seconds = [(moment - now).total_seconds() for moment in moments if moment is not None]
        longest_seconds = self._longest_seconds if schedules else max(self._longest_seconds, _LONGEST_IF_NONE_SECONDS)
        return max(0.0, min([longest_seconds, *seconds]))

    def _warn_of(self, found: Sequence[ScheduleState]) -> None:
        """Log once for each schedule with a problem that it submits no jobs: nobody would else notice missing jobs."""
        problems = {state.name: state.problem for state in found if state.problem}
        for name, problem in problems.items():
            if self._problems.get(name) != problem:
                _log.warning(
                    "Schedule %r submits no jobs from this process, and none at all if no other can: %s Mend that, or "
                    "remove the schedule: DELETE .../schedules/%s, or schedules.remove(%r).",
                    name, problem, quote(name), name,
                )  # fmt: skip
        self._problems = problems

    def _look_at_clock(self) -> timedelta | None:
        """By how much the clock was set since the last look; 0 if that is unknown; `None` if it was not set."""
        setting, before = self._schedules.clock_setting(), self._setting
        if setting.is_like(before):
            return None
        self._setting = setting
        return timedelta(seconds=0 if before is None else setting.seconds_since(before) or 0)

    async def _try_to_fire(self, state: ScheduleState, moved: timedelta | None) -> datetime | None:
        """Fire the schedule's ticks that are due, and return when to look at it again; `None` for never."""
        try:
            next_at = await self._fire(state if moved is None else await self._correct(state, moved))
            self._backoffs.pop(state.name, None)
        except ScheduleNotFound:  # removed meanwhile
            return None
        except StoreUnavailable as error:
            _log.debug("A job of schedule %r is not submitted yet: %s", state.name, error)
            seconds = self._backoffs.setdefault(state.name, Backoff()).next_seconds()
            self._setting = None  # the correction may be what failed, so it must be tried again
        except Exception as error:  # a bug must not stop the other schedules
            self._failures.exception(f"The jobs of schedule {state.name!r} cannot be submitted", error)
            seconds = _AFTER_BUG_SECONDS
        else:
            return next_at
        return self._now() + timedelta(seconds=seconds)

    async def _correct(self, state: ScheduleState, moved: timedelta) -> ScheduleState:
        """The schedule, its next tick corrected if the wrong clock has left it too far in the past or the future."""
        if state.next_at is None or state.timetable is None:
            return state
        now = self._now()
        # The ticks in between have never been: the clock has jumped over them, and the service was not away.
        if moved > _CORRECTION and state.next_at < now:
            next_at = state.timetable.next_after(now)
        else:
            next_at = next_after_setting(state.timetable, state.next_at, state.last_at, now)
        if next_at == state.next_at:
            return state
        _log.info("Schedule %r: the clock was set, and its next tick is at %s", state.name, next_at)
        await self._schedules.fire_schedule(state.name, state.next_at, next_at, None)
        # Read again, since another process can have corrected it first, and the call before then did nothing.
        return await self._schedules.get_schedule(state.name)

    async def _fire(self, state: ScheduleState) -> datetime | None:
        tick, now = state.next_at, self._now()
        for _ in range(_TICKS_AT_ONCE):
            if tick is None or tick > now:
                break
            next_tick, is_wanted = _plan(state, tick, now)
            job_id = self._next_id() if is_wanted else None
            fired = await self._schedules.fire_schedule(state.name, tick, next_tick, job_id)
            if fired is FiredSchedule.LOST:  # another process was faster, and goes on: the next look shows how far
                break
            if fired is FiredSchedule.SUBMITTED and job_id is not None:
                await self._on_submit(job_id)
            else:
                _log.debug("Schedule %r: the tick of %s is left out", state.name, tick)
            tick = next_tick
        return tick


def _plan(state: ScheduleState, tick: datetime, now: datetime) -> tuple[datetime | None, bool]:
    """The tick that follows a due tick, and whether the due one gets a job."""
    assert state.timetable is not None  # schedules with a problem were left out
    next_after = state.timetable.next_after
    if now - tick < MISSED_AFTER:
        return next_after(tick), True
    match state.missed:
        case MissedTicks.SKIP:
            return next_after(now - MISSED_AFTER), False
        case MissedTicks.ONCE:
            return next_after(now), True
        case MissedTicks.ALL:
            return next_after(tick), True
        case _:
            assert_never(state.missed)
