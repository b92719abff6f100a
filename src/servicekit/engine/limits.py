"""The time limits of one attempt."""

from servicekit.errors import RunTimeout, SilenceTimeout, TimeLimitExceeded
from servicekit.jobs.current import RunningJob
from servicekit.jobs.options import JobOptions, seconds_of
from servicekit.ports import Clock


class TimeLimits:
    """Watches the limits of an attempt, which is not known here: see `AttemptHost`.

    The attempt's progress is heard of when it is written down, up to a twentieth of a second after it was reported; if
    the store is away then, when the limit is reached.
    """

    def __init__(self, job: RunningJob, options: JobOptions, clock: Clock) -> None:
        self._job = job
        self._run_seconds = None if options.run_timeout is None else seconds_of(options.run_timeout)
        self._silence_seconds = None if options.silence_timeout is None else seconds_of(options.silence_timeout)
        self._clock = clock
        self._began_at = self._heard_at = clock.monotonic()
        self._heard = job.newest_progress

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to watch for."""
        return self._run_seconds is not None or self._silence_seconds is not None

    def hear(self) -> None:
        """The attempt has reported progress."""
        self._heard, self._heard_at = self._job.newest_progress, self._clock.monotonic()

    async def wait_exceeded(self) -> TimeLimitExceeded:
        """The first limit that is exceeded; to be canceled when the attempt has ended."""
        while (error := self._find_exceeded()) is None:
            await self._clock.sleep(self._seconds_left())
        return error

    def _find_exceeded(self) -> TimeLimitExceeded | None:
        now = self._clock.monotonic()
        if self._run_seconds is not None and now - self._began_at >= self._run_seconds:
            return RunTimeout(self._run_seconds)
        if self._silence_seconds is not None and now - self._heard_at >= self._silence_seconds:
            if self._job.newest_progress is self._heard:
                return SilenceTimeout(self._silence_seconds)
            self.hear()
        return None

    def _seconds_left(self) -> float:
        now = self._clock.monotonic()
        limits = [(self._began_at, self._run_seconds), (self._heard_at, self._silence_seconds)]
        return max(0.001, min(since + seconds - now for since, seconds in limits if seconds is not None))
