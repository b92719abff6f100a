"""How jobs are run: from their turn to the end of an attempt."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.record import Progress
from servicekit.jobs.status import Transition
from servicekit.jobs.submission import Claim


class AttemptStore(Protocol):
    """Gives jobs to the workers, and takes what becomes of them. What holds for all parts is in `ports.store`.

    Every write of an attempt names its claim, and is fenced: it counts only while the job is kept and running, and only
    for the attempt of that number, of the process that claimed it. Any other write changes nothing. After
    `StoreUnavailable` the engine makes the same call again, so a call that comes twice must do no harm.
    """

    @property
    def guard(self) -> int | None:
        """A descriptor that guards the attempts of this process; `None` if the store guards them otherwise.

        An attempt must not begin while an earlier one of the same job still runs, also if that one's process has died
        and left work behind. As long as any process has the descriptor open, no other process takes these attempts
        over. Whatever runs an attempt outside of this process is given it, and closes it when nothing of the work is
        left.

        A store without it needs another reason to be sure: no other process can take attempts over, or it waits after
        the last sign of life for longer than work outlives its process.
        """
        ...

    async def claim(
        self,
        limit: int,
        excluding: Collection[RunnerKind],
        max_running: int | None = None,
        queue_limits: Mapping[str, int] | None = None,
        most: int = 0,
    ) -> list[Claim]:
        """Set ready jobs running, at most `limit`, and return the right to run each.

        If nothing but coroutines is ready, a store for which that is cheaper may claim up to `most`.

        - **Which.** Never a job for a runner in `excluding`, or of a paused queue. A job that only one process can run
          is claimed by that process alone. Never so many that more than `max_running` jobs run in all processes
          together, or more of one queue than `queue_limits` names for it. A deleted job that still runs counts.
        - **In which order.** In a queue the highest priority goes first, and of one priority the job that has been
          ready for longest, whatever its runner. Queues take turns, job by job: next is the queue that has the fewest
          jobs running, and of these the one that was served longest ago. A new queue stands behind the others.
        - **A claim** has the submission as it was accepted, the number of the attempt (one more than before), how many
          attempts before it ended with a `RETRY`, and at the first attempt `ready_at`. The record gets `started_at` and
          `process` (`stores.process_name`).
        - A job is claimed by one process, however many ask at once.
        - What this process cannot read or import must not keep other jobs from being claimed. Such a job is claimed
          with a target that raises the reason, in place of its own (`FailingTarget`).
        """
        ...

    async def make_due(self) -> datetime | None:
        """Make ready what has come due, and end what has waited for longer than its `queue_timeout`.

        To become ready is no change of the record, and wakes the worker. A job that waited too long ends with
        `endings.end_expired`, and the engine hears of it (`JobSignals.hear_of_failure`), in the one process that has
        ended it. Return when to look again, by `StoreLiveness.now`; `None` if no job waits for a time.

        Waits that are a duration (a delay, the pause before a retry, a `queue_timeout`) stay as long however the clock
        is set meanwhile: the store moves their ends by as much (`ClockSetting`), and the record's `scheduled_at`, which
        is no change of the record. A `start_at` is a time of the clock, and is not moved.
        """
        ...

    async def end_attempt(self, claim: Claim, ending: Outcome) -> Transition | None:
        """Write how the attempt ended, and say what has become of the job.

        In one atomic step the store reads what it knows of the job, asks `endings.decide_end`, and writes the answer.

        - `COMPLETE`, `FAIL`, `CANCEL`: the job has ended. The record gets what the outcome says, and so it does if the
          job ends instead of what was asked for (`decide_end`). The result is kept if it can be: `ResultDropped` for
          those who ask for one that could not be written or is too large.
        - `RETRY`: the attempt joins `attempts` with its error, and the job is pending until `retry_at`, which is its
          `scheduled_at`. Then it stands behind what is ready, and needs a slot of its key again, which others have had
          first. Its `queue_timeout` begins then. If that time has come already, it does not wait for `make_due`.
          Without `retry_at` it is refused, also for a claim that does not hold any more: `ValueError`
          (`endings.check_return`).
        - `RELEASE` of what had not begun: the job is ready again in its old place, as if it had not been claimed, with
          the slot of its key; its `queue_timeout` has gone on. That start does not count as a failure. Its
          `pending_reason` is the outcome's `error` until the next claim, or the end. While it has one, a job that waits
          for the slot and needs another runner can get it.
        - `RELEASE` with its process: the attempt joins `attempts`, and the job is ready again in its old place, with
          the slot of its key. Its `queue_timeout` begins anew. A stop in order costs the job no restart.

        A job that is pending again has no `started_at`, `process`, `progress` or error. What a job held that does not
        have it any more is free in the same step, and the worker is woken for what became ready by that. An attempt
        whose job was deleted frees what that held, too, and is told `None`.

        `None`: the write was not this attempt's any more, and nothing but that was changed. So it is as well if the
        same end is written again because no answer came.
        """
        ...

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        """Write how far the attempt is, if it still runs. The store adds the time (`reported_at`).

        A change of the record that is no transition. Of several reports at the same time the newest is enough.
        """
        ...

    async def append_log(self, claim: Claim, lines: Sequence[NewLine]) -> None:
        """Add lines to the job's log, if the attempt still runs, and tell its readers (`notify_log`).

        Lines count from 1 over all attempts of a job. The newest `Retention.max_log_bytes` of them are kept, but at
        least the last line: a line counts as its text in UTF-8, and some bytes that the store adds for the rest of it.
        It is no change of the record. Lines and progress that were given before the attempt's end are kept, also if
        nobody waits for the answer in between.
        """
        ...
