"""A process at work on the store: from its start to its end, and what is to be done for those that are gone."""

from datetime import datetime
from typing import Protocol

from servicekit.ports.events import JobSignals


class StoreLiveness(Protocol):
    """Opens the store for this process and closes it, and looks after what dead processes and old jobs leave."""

    @property
    def is_durable(self) -> bool:
        """Whether what is kept outlives this process; then other processes may work on the same jobs as well."""
        ...

    def now(self) -> datetime:
        """The time in UTC, the same for all processes that work on these jobs, wherever they run. Takes no time.

        Every moment that the engine gives to the store, or compares with one from there, is of this time: when to try
        again, ticks, what is due. The store writes no other. Waiting is the clock's (`Clock.sleep`).
        """
        ...

    async def open(self, signals: JobSignals) -> None:
        """Begin to work for the engine on this event loop; again after `close`, and on another loop if need be.

        To open what is open on this loop changes whom it tells, and nothing else. What earlier lives of this process
        have claimed and the engine does not work on (`JobSignals.is_running`) is given back, and what it works on and
        was canceled or deleted meanwhile is told it. `StoreUnavailable` if jobs cannot be kept there.
        """
        ...

    async def rescue(self) -> None:
        """Take over the jobs of processes that have died; the engine asks every 0.6 seconds where others may be.

        `jobs.endings` says what becomes of each: it is pending again, or it has failed, and is told to the engine
        (`JobSignals.hear_of_failure`). Two processes that do this at the same time take each job once. Never the job
        of a process that is merely slow.
        """
        ...

    async def prune(self, limit: int) -> bool:
        """Drop at most `limit` finished jobs that are older than retention allows; say whether there may be more."""
        ...

    async def find_problem(self) -> str | None:
        """Try whether jobs can be read and written; what is wrong, in words for clients, or `None`. Raises nothing."""
        ...

    async def retire(self) -> None:
        """This process claims no more jobs: end what is pending and would be lost with it.

        Its attempts go on, and their ends are still written. Raises nothing if the store does not answer.
        """
        ...

    async def close(self) -> None:
        """Let go of everything, after `retire` and after the attempts of this process."""
        ...
