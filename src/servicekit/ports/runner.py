"""What runs one attempt."""

from collections.abc import Callable
from typing import Protocol

from servicekit.jobs.current import RunningJob
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.submission import Submission


class Runner(Protocol):
    """Runs one attempt to its end, whatever the target does.

    It runs several attempts at once, and can be used on one event loop after another. A runner passes the suite in
    `servicekit.testing.runners`.

    What a target does. Where it runs, `current_job()` is its job (`jobs.current`). What it reports and logs comes to
    `job` while it runs, and in order. All of it has come when `run` returns.

    What the outcome is (`jobs.outcome` makes each of them):

    - the target returns: `completion`. If the work is in another process, the result can be a `WrittenResult` instead.
    - the target raises: `failure`, which names all classes of the error. That holds for every `BaseException`, and for
      an error whose own methods raise errors. It ends nothing but the attempt. The traceback begins in the target.
    - the job was asked to stop, and the target then ends by `CancelledError` or `JobCanceled`, or a program by the
      signal: `CANCELED`. If it returns or raises another error all the same, that is the outcome.
    - the work was killed, or ended without an outcome: a `CANCEL` by `EndedBy.KILL`, or a `failure` by
      `EndedBy.CRASH`.
    - the work could not begin, through no fault of its own: `not_begun`, and the target has done nothing.

    A child that the target forks and that returns from it ends there, with exit code 0, that of its `SystemExit`, or 1.
    """

    async def run(self, submission: Submission, job: RunningJob) -> Outcome:
        """Run the target and say how it ended. It returns when the work has really ended, and not before.

        The engine asks a job to stop by `job.request_cancel()`. That can happen at any time, and more than once: before
        this is called, while the work begins, and while it ends. A job that was asked before its start does not start:
        it is `CANCELED`, and `submission.discard()` closes a coroutine object.

        With each request, the engine cancels the task that awaits this if `job.is_interruptible`. The runner sets that
        while it takes a cancellation as a request to the target. `run` goes on until the target has stopped, and leaves
        no cancellation to the task.

        A runner that can kill its work does so if that still goes on `job.kill_grace_seconds` after a request. They can
        be fewer at the next request, and then that counts.

        Raises nothing, unless the task is canceled at another time.

        A runner that can return `not_begun` calls `job.note_begun` when the work has begun.
        """
        ...

    def find_outcome(self, job: RunningJob) -> Outcome | None:
        """How an attempt ended whose task was cut off: `None` while its work goes on. Forgets it by telling.

        `CUT_OFF` if its work has ended with its task, or is ended by this call.
        """
        ...

    def find_room(self, on_room: Callable[[], None]) -> int | None:
        """How many more attempts could begin now; `None`: as many as the engine likes. It takes no time.

        An attempt counts from its call of `run` on. When there may be room for more than was said, `on_room` is called,
        on the event loop; that of the newest call is enough.

        Only a runner whose work is in other processes can have a limit of its own. It returns `not_begun` with
        `is_waiting` for an attempt that it has no room for. Until that may begin, it counts only what takes nothing
        that this attempt waits for, or says 0: so the jobs behind it that need the same wait for their turn.
        """
        ...

    def find_notice(self) -> str | None:
        """What does not work as it was asked for, though jobs run all the same; or `None`."""
        ...

    def open(self) -> None:
        """Jobs may come: keep ready what they need to begin, until `close`. Without it they are run as well.

        Takes no time: what does is begun. A runner that was closed can be opened again.
        """
        ...

    def close(self) -> None:
        """Let go of what is kept ready for the next job. It can be called again. A job that comes later is run."""
        ...
