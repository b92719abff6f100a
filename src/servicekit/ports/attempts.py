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
    """Gives jobs to those who run them, and takes back what has become of them. Each method is atomic.

    Every write of an attempt names the claim. It counts only while the job is running and its attempt is the one that
    is claimed: a stale one changes nothing. `StoreUnavailable` if the store does not answer: then it is not known
    whether the call has been carried out, and the engine makes it again, so that each must bear being made twice.
    """

    @property
    def guard(self) -> int | None:
        """A descriptor that guards the attempts of this process: while any process has it open, no other takes them.

        Whatever runs an attempt outside of this process holds it, and lets go of it when nothing of it is left; so an
        attempt never begins while another one of the same job goes on. `None` if the store has none: because nobody
        else could take the attempts over, or because it waits for longer after a process was last heard of than
        anything outlives the process.
        """
        ...

    async def claim(
        self,
        limit: int,
        excluding: Collection[RunnerKind],
        max_running: int | None = None,
        queue_limits: Mapping[str, int] | None = None,
    ) -> list[Claim]:
        """Set ready jobs running, at most `limit`, leaving those whose runner is full.

        Within a queue those of higher priority go first, then those that have been ready for longest. Queues take
        turns, those first that have the fewest jobs running, and of these the one that was served longest ago. Paused
        queues are left out. Never so many that more than `max_running` run in all processes together, or more of one
        queue than `queue_limits` allows. Deleted jobs that still run count.

        A job is claimed by one process, and gets the number of its attempt. One that this process alone can run is
        claimed by no other.
        """
        ...

    async def make_due(self) -> datetime | None:
        """Make ready what has come due, and fail what has waited for longer than its `queue_timeout`.

        What is failed so ends with `QueueTimeout` (by `EndedBy.TIME_LIMIT`) and is told to the engine
        (`JobSignals.hear_of_failure`). To become ready is no change of the record. A wait for so long stays that long
        however the clock is set meanwhile, ahead or back; a `start_at` is a time of the clock. Return when to look
        again, by `StoreLiveness.now`; `None` if nothing waits for a time.
        """
        ...

    async def end_attempt(self, claim: Claim, ending: Outcome) -> Transition | None:
        """Write how the attempt ended, and say what has become of the job.

        A `RETRY` keeps the error, the attempt joins the record's history, and the job is pending until `retry_at`. A
        `RELEASE` makes it pending at once: in its old place if nothing had begun. A job that must not run again, cannot
        run elsewhere or was asked to stop meanwhile ends instead: `servicekit.jobs.endings` decides that, for all
        stores.

        `None`: it was not this attempt's to write any more. So it is if the same end is written again, because no
        answer has come: that changes nothing.
        """
        ...

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        """Write how far the attempt is, if it still runs. The store adds the time (`reported_at`)."""
        ...

    async def append_log(self, claim: Claim, lines: Sequence[NewLine]) -> None:
        """Add lines to the job's log, if the attempt still runs. Of each job the newest `max_log_bytes` are kept."""
        ...
