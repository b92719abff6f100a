"""The time limits of one attempt."""

from servicekit.errors import RunTimeout, SilenceTimeout, TimeLimitExceeded
from servicekit.jobs.current import RunningJob
from servicekit.jobs.options import JobOptions, seconds_of
from servicekit.ports import Clock


class TimeLimits:
    """The time limits of one attempt. It does not refer to the attempt: see `AttemptHost`.

    It learns of progress when that is written to the store, up to a twentieth of a second late. If the store is away,
    it looks at the job's newest progress when the limit is reached.
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
        """Whether the attempt has any limit."""
        return self._run_seconds is not None or self._silence_seconds is not None

    def hear(self) -> None:
        """The attempt has reported progress."""
        self._heard, self._heard_at = self._job.newest_progress, self._clock.monotonic()

    async def wait_exceeded(self) -> TimeLimitExceeded:
        """Wait for the first limit that is exceeded. Cancel it when the attempt has ended."""
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
            self.hear()  # there was progress that could not be written: the time begins again
        return None

    def _seconds_left(self) -> float:
        now = self._clock.monotonic()
        limits = [(self._began_at, self._run_seconds), (self._heard_at, self._silence_seconds)]
        # Never 0: by rounding, the sleep could else end before the limit, and this would spin.
        return max(0.001, min(since + seconds - now for since, seconds in limits if seconds is not None))
