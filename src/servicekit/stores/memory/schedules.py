"""Recurring jobs in memory."""

from datetime import datetime

from servicekit.errors import ScheduleNotFound
from servicekit.jobs.restartable import describe_call
from servicekit.jobs.schedules import FiredSchedule, Schedule, ScheduleState, judge_tick, options_of_tick
from servicekit.jobs.submission import CallDescription, CallProblem, Submission, check_target, name_of
from servicekit.stores.memory.kept_jobs import KeptJobs


class MemorySchedules:
    """The `ScheduleStore` of a store in memory."""

    def __init__(self, kept: KeptJobs) -> None:
        self._kept = kept
        self._by_name: dict[str, KeptSchedule] = {}
        self.clock_setting = kept.clock_setting

    async def put_schedule(self, schedule: Schedule, next_at: datetime | None) -> None:
        call = describe_call(_submission_of(schedule, ""))
        entry = self._by_name.get(schedule.name)
        if entry is None:
            self._by_name[schedule.name] = KeptSchedule(schedule, next_at, call)
            return
        entry.call = call
        if entry.schedule.timetable != schedule.timetable and not entry.is_paused:
            entry.next_at = next_at
        entry.schedule = schedule

    async def list_schedules(self) -> list[ScheduleState]:
        return [entry.state for _, entry in sorted(self._by_name.items())]

    async def get_schedule(self, name: str) -> ScheduleState:
        return self._get(name).state

    async def set_schedule_paused(self, name: str, next_at: datetime | None, *, is_paused: bool) -> ScheduleState:
        entry = self._get(name)
        entry.is_paused, entry.next_at = is_paused, next_at
        return entry.state

    async def remove_schedule(self, name: str) -> None:
        self._get(name)
        del self._by_name[name]

    async def fire_schedule(
        self, name: str, tick: datetime, next_at: datetime | None, job_id: str | None
    ) -> FiredSchedule:
        entry = self._get(name)
        schedule = entry.schedule
        what = judge_tick(
            schedule.overlap,
            is_next=entry.next_at == tick,
            is_paused=entry.is_paused,
            is_wanted=job_id is not None,
            is_last_there=self._kept.goes_on(entry.last_job_id),
        )
        if what is not FiredSchedule.LOST:
            entry.next_at = next_at
        if job_id is None or what is not FiredSchedule.SUBMITTED:
            return what
        if self._kept.is_full(schedule.options.queue):
            return FiredSchedule.SKIPPED
        self._kept.add(_submission_of(schedule, job_id, entry.call))
        self._kept.wake()
        entry.last_at, entry.last_job_id = tick, job_id
        return FiredSchedule.SUBMITTED

    def _get(self, name: str) -> "KeptSchedule":
        entry = self._by_name.get(name)
        if entry is None:
            raise ScheduleNotFound(name)
        return entry


def _submission_of(schedule: Schedule, job_id: str, call: CallDescription | CallProblem | None = None) -> Submission:
    """The job of a tick."""
    target, args, kwargs = schedule.target, schedule.args, schedule.kwargs
    options = options_of_tick(schedule.name, schedule.overlap, schedule.options)
    runner = check_target(target, args, kwargs, options.runner)
    name = options.name or name_of(target)
    return Submission(job_id, name, target, args, kwargs, runner, options, schedule=schedule.name, description=call)


class KeptSchedule:
    """One schedule, mutable, and where it stands."""

    def __init__(self, schedule: Schedule, next_at: datetime | None, call: CallDescription | CallProblem) -> None:
        self.schedule = schedule
        self.call = call
        """The call as it was when the schedule was added, whatever has become of its arguments since."""
        self.is_paused = False
        self.next_at = next_at
        self.last_at: datetime | None = None
        self.last_job_id: str | None = None

    @property
    def state(self) -> ScheduleState:
        schedule = self.schedule
        return ScheduleState(
            name=schedule.name,
            timetable=schedule.timetable,
            target_name=schedule.options.name or name_of(schedule.target),
            missed=schedule.missed,
            overlap=schedule.overlap,
            is_paused=self.is_paused,
            next_at=self.next_at,
            last_at=self.last_at,
            last_job_id=self.last_job_id,
        )
