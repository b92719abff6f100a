"""What runs one attempt."""

from typing import Protocol

from servicekit.jobs.current import RunningJob
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.submission import Submission


class Runner(Protocol):
    """Runs one attempt to its end, whatever the target does."""

    async def run(self, submission: Submission, job: RunningJob) -> Outcome:
        """Run the target and say how it ended.

        While `job.is_interruptible`, the task that awaits this may be canceled: that asks the target to stop, and
        `run` goes on until it has. Raises nothing, unless the task is canceled at another time.

        What could not begin for no fault of its own, for want of a thread or a process, say, is `not_begun`; where
        that can be, `job.note_begun` is called when it has.
        """
        ...

    def find_outcome(self, job: RunningJob) -> Outcome | None:
        """How an attempt ended whose task was cut off: `None` while its work goes on. Forgets it by telling."""
        ...

    def find_notice(self) -> str | None:
        """What does not work as it was asked for, though jobs run all the same; or `None`."""
        ...

    def open(self) -> None:
        """Jobs may come: keep ready what they need to begin, until `close`. Without it they are run as well.

        Takes no time: what does is begun.
        """
        ...

    def close(self) -> None:
        """Let go of what is kept ready for the next job. Should one come all the same, it is run."""
        ...
