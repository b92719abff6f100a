"""What the suite for stores puts around a store: a clock, a publisher, signals, and jobs."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from servicekit.engine.scheduler import Scheduler
from servicekit.jobs.events import JobEvent
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions, RunnerKind
from servicekit.jobs.record import JobRecord
from servicekit.jobs.submission import JobTarget, Submission, name_of
from servicekit.jobs.workers import Readiness
from servicekit.ports import ClockSetting, StoreLiveness


class ManualClock:
    """A clock that moves when it is told to."""

    origin: str | None = "fake"

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
        self._passed = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._passed

    def setting(self) -> ClockSetting:
        return ClockSetting(self.origin, self._now.timestamp() - self._passed)

    def advance(self, seconds: float) -> None:
        """Move on; a negative number sets the clock back."""
        self._now += timedelta(seconds=seconds)
        self._passed += max(seconds, 0)

    def set_by(self, seconds: float) -> None:
        """Have the clock show another time, without any passing."""
        self._now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        """Move on by so much, and let others have a turn."""
        self.advance(seconds)
        await asyncio.sleep(0)


async def wait_healthy(jobs: StoreLiveness | Scheduler) -> None:
    """Have the store write and read something, again if it gives that up: a slow machine takes seconds."""
    while await jobs.find_problem() is not None:
        pass


class _All(set[str]):
    """The jobs that events were about. Every job is among them."""

    def __contains__(self, job_id: object) -> bool:
        return True


class RecordingPublisher:
    """An event publisher that remembers what it was given."""

    def __init__(self) -> None:
        self.events: list[JobEvent] = []
        self.notify_count = 0
        self.logs: list[str | None] = []
        """The jobs whose logs have grown."""

    @property
    def is_idle(self) -> bool:
        return False

    def is_watched(self, job_id: str) -> bool:
        return True

    def publish(self, event: JobEvent) -> None:
        self.events.append(event)

    @property
    def has_readers(self) -> bool:
        return True

    @property
    def followed(self) -> Collection[str]:
        return _All(event.job_id for event in self.events)

    def begin_anew(self) -> None:
        pass

    def relay(self, event: JobEvent) -> None:
        self.events.append(event)

    def notify(self) -> None:
        self.notify_count += 1

    def notify_log(self, job_id: str | None) -> None:
        self.logs.append(job_id)


class RecordingSignals:
    """What the engine was told."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.canceled: asyncio.Queue[str] = asyncio.Queue()
        self.failed: list[str] = []
        self.stopped: list[bool] = []
        self.readiness = Readiness()

    def wake(self) -> None:
        self.woken.set()

    is_stopping = False

    def is_running(self, job_id: str, attempt: int) -> bool:
        return False

    def hear_of_failure(self, record: JobRecord) -> None:
        self.failed.append(record.id)

    def cancel(self, job_id: str) -> None:
        self.canceled.put_nowait(job_id)

    def keep_only(self, held: Collection[tuple[str, int]]) -> None:
        pass

    def stop_attempts(self, *, are_lost: bool) -> None:
        self.stopped.append(are_lost)


async def noop() -> None:
    """The target that does nothing."""


async def greet(name: object, word: object = None) -> None:
    """A target with parameters."""


def submission(
    job_id: str,
    runner: RunnerKind = RunnerKind.COROUTINE,
    *,
    args: tuple[object, ...] = (),
    target: JobTarget = noop,
    options: JobOptions = DEFAULT_OPTIONS,
) -> Submission:
    return Submission(job_id, options.name or name_of(target), target, args, {}, runner, options)
