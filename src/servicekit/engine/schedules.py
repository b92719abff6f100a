"""Schedules for users: add, list, pause, resume and remove them."""

from collections.abc import Callable
from inspect import iscoroutine
from typing import Any, Final, ParamSpec, Unpack, overload

from servicekit.engine.calls import check_call
from servicekit.engine.lifecycle import Engine
from servicekit.engine.queues import Queues
from servicekit.engine.schedule_runner import ScheduleRunner
from servicekit.errors import ConfigurationError, InvalidTarget, RecordUnreadable
from servicekit.jobs.command import Command
from servicekit.jobs.options import JobOptions, OptionChanges, changed, check_text, options_of
from servicekit.jobs.restartable import describe_call, refuse
from servicekit.jobs.schedules import Schedule, ScheduleState
from servicekit.jobs.submission import CallProblem, JobTarget, Submission
from servicekit.jobs.timetable import Cron, Every, MissedTicks, Overlap, Timetable

P = ParamSpec("P")

_LONGEST_NAME: Final = 150  # it is a part of the jobs' concurrency key, which has at most 200 characters


class Schedules:
    """The recurring jobs of a scheduler: `scheduler.schedules`."""

    def __init__(
        self,
        engine: Engine,
        schedule_runner: ScheduleRunner,
        queues: Queues,
        changes: OptionChanges | None = None,
    ) -> None:
        self._engine = engine
        self._schedule_runner = schedule_runner
        self._queues = queues
        self._changes: OptionChanges = changes or {}

    def with_options(self, **options: Unpack[OptionChanges]) -> "Schedules":
        """An object whose `add` gives jobs these options: see `JobOptions`."""
        return Schedules(self._engine, self._schedule_runner, self._queues, {**self._changes, **options})

    @overload
    async def add(
        self, name: str, timetable: Timetable, target: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> ScheduleState: ...

    @overload
    async def add(self, name: str, timetable: Timetable, target: Command, /) -> ScheduleState: ...

    async def add(
        self, name: str, timetable: Timetable, target: JobTarget, /, *args: Any, **kwargs: Any
    ) -> ScheduleState:
        """Submit the target with these arguments at every tick of the timetable, from now on.

        The name identifies the schedule. If it is added again unchanged, it goes on as before, so that every process
        can add it at its start. If it has changed, the new form counts from now on. It is kept until it is removed,
        even if the service does not add it any more. If jobs are kept in a file or a database, any process submits
        them: it must be able to import the target by its name, and to read the arguments.

        `ConfigurationError` for a name or options that make no sense, `InvalidTarget` if the target cannot be run,
        `InvalidArguments` if the arguments do not fit it, `SchedulerClosed`, `StoreUnavailable`.
        """
        schedule = self._describe(name, timetable, target, args, kwargs)
        store = await self._engine.open_for_jobs()
        await self._schedule_runner.put(schedule)
        return await store.schedules.get_schedule(name)

    @overload
    def declare(
        self, name: str, timetable: Timetable, target: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> None: ...

    @overload
    def declare(self, name: str, timetable: Timetable, target: Command, /) -> None: ...

    def declare(self, name: str, timetable: Timetable, target: JobTarget, /, *args: Any, **kwargs: Any) -> None:
        """Add the schedule when the scheduler starts: like `add`, for code that cannot await.

        `ConfigurationError` if the scheduler runs already, since the schedule would then never be added.
        """
        schedule = self._describe(name, timetable, target, args, kwargs)
        if self._engine.is_running:
            raise ConfigurationError("schedules.declare", name, "called before the scheduler starts (later: await add)")
        self._schedule_runner.declare(schedule)

    def check(
        self, name: str, timetable: Timetable, target: JobTarget, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> None:
        """Raise what `add` would raise for these arguments, and add nothing."""
        self._describe(name, timetable, target, args, kwargs)

    async def list(self) -> "list[ScheduleState]":
        """All schedules, by name, whichever process has added them."""
        return await (await self._engine.open()).schedules.list_schedules()

    async def get(self, name: str) -> ScheduleState:
        """`ScheduleNotFound` if there is none of this name."""
        return await (await self._engine.open()).schedules.get_schedule(name)

    async def pause(self, name: str) -> ScheduleState:
        """Submit no more jobs of the schedule, in any process, until it is resumed. Jobs that were submitted go on.

        `ScheduleNotFound` if there is none of this name.
        """
        return await (await self._engine.open()).schedules.set_schedule_paused(name, None, is_paused=True)

    async def resume(self, name: str) -> ScheduleState:
        """Go on with the first tick from now. Ticks that passed during the pause do not count as missed.

        `ScheduleNotFound` if there is none of this name, `RecordUnreadable` if this process cannot read its timetable.
        """
        store = await self._engine.open()
        state = await store.schedules.get_schedule(name)
        if state.timetable is None:
            raise RecordUnreadable(f"Schedule {name!r}", state.problem or "")
        if state.is_paused:
            next_at = state.timetable.next_after(store.liveness.now())
            state = await store.schedules.set_schedule_paused(name, next_at, is_paused=False)
            self._schedule_runner.wake()
        return state

    async def remove(self, name: str) -> None:
        """Remove the schedule. The jobs that it has submitted stay. `ScheduleNotFound` if there is none of this name.

        A service that adds it at its start adds it again at its next start.
        """
        await (await self._engine.open()).schedules.remove_schedule(name)

    def _describe(
        self, name: str, timetable: Timetable, target: JobTarget, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> Schedule:
        options = changed(options_of(target), self._changes)
        _check_name(name)
        _check_options(options)
        if not isinstance(timetable, Cron | Every):
            raise ConfigurationError("timetable", timetable, "a Cron, or an Every")
        if iscoroutine(target):
            raise InvalidTarget(target, "a coroutine object runs only once. Pass the function itself.")
        runner, target_name = check_call(target, args, kwargs, options, self._engine.mask)
        self._engine.check_runner(runner)
        self._queues.warn_if_undeclared(options.queue)
        example = Submission("", target_name, target, args, kwargs, runner, options)
        if self._engine.is_durable and isinstance(problem := describe_call(example), CallProblem):
            raise refuse(target, problem)
        return Schedule(
            name=name,
            timetable=timetable,
            target=target,
            args=args,
            kwargs=kwargs,
            options=options,
            missed=MissedTicks(timetable.missed),
            overlap=Overlap(timetable.overlap),
        )


def _check_name(name: object) -> None:
    check_text("name", name)
    if len(str(name)) > _LONGEST_NAME:
        raise ConfigurationError("name", name, f"at most {_LONGEST_NAME} characters")
    if "/" in str(name) or name in (".", ".."):
        raise ConfigurationError("name", name, "a text that can be part of an address, which has no / and is no dots")


def _check_options(options: JobOptions) -> None:
    for option in ("idempotency_key", "start_at"):
        value = getattr(options, option)
        if value is not None:
            raise ConfigurationError(option, value, "left out where jobs are recurring")
