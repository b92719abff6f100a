"""How jobs are run: from their turn to the end of an attempt."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.record import Progress
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

    async def finish(self, claim: Claim, outcome: Outcome) -> bool:
        """Write how the attempt ended. `False`: it was not this attempt's to write any more."""
        ...

    async def retry(self, claim: Claim, outcome: Outcome, scheduled_at: datetime) -> bool:
        """Write that the attempt has failed and another shall start at that time: the job is pending until then.

        It keeps the error, and the attempt joins the record's history. If the job was asked to stop meanwhile, it ends
        with this outcome instead. `False`: as for `finish`.
        """
        ...

    async def release(self, claim: Claim) -> bool:
        """The attempt was stopped with its process: give the job back, so that another process may run it.

        It loses no attempt by that. What cannot run elsewhere, or must not run twice, ends. `False`: as for `finish`.
        """
        ...

    async def unclaim(self, claim: Claim) -> bool:
        """The attempt could not begin: the job is pending again, in its old place, and that start counts for nothing.

        A job that was asked to stop meanwhile ends canceled. `False`: as for `finish`.
        """
        ...

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        """Write how far the attempt is, if it still runs. The store adds the time (`reported_at`)."""
        ...

    async def append_log(self, claim: Claim, lines: Sequence[NewLine]) -> None:
        """Add lines to the job's log, if the attempt still runs. Of each job the newest `max_log_bytes` are kept."""
        ...
